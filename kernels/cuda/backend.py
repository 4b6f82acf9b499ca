"""The kernels in Triton: see `contract` for what they compute.

A program takes a tile of windows and channels through all steps with the membranes in registers.
One thread has all rows of a window: the pool needs no exchange between threads, and they share the
parameters that a step reads from the table. The backward pass runs the neurons again and keeps the
membranes of a few steps at a time; its memory grows with the number of running programs, not with
the tensor.

Programs of the passes are single warps, which sum over their tile without shared memory. Each
writes its own partial sums, which are added in float64: no atomics, the same bits each time.
Nothing is contracted to FMA, since `backward` must find the same spikes as `forward`, and both must
find those of the equations as written.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from .. import contract
from ..contract import Rule, Shape
from .filters import filter_backward_kernel, filter_forward_kernel
from .passes import backward_kernel, forward_kernel
from .rows import finish_kernel, moments_kernel

WARP = 32
SITES = 4  # of a tile without a pool
CHANNELS = 32  # of a tile at most: a cache line in float32
ROWS = 64  # of a tile of `rows`
FILTER_ROWS = 8  # of a tile of `filters`
FORWARD_VALUES, BACKWARD_VALUES = 4, 2  # channels of a site in one thread
FORWARD_STEPS, BACKWARD_STEPS = 8, 4  # of a segment at most
PROGRAMS = 12  # for each multiprocessor, where a program takes several tiles
REGISTERS = 65536 // (WARP * PROGRAMS) // 8 * 8  # of a thread, so that all programs run at once
EXACT: dict[str, Any] = {"enable_fp_fusion": False}
PASS: dict[str, Any] = {"num_warps": 1, **EXACT}


class _Tiling(NamedTuple):
    """Sizes of a tile, and the numbers of tiles (of windows) and blocks (of channels)."""

    sites: int
    windows: int
    channels: int
    all_windows: int
    tiles: int
    blocks: int


def _tiling(shape: Shape, values: int) -> _Tiling:
    pool_h, pool_w = shape.window
    pooled = pool_h * pool_w
    all_windows = shape.batch * -(-shape.height // pool_h) * -(-shape.width // pool_w)
    channels = min(CHANNELS, triton.next_power_of_2(max(1, shape.channels)))
    sites = pooled if pooled > 1 else SITES
    windows = WARP * values // channels
    tiles = -(-all_windows * pooled // (sites * windows))
    return _Tiling(sites, windows, channels, all_windows, tiles, -(-shape.channels // channels))


def _constants(
    shape: Shape, rule: Rule, threshold: Tensor, tiling: _Tiling, values: int, steps: int
) -> dict[str, Any]:
    """Return the compile-time constants of both passes. Only the last segment may be shorter."""
    segments = -(-shape.steps // steps)
    return {
        "STEPS": shape.steps,
        "STEP": -(-shape.steps // segments),
        "STATIC": shape.static,
        "POOL_H": shape.window[0],
        "POOL_W": shape.window[1],
        "RESET": rule.reset,
        "SIZED": rule.sized,
        "SPREAD": len(threshold) > 1,
        "ONCE": rule.once,
        "MOST": rule.most,
        "SITES": tiling.sites,
        "WINDOWS": tiling.windows,
        "CHANNELS": tiling.channels,
        "VALUES": min(values, tiling.channels),
    }


def _programs(x: Tensor) -> int:
    """Return how many programs run at the same time; a few in Triton's interpreter."""
    if not x.is_cuda:
        return 3
    return PROGRAMS * torch.cuda.get_device_properties(x.device).multi_processor_count


def _check(rows: int) -> None:
    if rows >= 2**30:
        raise ValueError(
            f"{rows} rows are too many: the kernels count rows in 32 bits (take smaller batches)"
        )


def _launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Launch a kernel on the device of its first argument, unless the grid is empty."""
    if all(grid):
        with torch.cuda.device_of(arguments[0]):
            kernel[grid](*arguments, **constants)


def moments(x: Tensor) -> Tensor:
    """Return mean and biased variance of each step: `[T, R, C] -> [2, T, C]`, float64.

    A program joins the mean and squares of its tiles by Chan's formula. Sums of squares of x itself
    would lose their digits to a large mean.
    """
    steps, rows, channels = x.shape
    _check(rows)
    if not x.numel():
        return x.new_full((2, steps, channels), math.nan, dtype=torch.float64)
    width = min(CHANNELS, triton.next_power_of_2(channels))
    blocks = -(-channels // width)
    rows_each = ROWS * max(1, -(-rows // (ROWS * max(1, _programs(x) // (blocks * steps)))))
    workers = -(-rows // rows_each)
    means, squares = x.new_empty(2, workers, steps, channels, dtype=torch.float32).unbind()
    _launch(
        moments_kernel,
        (workers * blocks, steps),
        x,
        means,
        squares,
        rows,
        rows_each,
        channels,
        ROWS=ROWS,
        CHANNELS=width,
        **EXACT,
    )
    number = x.new_full((workers, 1, 1), rows_each, dtype=torch.float64)
    number[-1] = rows - (workers - 1) * rows_each
    means, squares = means.double(), squares.double()
    mean = (means * number).sum(0) / rows
    variance = (squares + (means - mean).square() * number).sum(0) / rows
    return torch.stack((mean, variance))


def forward(
    x: Tensor, table: Tensor, threshold: Tensor, shape: Shape, rule: Rule, count: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the pooled output `[T, out_rows, C]`, and the number of spikes of each step."""
    _check(shape.rows)
    tiling = _tiling(shape, FORWARD_VALUES)
    programs = tiling.tiles * tiling.blocks
    spikes = x.new_empty(shape.steps, shape.out_rows, shape.channels)
    counts = x.new_empty(programs if count else 0, shape.steps, dtype=torch.int32)
    _launch(
        forward_kernel,
        (programs,),
        x,
        table,
        threshold,
        spikes,
        counts,
        tiling.all_windows,
        shape.rows,
        shape.out_rows,
        shape.height,
        shape.width,
        shape.channels,
        COUNT=count,
        **_constants(shape, rule, threshold, tiling, FORWARD_VALUES, FORWARD_STEPS),
        **PASS,
    )
    return spikes, counts.sum(0, dtype=torch.float64) if count else None


