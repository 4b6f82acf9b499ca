"""Leaky integrate-and-fire neurons of many exact spike times."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...core.errors import ConfigError
from ...core.registry import unknown
from ...kernels.dispatch import Kernels
from .functional.multi_spike import (
    MEMBRANES,
    Membrane,
    MultiSpikeOptions,
    advance,
    multi_spike,
)
from .kernels import on_cpu
from .neuron import TimingNeuron
from .spike_times import SpikeTimes


class MultiSpike(TimingNeuron):
    """A neuron that fires up to S times, at exact times, and is differentiated at each of them.

        V' = -V/τ + I        I(t) = Σ_{t_i<t} w_i exp(-(t - t_i)/τ_s)        V(t_m) = θ, then V = 0

    From V(t_m) = θ, with ε the response to an input and V'(t_m) = I(t_m) - θ/τ,

        ∂t_m/∂w_i = -ε(t_m - t_i) / V'(t_m)        ∂t_m/∂t_i = w_i ε'(t_m - t_i) / V'(t_m)
        ∂t_m/∂t_n = θ/τ exp(-(t_m - t_n)/τ) / V'(t_m)    of an own spike n < m

    A spike that only touches θ, V'(t_m) < 1e-6 θ/τ_s, has no gradient.

    Args:
        steps: 1.
        channels: number of neurons.
        membrane: `double`, τ = 2 τ_s; `integrator`, τ = ∞; `equal`, τ = τ_s.
        tau_s: time constant of the synapses, in units of the input times, as is `window`.
        threshold: θ.
        window: the time after which a neuron fires no more.
        most: S; a neuron that would fire again stays silent, and is counted in `overflows`.
        output_threshold, output_window: θ and the window of the last layer; None for the same.

    Attributes:
        overflows, runs: how many neurons would have fired after S spikes, of how many in all
            samples, since they were last set to 0.

    Raises:
        ConfigError: an option out of range.

    Source: Bacho and Chu, arXiv 2211.16113, and the published code; the membranes are our reading.
    """

    def __init__(
        self,
        steps: int,
        channels: int,
        *,
        membrane: Membrane = "double",
        tau_s: float = 0.13,
        threshold: float = 0.2,
        window: float = 0.2,
        most: int = 30,
        output_threshold: float | None = None,
        output_window: float | None = None,
    ) -> None:
        super().__init__(steps, channels)
        if membrane not in get_args(Membrane):
            raise unknown("membrane", membrane, list(get_args(Membrane)))
        sizes = {
            "tau_s": tau_s,
            "threshold": threshold,
            "window": window,
            "output_threshold": output_threshold,
            "output_window": output_window,
        }
        for name, value in sizes.items():
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be above 0 and finite, not {value}")
        if most < 1:
            raise ConfigError(f"most, the spikes of a neuron, must be at least 1, not {most}")
        self.options = MultiSpikeOptions(membrane, tau_s, threshold, window, most)
        self._of_output = dataclasses.replace(
            self.options,
            threshold=threshold if output_threshold is None else output_threshold,
            window=window if output_window is None else output_window,
        )
        self.most, self.window = most, window
        self.overflows, self.runs = 0, 0

    def as_output(self) -> MultiSpike:
        self.options = self._of_output
        self.window = self.options.window
        return self

    def fire(self, times: Tensor, weight: Tensor, *, kernels: Kernels = "auto") -> Tensor:
        found, lost = fire(times, weight, self.options, kernels=kernels)
        self.overflows += int(lost.sum())
        self.runs += lost.numel()
        return found

    def operations(self, times: Tensor, weight: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Return accumulates and multiply-accumulates: two each, of a jump and of a decay of both
        exponentials, for every input and every neuron that has not fired S times before it."""
        events = SpikeTimes(times).events().times
        ends = out[..., -1].sort(dim=1).values.contiguous()
        ended = torch.searchsorted(ends, events.contiguous())
        counts = events < self.options.window
        number = 2 * ((len(weight) - ended) * counts).sum(1).double()
        return number, number

    def extra_repr(self) -> str:
        of = self.options
        return f"{of.membrane}, τ_s={of.tau_s}, θ={of.threshold}, until {of.window}, S={of.most}"


