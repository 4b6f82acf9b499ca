"""Batch norm, spiking neuron over all steps and max-pool as one function with its gradient.

What a backend computes row by row stands in `contract`; here is what lies between the rows:
statistics of the norm, and gradients from sums. Nothing of the size of the membranes is kept for
the backward pass but the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

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

Segments = list[tuple[_BatchNorm, int]]


@dataclass
class Call:
    """One call of a fused layer: what is not a tensor with a gradient.

    Attributes:
        backend: module with the four functions of `contract`.
        shape: of the rows.
        rule: of the neuron.
        segments: batch norms and the number of steps of each, in order; empty without a norm.
        count: whether spikes are to be counted.
        counts: their number at each step `[T]`, float64, once the call is made.
    """

    backend: Any
    shape: Shape
    rule: Rule
    segments: Segments
    count: bool = False
    counts: Tensor | None = None


def fused(
    x: Tensor,
    call: Call,
    *,
    leak: Tensor,
    gain: Tensor,
    threshold: Tensor,
    size: Tensor | None = None,
) -> Tensor:
    """Return spikes `[T, out rows, C]` of rows `[Tx, R, C]`, Tx = 1 where the input is static.

    Args:
        x: contiguous input.
        call: how; its `counts` are filled in.
        leak, gain: `[T]` or `[T, C]`.
        threshold: θ, one value.
        size: reset size, like leak.
    """
    steps, channels = call.shape.steps, call.shape.channels

    def expanded(schedule: Tensor) -> Tensor:
        return by_channel(schedule[:steps]).expand(steps, channels)

    norms = [norm for norm, _ in call.segments]
    weight = torch.stack([norm.weight for norm in norms]) if norms else None
    bias = torch.stack([norm.bias for norm in norms]) if norms else None
    return _Fused.apply(  # type: ignore[return-value]
        x,
        weight,
        bias,
        expanded(leak),
        expanded(gain),
        None if size is None else expanded(size),
        threshold.reshape(1),
        call,
    )


class Statistics(NamedTuple):
    """Mean and deviation √(variance + eps) of each norm, `[G, C]`, float64."""

    mean: Tensor
    deviation: Tensor


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        leak: Tensor,
        gain: Tensor,
        size: Tensor | None,
        threshold: Tensor,
        call: Call,
    ) -> Tensor:
        # In evaluation the statistics are constants, without a gradient.
        ctx.normalises = bool(call.segments) and call.segments[0][0].training
        if ctx.normalises:
            statistics = statistics_of_batch(
                x, call.segments, _grouping(call, x.device), call.backend, static=call.shape.static
            )
        else:
            statistics = statistics_of_evaluation(call.segments)
        steps, channels = call.shape.steps, call.shape.channels
        table = make_table(
            call.segments, statistics, leak, gain, size, steps=steps, channels=channels
        )
        spikes, call.counts = call.backend.forward(
            x, table, threshold.float(), call.shape, call.rule, call.count
        )
        ctx.call = call
        deviation = None if statistics is None else statistics.deviation
        ctx.save_for_backward(x, table, threshold, deviation)
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, table, threshold, deviation = ctx.saved_tensors
        call: Call = ctx.call
        shape = call.shape
        q, sums = call.backend.backward(
            grads[0].contiguous(), x, table, threshold.float(), shape, call.rule
        )
        mean, scale, bias, _, gain, _ = table.double().unbind(0)
        of_gain = scale * sums[SUM_GX] + bias * sums[SUM_G]
        of_weight = of_bias = None
        if call.segments:
            grouping = _grouping(call, x.device)
            # ∂L/∂y and ∂L/∂y · (x - mean), over the rows and steps of each norm
            of_y = grouping.add @ (gain * sums[SUM_G])
            of_yx = grouping.add @ (gain * sums[SUM_GX])
            of_bias, of_weight = of_y.float(), (of_yx / deviation).float()
            if ctx.normalises:
                slope, offset = through_statistics(
                    grouping, shape.static, scale, deviation, of_y, of_yx
                )
                call.backend.finish(
                    q, x, mean[: len(x)].float().contiguous(), offset.float(), slope.float()
                )
        return (
            q,
            of_weight,
            of_bias,
            sums[SUM_GV].float(),
            of_gain.float(),
            sums[SUM_SIZE].float() if call.rule.sized else None,
            sums[SUM_THRESHOLD].sum().float().reshape(1) if call.rule.learns_threshold else None,
            None,
        )


def make_table(
    segments: Segments,
    statistics: Statistics | None,
    leak: Tensor,
    gain: Tensor,
    size: Tensor | None,
    *,
    steps: int,
    channels: int,
) -> Tensor:
    """Return the table of `contract`, `[6, T, C]`, of schedules `[T]` or `[T, C]`."""
    table = leak.new_empty(TABLE, steps, channels, dtype=torch.float32)
    if statistics is None:
        table[MEAN], table[SCALE], table[BIAS] = 0, 1, 0
    begin = 0
    for group, (norm, number) in enumerate(segments):
        assert statistics is not None
        part = slice(begin, begin + number)
        table[MEAN, part] = statistics.mean[group]
        table[SCALE, part] = norm.weight / statistics.deviation[group]
        table[BIAS, part] = norm.bias
        begin += number
    table[LEAK], table[GAIN] = by_channel(leak), by_channel(gain)
    table[SIZE] = 1 if size is None else by_channel(size)
    return table


def by_channel(schedule: Tensor) -> Tensor:
    """Return a schedule `[T]` or `[T, C]` as `[T, 1]` or `[T, C]`."""
    return schedule if schedule.dim() == 2 else schedule.unsqueeze(1)


def statistics_of_evaluation(segments: Segments) -> Statistics | None:
    """Return the running statistics of the norms; None where there are none."""
    if not segments:
        return None
    means = torch.stack([norm.running_mean for norm, _ in segments])  # type: ignore[misc]
    spreads = torch.stack([norm.running_var for norm, _ in segments])  # type: ignore[misc]
    return Statistics(means.double(), (spreads.double() + segments[0][0].eps).sqrt())


def statistics_of_batch(
    x: Tensor, segments: Segments, grouping: Grouping, backend: Any, *, static: bool = False
) -> Statistics:
    """Return the statistics of the batch, and count them into the running ones."""
    mean, spread = backend.moments(x)
    group_mean = grouping.average @ mean
    if not static:
        spread = spread + (mean - group_mean[grouping.of_step]).square()
    group_spread = grouping.average @ spread
    for group, (norm, steps) in enumerate(segments):
        _count_in(
            norm, group_mean[group], group_spread[group], x.shape[1] * (1 if static else steps)
        )
    return Statistics(group_mean, (group_spread + segments[0][0].eps).sqrt())


@torch.no_grad()
def _count_in(norm: _BatchNorm, mean: Tensor, spread: Tensor, number: int) -> None:
    """Move the running statistics of a norm towards those of a batch, as torch does."""
    if norm.running_mean is None or norm.running_var is None:
        return
    factor = norm.momentum
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if factor is None:
            factor = 1 / int(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean.to(norm.running_mean), factor or 0.0)
    unbiased = spread * (number / (number - 1))
    norm.running_var.lerp_(unbiased.to(norm.running_var), factor or 0.0)


class Grouping(NamedTuple):
    """Which steps go through which of G norms, as tensors that sums and gathers take.

    Attributes:
        of_step: the norm of each step, `[T]`.
        first: the first step of each norm, `[G]`.
        average: mean of what was computed at each step over those of a norm, `[G, Tx]`, float64.
        add: sum over the steps of a norm, `[G, T]`, float64.
        numbers: of rows that each norm has seen, `[G, 1]`, float64.
    """

    of_step: Tensor
    first: Tensor
    average: Tensor
    add: Tensor
    numbers: Tensor


def _grouping(call: Call, device: torch.device) -> Grouping:
    shape = call.shape
    return grouping_of(call.segments, shape.rows, static=shape.static, device=device)


def grouping_of(segments: Segments, rows: int, *, static: bool, device: torch.device) -> Grouping:
    """Return which steps go through which norms, of inputs with that many rows a step."""
    return _grouping_of(tuple(steps for _, steps in segments), rows, static, device)


@lru_cache(maxsize=256)
def _grouping_of(
    groups: tuple[int, ...], rows: int, static: bool, device: torch.device
) -> Grouping:
    sizes = torch.tensor(groups)
    of_step = torch.arange(len(groups)).repeat_interleave(sizes)
    add = (of_step == torch.arange(len(groups)).unsqueeze(1)).double()
    # With a static input every norm sees the one step that there is.
    seen = torch.ones(len(groups), 1, dtype=torch.float64) if static else add
    numbers = seen.sum(1, keepdim=True)
    found = (of_step, sizes.cumsum(0) - sizes, seen / numbers, add, rows * numbers)
    return Grouping(*(tensor.to(device) for tensor in found))


def through_statistics(
    grouping: Grouping,
    static: bool,
    scale: Tensor,
    deviation: Tensor,
    of_y: Tensor,
    of_yx: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return slope and offset `[Tx, C]` of what the batch's own mean and variance pass on.

    ∂L/∂x = scale (∂L/∂y - 1/n Σ ∂L/∂y - (x - mean) / (n deviation²) Σ ∂L/∂y (x - mean))
    """
    share = -scale[grouping.first] / grouping.numbers
    offset, slope = share * of_y, share * of_yx / deviation.square()
    if static:  # every norm saw the same input
        return slope.sum(0, keepdim=True), offset.sum(0, keepdim=True)
    return slope[grouping.of_step], offset[grouping.of_step]
