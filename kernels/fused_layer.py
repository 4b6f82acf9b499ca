"""Batch norm, spiking neuron over all steps and max-pool as one differentiable function.

`contract` defines what a backend computes row by row. This file adds the parameters of each step
and the gradients from sums over rows. For the backward pass it saves the input, and nothing else of
its size: no membranes.

Eager code calls the function directly; where torch traces, as the operator of `operators`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .contract import (
    BIAS,
    GAIN,
    LEAK,
    MEAN,
    SCALE,
    SIZE,
    SUM_G,
    SUM_GV,
    SUM_GX,
    SUM_SIZE,
    SUM_THRESHOLD,
    TABLE,
    Rule,
    Shape,
)
from .rules import LEVEL_GRADIENTS, RESETS, SURROGATES
from .statistics import Norms, Segments, grouping_of, norms_of, through_statistics


@dataclass
class Call:
    """One call of a fused layer: its arguments that are not tensors.

    Attributes:
        backend: module with the four functions of `contract`.
        shape: of the rows.
        rule: of the neuron.
        norm_steps: number of steps of each batch norm; empty without a norm.
        by_batch: whether the norms use the statistics of the batch.
        count: whether to count spikes.
        counts: their number at each step `[T]`, float64, after the call.
    """

    backend: Any
    shape: Shape
    rule: Rule
    norm_steps: tuple[int, ...]
    by_batch: bool
    count: bool
    counts: Tensor | None = None


def fused(
    x: Tensor,
    segments: Segments,
    shape: Shape,
    *,
    reset: str,
    surrogate: str,
    alpha: float,
    leak: Tensor,
    gain: Tensor,
    threshold: Tensor,
    size: Tensor | None,
    once: bool = False,
    most: int = 0,
    detached: bool = False,
    count: bool,
    kernels: Any,
) -> tuple[Tensor, Tensor | None]:
    """Return the output `[T, out rows, C]` of rows `[Tx, R, C]`, and the number of spikes at each
    step.

    Args:
        x: contiguous input; Tx = 1 where it is static.
        segments: batch norms and the number of steps of each, in order; empty without a norm.
        shape: of the rows.
        reset, surrogate: names in `rules`; the surrogate may be one of `LEVEL_GRADIENTS`.
        alpha: steepness of the surrogate.
        leak, gain: `[T]` or `[T, C]`.
        threshold: θ, one value or one for each channel.
        size: reset size, like leak; or None.
        once, most, detached: of the rule, see `contract`.
        count: whether to count the spikes.
        kernels: the backend; None while torch traces, to call the operator.
    """
    norms = norms_of(x, segments, kernels, static=shape.static)
    of_norms, norm_steps, by_batch = (None, None, None, None), (), False
    if norms is not None:  # by name: TorchDynamo of torch 2.7 cannot slice a NamedTuple
        of_norms = (norms.weight, norms.bias, norms.mean, norms.deviation)
        norm_steps, by_batch = norms.steps, norms.by_batch
    tensors = (
        x,
        *of_norms,
        _expanded(leak, shape),
        _expanded(gain, shape),
        None if size is None else _expanded(size, shape),
        threshold.reshape(-1),
    )
    learns_threshold = threshold.requires_grad
    if kernels is None:
        spikes, counts, _ = torch.ops.asnn.fused_layer(
            *tensors,
            batch=shape.batch,
            height=shape.height,
            width=shape.width,
            window=shape.window,
            static=shape.static,
            norm_steps=norm_steps,
            by_batch=by_batch,
            reset=reset,
            surrogate=surrogate,
            alpha=alpha,
            learns_threshold=learns_threshold,
            once=once,
            most=most,
            detached=detached,
            count=count,
        )
        return spikes, counts if count else None
    rule = rule_of(
        reset,
        surrogate,
        alpha,
        sized=size is not None,
        learns_threshold=learns_threshold,
        once=once,
        most=most,
        detached=detached,
    )
    call = Call(kernels, shape, rule, norm_steps, by_batch, count)
    return _Fused.apply(*tensors, call), call.counts  # type: ignore[return-value]


def rule_of(
    reset: str,
    surrogate: str,
    alpha: float,
    *,
    sized: bool,
    learns_threshold: bool,
    once: bool = False,
    most: int = 0,
    detached: bool = False,
) -> Rule:
    """Return the rule with the codes of these names."""
    code = LEVEL_GRADIENTS.get(surrogate)
    if code is None:
        code = SURROGATES[surrogate].code
    return Rule(RESETS[reset].code, sized, code, alpha, learns_threshold, once, most, detached)


def _expanded(schedule: Tensor, shape: Shape) -> Tensor:
    return by_channel(schedule[: shape.steps]).expand(shape.steps, shape.channels)


def by_channel(schedule: Tensor) -> Tensor:
    """Return a schedule `[T]` or `[T, C]` as `[T, 1]` or `[T, C]`."""
    return schedule if schedule.dim() == 2 else schedule.unsqueeze(1)


def make_table(
    norms: Norms | None, leak: Tensor, gain: Tensor, size: Tensor | None, *, shape: Shape
) -> Tensor:
    """Return the table of `contract`, `[6, T, C]`, of schedules `[T]` or `[T, C]`."""
    table = leak.new_empty(TABLE, shape.steps, shape.channels, dtype=torch.float32)
    if norms is None:
        table[MEAN], table[SCALE], table[BIAS] = 0, 1, 0
    elif len(norms.steps) == 1:
        table[MEAN], table[BIAS] = norms.mean, norms.bias
        table[SCALE] = norms.weight / norms.deviation
    else:
        scale, begin = norms.weight / norms.deviation, 0
        for group, number in enumerate(norms.steps):
            part = slice(begin, begin + number)
            table[MEAN, part], table[BIAS, part] = norms.mean[group], norms.bias[group]
            table[SCALE, part] = scale[group]
            begin += number
    table[LEAK], table[GAIN] = by_channel(leak), by_channel(gain)
    table[SIZE] = 1 if size is None else by_channel(size)
    return table


def fused_forward(
    call: Call,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    deviation: Tensor | None,
    leak: Tensor,
    gain: Tensor,
    size: Tensor | None,
    threshold: Tensor,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return spikes, their number at each step, and the table."""
    norms = None
    if weight is not None and bias is not None and mean is not None and deviation is not None:
        norms = Norms(weight, bias, mean, deviation, call.norm_steps, call.by_batch)
    table = make_table(norms, leak, gain, size, shape=call.shape)
    spikes, counts = call.backend.forward(
        x, table, threshold.float(), call.shape, call.rule, call.count
    )
    return spikes, counts, table


