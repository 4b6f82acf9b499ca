"""Clipped and quantised ReLU instead of spiking neurons, for ANN counterparts that convert well."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ..layer import Lowering
from .functional.bounded import at_least
from .functional.quantised import quantised_relu
from .leaky import Granularity

MIN_SCALE = 0.01
MAX_LEVELS = 65_535


class Qcfs(nn.Module):
    """Quantization clip-floor-shift activation of each step: `[T, B, C, ...] -> [T, B, C, ...]`.

        a(x) = s clip(⌊x L / s + 1/2⌋ / L, 0, 1)

    s > 0 is learned, with the gradients of `quantised_relu`. As `relu` it has no state, sends
    values and no spikes, and has no fused kernel. In export graphs it is a neuron that counts
    L - q, the level from above; see `lower`. With a direct code and one
    step it makes an ANN whose activations are those of `integrate` neurons: of amplitude V = s / m
    and fraction 1/2, with m T = L, their mean output over T steps of a constant input x is a(x)
    (where x L / s + 1/2 is a whole number, one level less: a membrane must exceed its threshold).

    Args:
        steps: ignored; every neuron is built with it.
        channels: number of channels C, required by granularity `channel`.
        levels: L, from 1 to 65,535.
        scale: start value of s, at least 0.01, where it stays.
        granularity: of s: `layer` (a scalar) or `channel`.

    Attributes:
        limit: s, a scalar or `[C]`: the greatest activation.

    Raises:
        ConfigError: an option out of range.

    Source: Bu et al., ICLR 2022 (arXiv 2303.04347), where s starts at 8.

    >>> Qcfs(1, levels=4, scale=2.0)(torch.tensor([[-1.0, 0.2, 0.3, 1.3, 9.0]])).tolist()
    [[0.0, 0.0, 0.5, 1.5, 2.0]]
    """

    spiking = False  # spike rates leave it out

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        levels: int = 8,
        scale: float = 4.0,
        granularity: Granularity = "layer",
    ) -> None:
        super().__init__()
        if not 1 <= levels <= MAX_LEVELS:
            raise ConfigError(f"levels must be from 1 to {MAX_LEVELS:,}, not {levels}")
        if not MIN_SCALE <= scale < float("inf"):
            raise ConfigError(f"scale must be at least {MIN_SCALE} and finite, not {scale}")
        if granularity not in ("layer", "channel"):
            raise unknown("granularity", granularity, ["layer", "channel"])
        if granularity == "channel" and channels is None:
            raise ConfigError("granularity 'channel' needs the number of channels")
        self.levels = levels
        shape = [channels] if granularity == "channel" and channels is not None else []
        self.raw_scale = nn.Parameter(torch.full(shape, float(scale)))

    @property
    def limit(self) -> Tensor:
        """s, a scalar or `[C]`."""
        return at_least(self.raw_scale, MIN_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        dtype = x.dtype if x.dtype == torch.float64 else torch.float32
        return quantised_relu(x.to(dtype), self._scale_for(x, dtype), self.levels).to(x.dtype)

    def _scale_for(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return s as it broadcasts against a step of `x` `[T, B, C, ...]`."""
        scale = self.limit.to(dtype)
        return scale.view(-1, *[1] * (x.dim() - 3)) if scale.dim() else scale

    def lower(self, graph: Lowering, name: str) -> None:
        """Add x' = s - x, a neuron that sends n = clip(⌈x' L / s - 1/2⌉, 0, L) and forgets, and
        s - n s / L, which is a(x): n = L - ⌊x L / s + 1/2⌋ also where that is a whole number."""
        s = self.limit.reshape(1, -1).repeat(graph.steps, 1)
        one, size = torch.ones(graph.steps, 1), s / self.levels
        graph.add("ChannelScale", f"{name}_input", factor=-one.expand_as(s), offset=s)
        graph.add(
            "Neuron",
            name,
            leak=0 * s,
            gain=one.expand_as(s),
            threshold=size / 2,
            size=size,
            most=self.levels,
        )
        graph.add("ChannelScale", f"{name}_activation", factor=-size, offset=s)

    def node_value(self, output: Tensor) -> Tensor:
        """Return n, what its node of the export graph sends, of the activations `[T, B, C, ...]`.

        With the code `ttfs` of L steps it is the step at which a neuron `ttfs` fires, L for never.
        """
        return (
            self.levels - (output * (self.levels / self._scale_for(output, output.dtype))).round()
        )

    def decaying_parameters(self) -> list[nn.Parameter]:
        """Return none: decay would pull s to 0."""
        return []

    def extra_repr(self) -> str:
        return f"levels={self.levels}"
