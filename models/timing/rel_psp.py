"""Neurons that fire once, where the sum of ramps crosses the threshold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...core.errors import ConfigError
from ...kernels.dispatch import Kernels
from .functional.rel_psp import events_within, rel_psp
from .kernels import on_cpu
from .neuron import TimingNeuron


class RelPsp(TimingNeuron):
    """Rectified linear post-synaptic potentials: each input opens a ramp, and the neuron fires
    once, where their sum first exceeds θ. See `functional.rel_psp.rel_psp`.

    Args:
        steps, channels: as of `TimingNeuron`.
        threshold: θ, above 0.
        window: end of the time in which inputs count and neurons fire.
        output_window: the same of the last layer; None for `window`.

    Raises:
        ConfigError: an option out of range.

    Source: arXiv 2003.11837.
    """

    def __init__(
        self,
        steps: int,
        channels: int,
        *,
        threshold: float = 1.0,
        window: float = 20.0,
        output_window: float | None = 30.0,
    ) -> None:
        super().__init__(steps, channels)
        ends = {
            "window": window,
            "output_window": window if output_window is None else output_window,
        }
        for key, value in {"threshold": threshold, **ends}.items():
            if not 0 < value < float("inf"):
                raise ConfigError(f"{key} must be above 0 and finite, not {value}")
        self.threshold, self.window = threshold, window
        self._output_window = ends["output_window"]

    def as_output(self) -> RelPsp:
        self.window = self._output_window
        return self

    def fire(self, times: Tensor, weight: Tensor, *, kernels: Kernels = "auto") -> Tensor:
        if on_cpu(times, kernels):
            out = _RelPsp.apply(times, weight, self.threshold, self.window)
        else:
            out = rel_psp(times, weight, threshold=self.threshold, window=self.window)
        return out.unsqueeze(-1)  # type: ignore[union-attr]

    def operations(self, times: Tensor, weight: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Return accumulates and multiply-accumulates: S += w and V += S Δt, one each for every
        input and every neuron that has not fired before it."""
        t, _, opens = events_within(times, self.window)
        fired = out[..., 0].sort(1).values.contiguous()
        before = torch.searchsorted(fired, t.contiguous(), right=False)
        number = ((len(weight) - before) * opens).sum(1).double()
        return number, number


class _RelPsp(torch.autograd.Function):
    """The kernels of the CPU."""

    @staticmethod
    def forward(ctx: Any, times: Tensor, weight: Tensor, threshold: float, window: float) -> Tensor:
        from ...kernels.cpu.timing import rel_psp as kernel

        t, source, opens = events_within(times, window)
        rows = weight.t().contiguous()
        found = kernel.forward(
            t.contiguous().numpy(),
            source.contiguous().numpy(),
            opens.sum(1).numpy(),
            rows.numpy(),
            threshold,
            window,
        )
        out, causal, slope = map(torch.from_numpy, found)
        ctx.save_for_backward(times, t, source, rows, out, causal, slope)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        from ...kernels.cpu.timing import rel_psp as kernel
        from .spike_times import SpikeTimes

        times, *kept = ctx.saved_tensors
        arrays = [each.numpy() for each in (*kept, grads[0].contiguous())]
        of_times, of_rows = map(torch.from_numpy, kernel.backward(*arrays))
        place = SpikeTimes(times).events().place
        into = torch.zeros_like(times).flatten(1).scatter_add_(1, place, of_times)
        return into.view_as(times), of_rows.t(), None, None