def backward(
    grad: Tensor, x: Tensor, table: Tensor, threshold: Tensor, shape: Shape, rule: Rule
) -> tuple[Tensor, Tensor]:
    """Return q, like x, and the sums over the rows `[5, T, C]`."""
    _check(shape.rows)
    tiling = _tiling(shape, BACKWARD_VALUES)
    constants = _constants(shape, rule, threshold, tiling, BACKWARD_VALUES, BACKWARD_STEPS)
    workers = min(tiling.tiles, max(1, _programs(x) // max(1, tiling.blocks)))
    programs = workers * tiling.blocks
    q = torch.empty_like(x)
    float32: Any = {"dtype": torch.float32, "device": x.device}
    sums = torch.zeros(workers, contract.SUMS, shape.steps, shape.channels, **float32)
    segments = -(-shape.steps // constants["STEP"])
    membranes = tiling.sites * tiling.windows * tiling.channels * segments if segments > 1 else 0
    scratch = torch.empty(programs * membranes, **float32)
    _launch(
        backward_kernel,
        (programs,),
        grad,
        x,
        table,
        threshold,
        q,
        sums,
        scratch,
        rule.alpha,
        tiling.all_windows,
        shape.rows,
        shape.out_rows,
        shape.height,
        shape.width,
        shape.channels,
        DETACHED=rule.detached,
        SURROGATE=rule.surrogate,
        LEARNS=rule.learns_threshold,
        maxnreg=REGISTERS,
        **constants,
        **PASS,
    )
    return q, sums.sum(0, dtype=torch.float64)


def finish(q: Tensor, x: Tensor, mean: Tensor, offset: Tensor, slope: Tensor) -> None:
    """Add `offset + (x - mean) slope` to q, in place."""
    steps, rows, channels = x.shape
    _check(rows)
    width = min(CHANNELS, triton.next_power_of_2(max(1, channels)))
    _launch(
        finish_kernel,
        (-(-rows // ROWS) * -(-channels // width), steps),
        q,
        x,
        mean,
        offset,
        slope,
        rows,
        channels,
        ROWS=ROWS,
        CHANNELS=width,
        **EXACT,
    )


def filter_forward(x: Tensor, poles: Tensor, gain: Tensor) -> Tensor:
    """Return the filtered rows `[T, R, C]`; see `kernels.filters`."""
    steps, rows, channels = x.shape
    _check(rows)
    width = min(CHANNELS, triton.next_power_of_2(max(1, channels)))
    y = torch.empty_like(x)
    _launch(
        filter_forward_kernel,
        (-(-rows // FILTER_ROWS) * -(-channels // width),),
        x,
        torch.cat([poles, gain.unsqueeze(0)]),
        y,
        steps,
        rows,
        channels,
        COUNT=len(poles),
        ROWS=FILTER_ROWS,
        CHANNELS=width,
        **PASS,
    )
    return y


def filter_backward(
    grad: Tensor, x: Tensor, poles: Tensor, gain: Tensor, learns: bool
) -> tuple[Tensor, Tensor]:
    """Return the gradient of x, and with `learns` those of poles and gain, `[P + 1, C]`."""
    steps, rows, channels = x.shape
    _check(rows)
    count = len(poles)
    width = min(CHANNELS, triton.next_power_of_2(max(1, channels)))
    tiles, blocks = -(-rows // FILTER_ROWS), -(-channels // width)
    workers = min(tiles, max(1, _programs(x) // max(1, blocks)))
    q = torch.empty_like(x)
    float32: Any = {"dtype": torch.float32, "device": x.device}
    sums = torch.zeros(workers if learns else 0, count + 1, channels, **float32)
    tile = FILTER_ROWS * width if learns else 0
    scratch = torch.empty(workers * blocks * steps * count * tile, **float32)
    _launch(
        filter_backward_kernel,
        (workers * blocks,),
        grad,
        x,
        torch.cat([poles, gain.unsqueeze(0)]),
        q,
        sums,
        scratch,
        steps,
        rows,
        channels,
        COUNT=count,
        LEARNS=learns,
        ROWS=FILTER_ROWS,
        CHANNELS=width,
        **PASS,
    )
    return q, sums.sum(0, dtype=torch.float64)
