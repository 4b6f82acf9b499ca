"""The CPU backend: numba kernels over float32 tensors. See `contract` for what they compute."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..contract import SUMS, Rule, Shape
from ..memory import buffers
from . import batch_norm, filters, shifts
from .amx.check import has_tiles as has_tiles
from .convolutions import (
    convolve_events as convolve_events,
)
from .convolutions import (
    convolve_tiles as convolve_tiles,
)
from .convolutions import (
    pack_weights as pack_weights,
)
from .convolutions import (
    weight_grad_events as weight_grad_events,
)
from .convolutions import (
    weight_grad_tiles as weight_grad_tiles,
)
from .isa import has_wide_registers as has_wide_registers
from .neurons import passes, step
from .representation import (
    integrate as integrate,
)
from .representation import (
    integrate_backward as integrate_backward,
)
from .representation import (
    norm_backward as norm_backward,
)
from .representation import (
    spike_covariance as spike_covariance,
)
from .threads import run


def moments(x: Tensor) -> Tensor:
    """Return mean and biased variance `[2, Tx, C]`, float64."""
    means, squares = _over_rows("moments", x, {}, sums=True).double().unbind(2)
    # Chan's formula combines the blocks.
    shares = _shares(x.shape[1])
    mean = shares @ means
    between = shares @ (means - mean.unsqueeze(1)).square()
    return torch.stack([mean, squares.sum(1) / x.shape[1] + between])


def normed(
    x: Tensor, mean: Tensor, scale: Tensor, offset: Tensor, *, other: Tensor | None = None
) -> Tensor:
    """Return (x - mean) scale + offset, plus `other` if there is one.

    x and other are `[T, R, C]`, mean, scale and offset `[T, C]`.
    """
    out = buffers.take(*x.shape)
    tensors = {"addend": other, "out": out, "mean": mean, "scale": scale, "offset": offset}
    _over_rows("normed", x, tensors)
    return out


def products(grad: Tensor, x: Tensor, mean: Tensor) -> Tensor:
    """Return sums over rows of grad and of grad (x - mean), `[2, T, C]`, float64."""
    sums = _over_rows("products", x, {"grad": grad, "mean": mean}, sums=True)
    return sums.sum(1, dtype=torch.float64).transpose(0, 1)


def normed_backward(
    grad: Tensor, x: Tensor, mean: Tensor, scale: Tensor, offset: Tensor, slope: Tensor
) -> Tensor:
    """Return scale grad + offset + (x - mean) slope, `[T, R, C]`."""
    out = buffers.take(*x.shape)
    tensors = {"mean": mean, "scale": scale, "offset": offset, "slope": slope}
    _over_rows("normed_backward", x, {"grad": grad, "out": out, **tensors})
    return out


def _over_rows(
    task: str, x: Tensor, tensors: dict[str, Tensor | None], *, sums: bool = False
) -> Tensor:
    """Run a task of `batch_norm` over blocks of rows; return their sums `[T, blocks, 2, C]`."""
    steps, rows, channels = x.shape
    chunks = -(-rows // batch_norm.ROWS_A_BLOCK)
    of_blocks = x.new_empty(steps, chunks, 2, channels) if sums else x.new_empty(0)
    args = np.zeros((), batch_norm.ARGUMENTS)
    args["blocks"], args["chunks"] = steps * chunks, chunks
    args["rows"], args["channels"] = rows, channels
    args["x"], args["sums"] = x.data_ptr(), of_blocks.data_ptr()
    for name, tensor in tensors.items():
        args[name] = 0 if tensor is None else tensor.data_ptr()
    if x.numel():
        run(task, args, steps * chunks)
    return of_blocks


@lru_cache(maxsize=256)
def _shares(rows: int) -> Tensor:
    """Return the share of the rows that each block of `moments` has."""
    block = batch_norm.ROWS_A_BLOCK
    sizes = torch.full((-(-rows // block),), float(block)).double()
    if rows % block:
        sizes[-1] = rows % block
    return sizes / rows


def forward(
    x: Tensor, table: Tensor, threshold: Tensor, shape: Shape, rule: Rule, count: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the output `[T, out rows, C]` and, with `count`, the number of spikes at each step."""
    out = buffers.take(shape.steps, shape.out_rows, shape.channels)
    args = _arguments(x, out, table, threshold, shape, rule)
    counts = torch.zeros(shape.steps, dtype=torch.float64) if count else None
    for part in _parts(shape):
        blocks = _choose(args, part)
        if counts is None:  # the address stays 0
            run(f"forward_{part.lanes}", args, blocks)
            continue
        of_blocks = x.new_zeros(blocks, shape.steps)
        args["counts"] = of_blocks.data_ptr()
        run(f"forward_{part.lanes}", args, blocks)
        counts += of_blocks.sum(0, dtype=torch.float64)
    return out, counts


