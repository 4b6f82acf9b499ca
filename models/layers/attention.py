"""Self-attention on spikes."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..layer import VALUES, Layer, Lowering, OperationCounter, OperationList, Signal


class SelfAttention(Layer):
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

    def lower(self, graph: Lowering, name: str) -> None:
        graph.add("Attention", name, heads=self.heads, scale=float(self.scale))

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(name, "attention", self, x)
        return VALUES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        """Count Kᵀ V and Q (Kᵀ V): one operation for each pair of nonzero factors."""
        number, samples = x.shape[:2]
        _, k, v = self.split(x)
        # Nonzero entries of Kᵀ V that a query of each channel meets.
        kv_nonzero = (k.transpose(-1, -2) @ v).ne(0).to(x.dtype).sum(3)
        q, k, v = self.split(x.ne(0).to(x.dtype))  # [T B, heads, tokens, depth]
        pairs = k.sum(3).double() * v.sum(3).double()
        operations = pairs.sum((1, 2)) + (q.sum(2).double() * kv_nonzero.double()).sum((1, 2))
        events = q.sum((1, 2, 3)) + k.sum((1, 2, 3)) + v.sum((1, 2, 3))
        by_step = torch.stack([operations, events.double()]).view(2, number, samples)
        inputs = x.numel()
        counter.add(by_step[0], by_step[1], dense=2 * (inputs // 3) * q.shape[3], inputs=inputs)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, scale={self.scale}"