def fire(
    times: Tensor, weight: Tensor, options: MultiSpikeOptions, *, kernels: Kernels = "auto"
) -> tuple[Tensor, Tensor]:
    """Return what `functional.multi_spike` returns, by the kernels where they compute it.

    Raises:
        ConfigError: `kernels` is `fused`, and they cannot compute it.
    """
    if not on_cpu(times, kernels):
        return multi_spike(times, weight, options)
    found, lost = _MultiSpike.apply(times, weight, options)  # type: ignore[misc]
    return found, lost


class _MultiSpike(torch.autograd.Function):
    """The kernels as a differentiable function."""

    @staticmethod
    def forward(ctx: Any, times: Tensor, weight: Tensor, options: MultiSpikeOptions) -> Any:
        from ...kernels.cpu.timing import multi_spike as kernel
        from ...kernels.cpu.timing.compiled import over_blocks

        events = SpikeTimes(times).events()
        shape = (len(times), len(weight))
        found = times.new_full((*shape, options.most), float("inf"))
        slopes = times.new_zeros(found.shape)
        counts = torch.zeros(shape, dtype=torch.long)
        over_blocks(
            kernel.forward,
            len(times),
            MEMBRANES.index(options.membrane),
            options.tau_s,
            options.threshold,
            options.window,
            events.times.contiguous().numpy(),
            events.source.contiguous().numpy(),
            events.number.numpy(),
            weight.detach().t().contiguous().numpy(),
            found.numpy(),
            slopes.numpy(),
            counts.numpy(),
        )
        lost = (counts > options.most).long()
        ctx.options, ctx.shape = options, times.shape
        ctx.mark_non_differentiable(lost)
        ctx.save_for_backward(weight, found, slopes, *events)
        return found, lost

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        from ...kernels.cpu.timing import multi_spike as kernel
        from ...kernels.cpu.timing.compiled import over_blocks

        weight, found, slopes, moments, source, place, count = ctx.saved_tensors
        options: MultiSpikeOptions = ctx.options
        needs_times, needs_weight = ctx.needs_input_grad[:2]
        blocks = -(-len(weight) // kernel.NEURONS_A_BLOCK)
        of_weight = torch.zeros_like(weight, memory_format=torch.contiguous_format)
        events = moments.shape if needs_times else (len(moments), 0)
        of_times = weight.new_zeros(blocks, *events)
        over_blocks(
            kernel.backward,
            blocks,
            MEMBRANES.index(options.membrane),
            options.tau_s,
            options.threshold,
            moments.contiguous().numpy(),
            source.contiguous().numpy(),
            count.numpy(),
            _intervals(moments, options).numpy(),
            weight.detach().contiguous().numpy(),
            grads[0].contiguous().numpy(),
            found.numpy(),
            slopes.numpy(),
            of_weight.numpy(),
            of_times.numpy(),
        )
        grad_times = None
        if needs_times:
            flat = weight.new_zeros(ctx.shape).flatten(1)
            grad_times = flat.scatter_add(1, place, of_times.sum(0)).view(ctx.shape)
        return grad_times, of_weight if needs_weight else None, None


def _intervals(moments: Tensor, options: MultiSpikeOptions) -> Tensor:
    """Return p, q, s from each event `[B, E]` to the next, `[B, E, 3]`; of no event what fits."""
    then = torch.cat([moments[:, 1:], moments[:, -1:]], 1)
    d = torch.where(then.isfinite(), then, 0.0) - torch.where(then.isfinite(), moments, 0.0)
    p, _ = advance(torch.ones_like(d), torch.zeros_like(d), d, options)
    q, s = advance(torch.zeros_like(d), torch.ones_like(d), d, options)
    return torch.stack([p, q, s], 2).contiguous()