def fused_backward(
    call: Call,
    grad: Tensor,
    x: Tensor,
    table: Tensor,
    threshold: Tensor,
    deviation: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of x, weight, bias, leak, gain, size and threshold."""
    shape, rule = call.shape, call.rule
    q, sums = call.backend.backward(grad, x, table, threshold.float(), shape, rule)
    mean, scale, bias, _, gain, _ = table.double().unbind(0)
    gain_grad = scale * sums[SUM_GX] + bias * sums[SUM_G]
    weight_grad = bias_grad = None
    if deviation is not None:
        grouping = grouping_of(call.norm_steps, shape.rows, static=shape.static, device=x.device)
        # Σ ∂L/∂y and Σ ∂L/∂y (x - mean), over the rows and steps of each norm
        y_grad = grouping.add @ (gain * sums[SUM_G])
        yx_grad = grouping.add @ (gain * sums[SUM_GX])
        bias_grad, weight_grad = y_grad.float(), (yx_grad / deviation).float()
        if call.by_batch:
            slope, offset = through_statistics(
                grouping, shape.static, scale, deviation, y_grad, yx_grad
            )
            call.backend.finish(
                q, x, mean[: len(x)].float().contiguous(), offset.float(), slope.float()
            )
    return (
        q,
        weight_grad,
        bias_grad,
        sums[SUM_GV].float(),
        gain_grad.float(),
        sums[SUM_SIZE].float() if rule.sized else None,
        _of_thresholds(sums[SUM_THRESHOLD], threshold) if rule.learns_threshold else None,
    )


def _of_thresholds(sums: Tensor, threshold: Tensor) -> Tensor:
    """Return ∂L/∂θ, like θ, of its sums `[T, C]`."""
    sums = sums.sum(0) if len(threshold) > 1 else sums.sum().reshape(1)
    return sums.float()


class _Fused(torch.autograd.Function):
    """The function for eager code: without the dispatcher, which costs more than a small layer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *args: Any) -> Tensor:
        *tensors, call = args
        spikes, call.counts, table = fused_forward(call, x, *tensors)
        ctx.call = call
        ctx.save_for_backward(x, table, tensors[-1], tensors[3])
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, table, threshold, deviation = ctx.saved_tensors
        found = fused_backward(ctx.call, grads[0].contiguous(), x, table, threshold, deviation)
        x_grad, weight, bias, leak, gain, size, threshold_grad = found
        return x_grad, weight, bias, None, None, leak, gain, size, threshold_grad, None