def backward(
    grad: Tensor, x: Tensor, table: Tensor, threshold: Tensor, shape: Shape, rule: Rule
) -> tuple[Tensor, Tensor]:
    """Return q, like x, and the sums `[5, T, C]`, float64."""
    q = buffers.take(*x.shape)
    args = _arguments(x, grad, table, threshold, shape, rule)
    sums = x.new_zeros(_chunks(args), SUMS, shape.steps, shape.channels)
    args["q"], args["sums"] = q.data_ptr(), sums.data_ptr()
    args["alpha"] = rule.alpha
    step = 4 * passes.CHANNELS_A_BLOCK
    grad_offset = step * (1 if shape.static else shape.steps)
    args["grad_offset"], args["scratch_values"] = grad_offset, grad_offset + step * shape.steps
    for part in _parts(shape):
        run(f"backward_{part.lanes}", args, _choose(args, part))
    return q, sums.sum(0, dtype=torch.float64)


def finish(q: Tensor, x: Tensor, mean: Tensor, offset: Tensor, slope: Tensor) -> None:
    """Add to q the gradient that passes through batch norm's statistics, in place."""
    tensors = {"mean": mean, "scale": torch.ones_like(mean), "offset": offset, "slope": slope}
    _over_rows("normed_backward", x, {"grad": q, "out": q, **tensors})


