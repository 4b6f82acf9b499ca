"""Batch norm, spiking neuron over all steps and max-pool as one function with its gradient.

What a backend computes row by row stands in `contract`; here is what lies between the rows:
statistics of the norm, and gradients from sums. Nothing of the size of the membranes is kept for
the backward pass but the input.
"""

from __future__ import annotations

from dataclasses import dataclass
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
            statistics = _statistics_of_batch(x, call)
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
            groups = _groups(call)
            # ∂L/∂y and ∂L/∂y · (x - mean), over the rows and steps of each norm
            of_y = _add_steps(gain * sums[SUM_G], groups)
            of_yx = _add_steps(gain * sums[SUM_GX], groups)
            of_bias, of_weight = of_y.float(), (of_yx / deviation).float()
            if ctx.normalises:
                slope, offset = _through_statistics(call, scale, deviation, of_y, of_yx)
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


def _statistics_of_batch(x: Tensor, call: Call) -> Statistics:
    """Return the statistics of the batch, and count them into the running ones."""
    mean, spread = call.backend.moments(x)
    means, spreads = [], []
    begin = 0
    for norm, steps in call.segments:
        part = slice(0, 1) if call.shape.static else slice(begin, begin + steps)
        begin += steps
        group_mean = mean[part].mean(0)
        between = (mean[part] - group_mean).square()
        group_spread = (spread[part] + between).mean(0)
        _count_in(norm, group_mean, group_spread, call.shape.rows * len(mean[part]))
        means.append(group_mean)
        spreads.append(group_spread)
    eps = call.segments[0][0].eps
    return Statistics(torch.stack(means), (torch.stack(spreads) + eps).sqrt())


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


def _groups(call: Call) -> list[int]:
    return [steps for _, steps in call.segments]


def _add_steps(values: Tensor, groups: list[int]) -> Tensor:
    """Sum `[T, C]` over the steps of each group: `[G, C]`."""
    return torch.stack([part.sum(0) for part in values.split(groups)])


def _through_statistics(
    call: Call, scale: Tensor, deviation: Tensor, of_y: Tensor, of_yx: Tensor
) -> tuple[Tensor, Tensor]:
    """Return slope and offset `[Tx, C]` of what the batch's own mean and variance pass on.

    ∂L/∂x = scale (∂L/∂y - 1/n Σ ∂L/∂y - (x - mean) / (n deviation²) Σ ∂L/∂y (x - mean))
    """
    groups = _groups(call)
    begins = torch.tensor(groups).cumsum(0) - torch.tensor(groups)
    scale = scale[begins.to(scale.device)]
    static = call.shape.static
    numbers = torch.tensor(
        [call.shape.rows * (1 if static else steps) for steps in groups],
        dtype=torch.float64,
        device=scale.device,
    ).unsqueeze(1)
    offset = -scale * of_y / numbers
    slope = -scale * of_yx / (numbers * deviation.square())
    if static:  # every norm saw the same input
        return slope.sum(0, keepdim=True), offset.sum(0, keepdim=True)
    counts = torch.tensor(groups, device=scale.device)
    return slope.repeat_interleave(counts, 0), offset.repeat_interleave(counts, 0)
