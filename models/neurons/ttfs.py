"""Time to first spike: neurons that read a whole window, then fire once, the earlier the more."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.errors import ConfigError
from .functional.quantised import level_of, quantised_relu
from .leaky import Granularity
from .qcfs import Qcfs
from .ranges import RangeRule, range_of_layer, require_channels


class Ttfs(Qcfs):
    """One spike in a window of L = T steps, at the step T - q of a level q; none for q = 0.

        V = Σ_t x_t                          in the window of its input
        spike at the first t with V ≥ s (T - t - 1/2)      t = 0 .. T - 1, in its own window
        so that q = clip(⌊V / s + 1/2⌋, 0, T)

    The threshold falls over the neuron's own window, which begins when that of its input ends. A
    spike opens a constant current, so it is shown as s from its step to the last one: `held`. Then
    the mean over the steps is s q / T, the activation of `qcfs` with L = T for the mean of the
    input, and all that is linear, and the earliest spike of a max-pool, go over from one to the
    other: a network of these neurons has level for level the activations of an ANN of `qcfs`
    neurons. Steps are counted from the beginning of each layer's window; on a common clock the
    layer l fires at the steps l T to (l + 1) T - 1 (`asnn.models.clocked`).

    Gradients are those of `quantised_relu` for the mean of the input.

    Args:
        steps: T, the length of a window and the number of levels; an input has as many.
        channels: number of channels C, required by granularity `channel`.
        scale: start value of s, at least 0.01, where it stays.
        granularity: of s: `layer` (a scalar) or `channel`.

    Attributes:
        amplitude: s, a scalar or `[C]`.
        held: True, see `asnn.models.layer.onsets`.

    Raises:
        ConfigError: an option out of range.

    Source: after arXiv 2006.09982 (one spike a neuron), of which the abstract alone was at hand;
    the windows and the equality with a quantised ANN are chosen here.

    >>> Ttfs(4, scale=2.0)(torch.tensor([[0.0], [0.0], [0.0], [4.0]]))[:, 0].tolist()
    [0.0, 0.0, 2.0, 2.0]
    """

    spiking = True
    held = True

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        scale: float = 4.0,
        granularity: Granularity = "layer",
    ) -> None:
        super().__init__(steps, channels, levels=steps, scale=scale, granularity=granularity)

    @property
    def amplitude(self) -> Tensor:
        """s, a scalar or `[C]`."""
        return self.limit

    def forward(self, x: Tensor) -> Tensor:
        """Return s from the step of the spike on, else 0, `[T, B, C, ...]`.

        Raises:
            ConfigError: the input has another number of steps.
        """
        self.check(x)
        dtype = x.dtype if x.dtype == torch.float64 else torch.float32
        scale = self._scale_for(x, dtype)
        mean = x.to(dtype).mean(0)
        t = torch.arange(self.levels, device=x.device).view(-1, *[1] * mean.dim())
        held = (t >= self.levels - level_of(mean, scale, self.levels)) * scale.detach()
        if torch.is_grad_enabled() and (mean.requires_grad or scale.requires_grad):
            activation = quantised_relu(mean, scale, self.levels)
            held = held + (activation - activation.detach())
        return held.to(x.dtype)

    def check(self, x: Tensor) -> None:
        """Refuse an input `[T, B, ...]` of another number of steps.

        Raises:
            ConfigError: with the reason.
        """
        if len(x) != self.levels:
            raise ConfigError(
                f"neurons 'ttfs' read windows of {self.levels} steps, not of {len(x)}",
                why="a layer fires after the whole window of the layer before it",
                remedy=f"give the network all its {self.levels} steps; coding.steps is their "
                "number",
            )

    @torch.no_grad()
    def calibrate(self, activations: Tensor, rule: RangeRule = "mse") -> None:
        """Set s to the range of an ANN's activations of the same layer, `[T, B, C, ...]`.

        Where all are 0, s stays as it is.

        Args:
            activations: of the ANN, whatever its T.
            rule: how the range is found, see `activation_range`.

        Raises:
            ConfigError: the rule is unknown.
        """
        by_channel = self.raw_scale.dim() > 0
        limit = range_of_layer(
            activations, rule, levels=self.levels, fraction=0.5, by_channel=by_channel
        )
        if limit is not None:
            self.use_limit(limit)

    @torch.no_grad()
    def use_limit(self, limit: Tensor) -> None:
        """Set s to the greatest activation of the same layer of an ANN, a scalar or `[C]`.

        Raises:
            ConfigError: it is of channels, s of the layer.
        """
        self.require_limit(limit)
        self.raw_scale.copy_(limit)

    def require_limit(self, limit: Tensor) -> None:
        """Refuse greatest activations of channels for one s of the layer.

        Raises:
            ConfigError: with what to do.
        """
        require_channels(limit, self.raw_scale)
