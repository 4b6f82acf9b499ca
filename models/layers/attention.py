"""Self-attention on spikes."""

from __future__ import annotations

from torch import Tensor, nn

from ...core.errors import ConfigError


class SelfAttention(nn.Module):
    """scale Q Kᵀ V of each step and head, without softmax: `[T, B, 3C, H, W] -> [T, B, C, H, W]`.

    The N = H·W pixels are tokens. Channels hold the queries, then the keys, then the values; each
    of them holds the heads one after another. With spikes every sum is a whole number, so
    Q (Kᵀ V), which is computed, equals (Q Kᵀ) V exactly; it costs N d² instead of N² d.

    Args:
        heads: number of heads; must divide C.
        scale: factor of the product.

    Raises:
        ConfigError: `heads` is not positive.

    Source: spiking self-attention, Zhou et al., Spikformer, ICLR 2023.
    """

    def __init__(self, heads: int, scale: float) -> None:
        super().__init__()
        if heads < 1:
            raise ConfigError(f"heads must be at least 1, not {heads}")
        self.heads = heads
        self.scale = scale

    def forward(self, qkv: Tensor) -> Tensor:
        steps, batch, channels, height, width = qkv.shape
        q, k, v = self.split(qkv)
        out = q @ (k.transpose(-1, -2) @ v)
        out = self.scale * out.transpose(1, 2).reshape(steps, batch, height, width, channels // 3)
        return out.permute(0, 1, 4, 2, 3)

    def split(self, qkv: Tensor) -> Tensor:
        """Return queries, keys and values, `[T, B, 3C, H, W] -> [3, T·B, heads, N, C / heads]`.

        Raises:
            ConfigError: the heads do not divide the channels.
        """
        steps, batch, channels, height, width = qkv.shape
        if channels % (3 * self.heads):
            raise ConfigError(
                f"{channels} channels are not queries, keys and values of {self.heads} heads"
            )
        tokens = qkv.permute(0, 1, 3, 4, 2).reshape(
            steps * batch, height * width, 3, self.heads, channels // (3 * self.heads)
        )
        return tokens.permute(2, 0, 3, 1, 4)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, scale={self.scale}"
