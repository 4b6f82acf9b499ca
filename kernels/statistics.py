"""Statistics of batch norms over groups of time steps, and the gradient through them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from .dispatch import is_traced

# Batch norms and the number of steps of each, in order.
Segments = list[tuple[_BatchNorm, int]]


class Norms(NamedTuple):
    """The batch norms of a layer as tensors, `[G, C]` for G norms.

    Attributes:
        weight, bias: learned, float32.
        mean: that normalises, float64.
        deviation: √(variance + eps), float64.
        steps: number of steps of each norm.
        by_batch: whether mean and deviation are those of the batch, which pass on gradients.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    deviation: Tensor
    steps: tuple[int, ...]
    by_batch: bool


def norms_of(x: Tensor, segments: Segments, kernels: Any, *, static: bool = False) -> Norms | None:
    """Return the norms that rows `[Tx, R, C]` go through; None without norms.

    In training they are normalised by the batch, and the running statistics follow. `kernels` is
    the backend, or None while torch traces.
    """
    if not segments:
        return None
    if not segments[0][0].training:
        return evaluation_norms(segments)
    steps = tuple(number for _, number in segments)
    if kernels is None:
        mean, variance = torch.ops.asnn.norm_statistics(x.detach(), norm_steps=steps, static=static)
    else:
        mean, variance = batch_statistics(x, steps, kernels, static=static)
    for group, (norm, number) in enumerate(segments):
        rows = x.shape[1] * (1 if static else number)
        update_running(norm, mean[group], variance[group] * (rows / (rows - 1)))
    deviation = (variance + segments[0][0].eps).sqrt()
    return Norms(*_affine(segments), mean, deviation, steps, by_batch=True)


def evaluation_norms(segments: Segments) -> Norms:
    """Return the norms with their running statistics."""
    means: Any = [norm.running_mean for norm, _ in segments]
    variances: Any = [norm.running_var for norm, _ in segments]
    deviation = (_stacked(variances).double() + segments[0][0].eps).sqrt()
    steps = tuple(number for _, number in segments)
    return Norms(*_affine(segments), _stacked(means).double(), deviation, steps, by_batch=False)


def _affine(segments: Segments) -> tuple[Tensor, Tensor]:
    return (
        _stacked([norm.weight for norm, _ in segments]),
        _stacked([norm.bias for norm, _ in segments]),
    )


def _stacked(tensors: list[Tensor]) -> Tensor:
    # A view is cheaper, which counts in small layers.
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(tensors)


def batch_statistics(
    x: Tensor, norm_steps: Sequence[int], kernels: Any, *, static: bool
) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of the rows `[Tx, R, C]` of each norm, `[G, C]`, float64."""
    grouping = grouping_of(norm_steps, x.shape[1], static=static, device=x.device)
    mean, variance = kernels.moments(x)
    norm_mean = grouping.average @ mean
    if not static:
        variance = variance + (mean - norm_mean[grouping.norm_of_step]).square()
    return norm_mean, grouping.average @ variance


@torch.no_grad()
def update_running(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics of a norm towards those of its n-th batch.

        running ← running + w (batch - running),   w = `count_batch(norm)`

    Args:
        norm: the batch norm.
        mean, variance: of the batch, `[C]`; the variance is the unbiased one.
    """
    if norm.running_mean is None or norm.running_var is None:
        return
    weight = count_batch(norm)
    norm.running_mean.lerp_(mean.to(norm.running_mean), weight)
    norm.running_var.lerp_(variance.to(norm.running_var), weight)


def count_batch(norm: _BatchNorm) -> Tensor | float:
    """Count the n-th batch of a norm, and return its weight in the running statistics.

    It is the momentum as torch has it, or 1/n without momentum; max(momentum, 1/n) of a norm that
    is `bias_corrected`.
    """
    weight = norm.momentum or 0.0
    if norm.num_batches_tracked is None:
        return weight
    norm.num_batches_tracked.add_(1)
    corrected = getattr(norm, "bias_corrected", False) and norm.momentum != 0  # 0: frozen
    if norm.momentum is None or corrected:
        batches = norm.num_batches_tracked
        if batches.device.type == "cpu" and not is_traced(batches):
            return max(1 / int(batches), weight)
        # To read the count would wait for the device.
        kind: Any = norm.running_mean
        return batches.to(kind.dtype).reciprocal().clamp(min=weight)
    return weight


class Grouping(NamedTuple):
    """Which of T steps belong to which of G norms, for gathers and sums.

    Attributes:
        norm_of_step: index of the norm of each step, `[T]`.
        first: the first step of each norm, `[G]`.
        average: mean over the steps of a norm, `[G, Tx]`, float64.
        add: sum over the steps of a norm, `[G, T]`, float64.
        rows: number of rows in the statistics of each norm, `[G, 1]`, float64.
    """

    norm_of_step: Tensor
    first: Tensor
    average: Tensor
    add: Tensor
    rows: Tensor


def grouping_of(
    norm_steps: Sequence[int], rows: int, *, static: bool, device: torch.device
) -> Grouping:
    """Return the grouping of inputs with that many rows a step."""
    return _grouping_of(tuple(norm_steps), rows, static, device)


@lru_cache(maxsize=256)
def _grouping_of(
    norm_steps: tuple[int, ...], rows: int, static: bool, device: torch.device
) -> Grouping:
    steps = torch.tensor(norm_steps)
    norm_of_step = torch.arange(len(norm_steps)).repeat_interleave(steps)
    add = (norm_of_step == torch.arange(len(norm_steps)).unsqueeze(1)).double()
    # With a static input every norm sees its only step.
    seen = torch.ones(len(norm_steps), 1, dtype=torch.float64) if static else add
    seen_steps = seen.sum(1, keepdim=True)
    found = (norm_of_step, steps.cumsum(0) - steps, seen / seen_steps, add, rows * seen_steps)
    return Grouping(*(tensor.to(device) for tensor in found))


def through_statistics(
    grouping: Grouping,
    static: bool,
    scale: Tensor,
    deviation: Tensor,
    y_grad: Tensor,
    yx_grad: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return slope and offset `[Tx, C]` of the gradient through the batch's mean and variance.

    ∂L/∂x = scale (∂L/∂y - 1/n Σ ∂L/∂y - (x - mean) / (n deviation²) Σ ∂L/∂y (x - mean))

    Args:
        grouping: of the steps.
        static: whether all steps have the same input.
        scale: weight / deviation of each step, `[T, C]`.
        deviation: of each norm, `[G, C]`.
        y_grad, yx_grad: Σ ∂L/∂y and Σ ∂L/∂y (x - mean) of each norm, `[G, C]`.
    """
    share = -scale[grouping.first] / grouping.rows
    offset, slope = share * y_grad, share * yx_grad / deviation.square()
    if static:  # every norm saw the same input
        return slope.sum(0, keepdim=True), offset.sum(0, keepdim=True)
    return slope[grouping.norm_of_step], offset[grouping.norm_of_step]