def step_forward(x: Tensor, v: Tensor, factors: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
    """Return spikes and membranes after a step, `[R, C]`; see `kernels.step`."""
    out, after = buffers.take(*x.shape), buffers.take(*x.shape)
    _stepped("step_forward", factors, rule, {"x": x, "v": v, "out": out, "after": after})
    return out, after


def step_backward(
    grad: Tensor, after_grad: Tensor, x: Tensor, v: Tensor, factors: Tensor, rule: Rule
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x and v, and those of the factors `[3, C]`, float64."""
    q, v_grad = buffers.take(*x.shape), buffers.take(*x.shape)
    given = {"x": x, "v": v, "out": grad, "after": after_grad}
    sums = _stepped("step_backward", factors, rule, {**given, "q": q, "v_grad": v_grad})
    return q, v_grad, sums


def _stepped(task: str, factors: Tensor, rule: Rule, tensors: dict[str, Tensor]) -> Tensor:
    """Run a task of `step`; return its sums `[3, C]`, float64."""
    rows, channels = tensors["x"].shape
    group = max(1, step.VALUES // max(1, channels))
    of_block = group * -(-rows // (group * step.MAX_BLOCKS))
    blocks = -(-rows // of_block) if of_block else 0
    repeated = factors.unsqueeze(1).repeat(1, group, 1)
    found = factors.new_zeros(blocks, step.FACTORS, group, channels)
    args = np.zeros((), step.ARGUMENTS)
    args["blocks"], args["values"] = blocks, rows * channels
    args["values_a_block"], args["values_a_group"] = of_block * channels, group * channels
    args["reset"], args["surrogate"] = rule.reset, rule.surrogate
    args["detached"], args["alpha"] = rule.detached, rule.alpha
    for name, tensor in {**tensors, "factors": repeated, "sums": found}.items():
        args[name] = tensor.data_ptr()
    if channels:
        run(task, args, blocks)
    return found.sum((0, 2), dtype=torch.float64)


def filter_forward(x: Tensor, poles: Tensor, gain: Tensor) -> Tensor:
    """Return the filtered rows `[T, R, C]`; see `kernels.filters`."""
    out, _ = _filtered("filter_forward", poles, gain, {"x": x.float()}, sums=False)
    return out.to(x.dtype)


def filter_backward(
    grad: Tensor, x: Tensor, poles: Tensor, gain: Tensor, learns: bool
) -> tuple[Tensor, Tensor]:
    """Return the gradient of x, and with `learns` those of poles and gain, `[P + 1, C]`."""
    tensors = {"x": x.float(), "grad": grad.float()}
    out, sums = _filtered("filter_backward", poles, gain, tensors, sums=learns)
    return out.to(x.dtype), sums


def _filtered(
    task: str, poles: Tensor, gain: Tensor, tensors: dict[str, Tensor], *, sums: bool
) -> tuple[Tensor, Tensor]:
    """Run a task of `filters`; return rows like x, and the sums, float64."""
    x = tensors["x"]
    steps, rows, channels = x.shape
    count, group = len(poles), max(1, filters.VALUES // max(1, channels))
    of_block = group * -(-rows // (group * filters.MAX_BLOCKS))
    blocks = -(-rows // of_block) if of_block else 0
    factors = torch.cat([poles, gain.unsqueeze(0)]).unsqueeze(1).repeat(1, group, 1)
    out = buffers.take(*x.shape)
    found = x.new_zeros(blocks if sums else 0, count + 1, channels)
    args = np.zeros((), filters.ARGUMENTS)
    args["blocks"], args["rows_a_block"], args["rows_a_group"] = blocks, of_block, group
    args["steps"], args["rows"], args["channels"], args["count"] = steps, rows, channels, count
    for name, tensor in {**tensors, "factors": factors, "out": out}.items():
        args[name] = tensor.data_ptr()
    args["sums"] = found.data_ptr() if sums else 0
    if x.numel():
        run(task, args, blocks)
    return out, found.sum(0, dtype=torch.float64)


def sum_rows(
    x: Tensor,
    out: Tensor,
    places: list[int],
    terms: list[list[int]],
    rows: int,
    channels: int,
    *,
    strides: tuple[int, int],
) -> None:
    """Write sums of rows into `out`: for each output the sum of its terms, 0 of none.

    Args:
        x: the input.
        out: the memory of the outputs.
        places: for each output, where its first row begins in `out`, in values.
        terms: for each output, where the first rows of its terms begin in `x`.
        rows, channels: of an output.
        strides: from a row to the next, in `x` and in `out`.
    """
    if not rows * channels * len(places):
        return
    sources = np.full((len(terms), max(1, *map(len, terms))), -1, np.int64)
    for row, found in zip(sources, terms, strict=True):
        row[: len(found)] = found
    of_block = max(1, shifts.VALUES // channels)
    begins = np.array(places, np.int64)
    args = np.zeros((), shifts.ARGUMENTS)
    args["blocks"], args["outputs"] = -(-rows // of_block), len(places)
    args["rows_a_block"], args["rows"], args["channels"] = of_block, rows, channels
    args["terms"], args["x"], args["out"] = sources.shape[1], x.data_ptr(), out.data_ptr()
    args["x_stride"], args["out_stride"] = strides
    args["places"], args["sources"] = begins.ctypes.data, sources.ctypes.data
    run("sum_rows", args, int(args["blocks"]))


def _arguments(
    x: Tensor, out: Tensor, table: Tensor, threshold: Tensor, shape: Shape, rule: Rule
) -> np.ndarray:
    """Return the argument struct of a pass, without the channels that a task computes."""
    window_height, window_width = shape.window
    if window_height * window_width == 1:
        windows = -(-shape.rows // 4)
    else:
        windows = shape.batch * -(-shape.height // window_height) * -(-shape.width // window_width)
    args = np.zeros((), passes.ARGUMENTS)
    args["windows"] = windows
    args["x"], args["out"] = x.data_ptr(), out.data_ptr()
    args["table"], args["threshold"] = table.data_ptr(), threshold.data_ptr()
    args["thresholds"] = len(threshold)
    args["steps"] = shape.steps
    args["step_stride"] = 0 if shape.static else shape.rows * shape.channels
    args["rows"], args["out_rows"] = shape.rows, shape.out_rows
    args["channels"] = shape.channels
    args["height"], args["width"] = shape.height, shape.width
    args["window_height"], args["window_width"] = shape.window
    args["reset"], args["sized"] = rule.reset, rule.sized
    args["surrogate"], args["learns_threshold"] = rule.surrogate, rule.learns_threshold
    args["once"], args["most"], args["detached"] = rule.once, rule.most, rule.detached
    return args


class _Part(NamedTuple):
    """Channels that one task computes: as many as fill vectors of one width."""

    lanes: int
    first: int
    end: int


def _parts(shape: Shape) -> list[_Part]:
    parts, first = [], 0
    for lanes in passes.LANES:
        if lanes == 16 and not has_wide_registers():
            continue  # twice as many registers as there are would be needed
        end = shape.channels - (shape.channels - first) % lanes
        if end > first:
            parts.append(_Part(lanes, first, end))
        first = end
    return parts


def _chunks(args: np.ndarray) -> int:
    return -(-int(args["windows"]) // passes.WINDOWS_A_BLOCK)


def _choose(args: np.ndarray, part: _Part) -> int:
    """Set the channels that a task computes; return the number of blocks."""
    channel_blocks = -(-(part.end - part.first) // passes.CHANNELS_A_BLOCK)
    blocks = _chunks(args) * channel_blocks
    args["next_block"] = 0
    args["first_channel"], args["end_channel"] = part.first, part.end
    args["channel_blocks"], args["blocks"] = channel_blocks, blocks
    return blocks
