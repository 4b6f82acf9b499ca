"""Convolutions on the CPU, by events and by tiles: what their tasks are told."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..contract import Convolution
from ..memory import Buffers, buffers
from . import events, tasks
from .amx import convolution as tiles
from .amx import instructions as amx
from .amx import layout as places

IMAGES_A_BLOCK = 16  # at least, where weight gradients are gathered
EXACT, CLOSE = 3, 2  # numbers of bfloat16 that are a float32, and that are it but for 2⁻¹⁷
# Bytes of images and gradients that are worked on together: of the second cache, but where sums of
# gradients would be fetched too often.
NEAR, NEAR_BACK = 1 << 20, 1 << 22
MOST_SUMS = 2**22  # values of the weight gradients that blocks may hold together

# Where tasks keep addresses and indices: nothing else may ever write there.
scratches = Buffers()


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shape: Convolution,
    *,
    before: int = 0,
) -> tuple[Tensor, bool]:
    """Return the convolution of images `[N, H, W, in]` with weights `[in, kh, kw, out]`.

    The cost is that of the values that are not 0. Room for `before` images is left in front.
    Also returns whether all values are 0 or 1.
    """
    out = buffers.take(before + shape.images, *shape.out, shape.channels[1])
    args = _convolution(out[before:], shape, shape.images)
    args[events.X], args[events.WEIGHT] = x.data_ptr(), weight.data_ptr()
    args[events.BIAS] = 0 if bias is None else bias.data_ptr()
    scratch = _give_scratch(args, events, _lists(shape))
    tasks.run("convolve", args, int(args[events.BLOCKS]))
    del scratch
    return out, int(args[events.OTHERS]) == 0


def convolve_back(grad: Tensor, x: Tensor, shape: Convolution) -> Tensor:
    """Return the gradient of the weights, `[in, kh, kw, out]`; `x` may be uint8, 0 and 1."""
    args = _convolution(grad, shape, _blocks_of_sums(shape))
    args[events.MARKS if x.dtype == torch.uint8 else events.X] = x.data_ptr()
    sums = _sums(shape, int(args[events.BLOCKS]))
    args[events.SUMS] = sums.data_ptr()
    scratch = _give_scratch(args, events, _lists(shape))
    tasks.run("convolve_back", args, int(args[events.BLOCKS]))
    del scratch
    return _total(sums)


def _lists(shape: Convolution) -> int:
    """Return bytes of the lists of what is active in an image."""
    pixels = math.prod(shape.size)
    return 8 * (pixels + 1) + 12 * (pixels * shape.channels[0] + 1)


def _blocks_of_sums(shape: Convolution) -> int:
    """Return how many blocks have sums of their own for the gradient of the weights.

    Enough for all threads, and few enough for the memory and for the images, since adding them up
    is work as well.
    """
    size = math.prod(shape.kernel) * math.prod(shape.channels)
    return max(2, min(32, shape.images // IMAGES_A_BLOCK, MOST_SUMS // size))


def _sums(shape: Convolution, blocks: int) -> Tensor:
    """Return room for the sums of each block, which clears it."""
    inputs, outputs = shape.channels
    sums = buffers.take(blocks, inputs, *shape.kernel, outputs)
    return sums if blocks else sums.new_zeros(1, *sums.shape[1:])


def _total(sums: Tensor) -> Tensor:
    """Return the sum over blocks, which takes the place of the first."""
    for others in sums[1:]:
        sums[0].add_(others)
    return sums[0]


def weights_as_tiles(weight: Tensor, stride: tuple[int, int], *, back: bool) -> Tensor:
    """Return weights `[out, in, kh, kw]` as `convolve_by_tiles` wants them for a stride.

    With `back` they are those that lead from a gradient of the output to that of the input.
    """
    outputs, inputs, height, width = weight.shape
    of_out, of_in, of_y, of_x = weight.stride()
    if back:
        outputs, inputs, of_out, of_in = inputs, outputs, of_in, of_out
    parts = CLOSE if back else EXACT
    runs = places.runs_of((height, width), stride, back=back)
    table = np.array(runs, np.int64)
    steps = sum(run.steps(inputs) for run in runs)
    out = buffers.take(outputs // 16, steps, parts, tiles.TILE // 4)
    args = np.zeros(tiles.ARGUMENTS, np.int64)
    args[tiles.BLOCKS] = outputs // 16
    args[tiles.WEIGHT], args[tiles.TILES_OUT] = weight.data_ptr(), out.data_ptr()
    args[tiles.IN], args[tiles.PARTS] = inputs, parts
    args[tiles.RUNS], args[tiles.NUMBER], args[tiles.STEPS] = table.ctypes.data, len(runs), steps
    args[tiles.OUT_STRIDE], args[tiles.IN_STRIDE] = of_out, of_in
    args[tiles.Y_STRIDE], args[tiles.X_STRIDE] = of_y, of_x
    tasks.run("weights_as_tiles", args, outputs // 16)
    return out


def convolve_by_tiles(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shape: Convolution,
    *,
    back: bool = False,
    marks: Tensor | None = None,
    before: int = 0,
) -> tuple[Tensor, bool, bool]:
    """Return the convolution of images `[N, H, W, in]` with weights of `weights_as_tiles`.

    Args:
        x: contiguous images, taken to be spikes: values that are bfloat16.
        weight: tiles.
        bias: `[out]` or None.
        shape: of it all.
        back: whether x is a gradient of the output, of any values, and that of the input is wanted.
        marks: uint8 like x, to be filled with its values.
        before: images that room is left for in front.

    Returns:
        the result; whether it holds: without `back` it does not where a value of x has more
        significant bits than a bfloat16; and whether the marks hold, for which all are 0 or 1.
    """
    (inputs, outputs), size = shape.channels, shape.out
    if back:
        inputs, outputs, size = outputs, inputs, shape.size
    out = buffers.take(before + shape.images, *size, outputs)
    parts, phases = (CLOSE, 1) if back else (1, math.prod(shape.stride))
    bunch = _fitting(shape, 2 * inputs * parts * phases, NEAR)
    bunch = min(bunch, -(-shape.images // (2 * torch.get_num_threads())))
    args = _by_tiles(x, out[before:], shape, bunch, back=back)
    table = _table(shape, bunch, back)
    args[tiles.BLOCKS] = -(-shape.images // bunch)
    args[tiles.WEIGHT] = weight.data_ptr()
    args[tiles.BIAS] = 0 if bias is None else bias.data_ptr()
    args[tiles.MARKS] = 0 if marks is None else marks.data_ptr()
    args[tiles.X_PARTS], args[tiles.PARTS] = parts, CLOSE if back else EXACT
    args[tiles.PHASE_BYTES], args[tiles.STEPS] = table.phase_bytes, table.steps
    args[tiles.RUNS], args[tiles.PHASES] = table.runs.ctypes.data, table.phases.ctypes.data
    args[tiles.OUT_PIXELS] = table.pixels.ctypes.data
    args[tiles.STEADY] = table.steady.ctypes.data
    rows = parts * phases * table.phase_bytes
    scratch = _give_scratch(args, tiles, tiles.NEAR + rows)
    tasks.run("convolve_by_tiles", args, int(args[tiles.BLOCKS]))
    del scratch
    return out, int(args[tiles.LONG]) == 0, int(args[tiles.UNMARKED]) == 0


def convolve_back_by_tiles(grad: Tensor, x: Tensor, shape: Convolution) -> Tensor:
    """Return the gradient of the weights, `[in, kh, kw, out]`, of x whose values are bfloat16.

    x may be uint8.
    """
    (inputs, outputs), phases = shape.channels, math.prod(shape.stride)
    blocks = _blocks_of_sums(shape)
    images = -(-shape.images // blocks) if shape.images else 1
    # It decides on the order of the sums, so that it is the same for all numbers of threads.
    bunch = min(images, _fitting(shape, 2 * inputs * phases + 2 * CLOSE * outputs, NEAR_BACK))
    args = _by_tiles(x, grad, shape, bunch)
    args[tiles.PARTS] = CLOSE
    args[tiles.BLOCKS], args[tiles.IMAGES_A_BLOCK] = -(-shape.images // images), images
    sums = _sums(shape, int(args[tiles.BLOCKS]))
    args[tiles.SUMS] = sums.data_ptr()
    room = places.grid_of(shape).room(bunch)
    # An odd number of cache lines, so that columns do not all want the same place in the cache.
    column = room // 64 * 64 + 96
    table = _back_table(shape, bunch, column)
    args[tiles.COLUMN], args[tiles.PHASE_BYTES] = column, 2 * inputs * column
    args[tiles.TAPS], args[tiles.TAPS_SEEN] = table.seen.size, table.seen.ctypes.data
    args[tiles.PIXELS] = table.pixels.ctypes.data
    args[tiles.OUT_PIXELS] = table.out_pixels.ctypes.data
    number = tiles.NEAR + 4 * inputs + 64 + phases * 2 * inputs * column
    scratch = _give_scratch(args, tiles, number + 2 * CLOSE * outputs * room)
    tasks.run("convolve_back_by_tiles", args, int(args[tiles.BLOCKS]))
    del scratch
    return _total(sums)


class _Table(NamedTuple):
    """What `convolve_by_tiles` finds where; see `tiles`."""

    phase_bytes: int
    steps: int
    runs: np.ndarray
    phases: np.ndarray
    pixels: np.ndarray
    steady: np.ndarray


@lru_cache(maxsize=64)
def _table(shape: Convolution, bunch: int, back: bool) -> _Table:
    grid, channels = places.grid_of(shape), shape.channels[back]
    runs = places.runs_of(shape.kernel, shape.stride, back=back)
    phase_bytes = -(-2 * channels * grid.room(bunch) // 64) * 64
    seen = [run.phase * phase_bytes + 2 * channels * grid.seen(run) for run in runs]
    steps = [run.steps(channels) for run in runs]
    phases = []
    for phase in range(math.prod(shape.stride) if back else 1):
        first = sum(run.to < phase for run in runs)
        last = sum(run.to <= phase for run in runs)
        down, across = divmod(phase, shape.stride[1])
        pixel = down * shape.size[1] + across
        phases.append(places.Phase(first, last, sum(steps[:first]), pixel))
    table = np.array([*zip(seen, steps, strict=True)], np.int64)
    size, stride = (shape.size, shape.stride) if back else (shape.out, (1, 1))
    pixels = places.pixels_of(grid, bunch, size, stride)
    steady = places.steady_of(pixels, stride[1])
    return _Table(phase_bytes, sum(steps), table, np.array(phases, np.int64), pixels, steady)


class _BackTable(NamedTuple):
    """What `convolve_back_by_tiles` finds where; see `tiles`."""

    seen: np.ndarray
    pixels: np.ndarray
    out_pixels: np.ndarray


@lru_cache(maxsize=64)
def _back_table(shape: Convolution, bunch: int, column: int) -> _BackTable:
    grid, (tall, wide) = places.grid_of(shape), shape.kernel
    seen = np.zeros((tall, wide), np.int64)
    for run in places.runs_of(shape.kernel, shape.stride, back=False):
        first = run.phase * shape.channels[0] * column + grid.seen(run)
        seen[run.y, run.x :: run.step] = 2 * (first + np.arange(run.taps))
    pixels = places.pixels_of(grid, bunch, shape.size, shape.stride)
    return _BackTable(seen.reshape(-1), pixels, places.pixels_of(grid, bunch, shape.out, (1, 1)))


def _fitting(shape: Convolution, bytes_a_place: int, most: int) -> int:
    """Return how many images fit a number of bytes, one at least."""
    return max(1, most // (places.grid_of(shape).places * bytes_a_place))


def _give_scratch(args: np.ndarray, task: Any, number: int) -> Tensor:
    """Give a task that many bytes for each thread; return what holds them."""
    number = -(-number // 64) * 64
    scratch = scratches.take(torch.get_num_threads() * number // 4 + 16)
    args[task.SCRATCH] = -(-scratch.data_ptr() // 64) * 64
    args[task.SCRATCH_BYTES] = number
    return scratch


def _by_tiles(
    x: Tensor, out: Tensor, shape: Convolution, bunch: int, *, back: bool = False
) -> np.ndarray:
    if not amx.has_tiles():  # which asks the system for them as well
        raise RuntimeError("there is no AMX that this process may use")
    args = np.zeros(tiles.ARGUMENTS, np.int64)
    args[tiles.IMAGES], args[tiles.BUNCH] = shape.images, bunch
    args[tiles.LINE], args[tiles.PLACES], args[tiles.LEAD] = places.grid_of(shape)
    args[tiles.MARKS if x.dtype == torch.uint8 else tiles.X] = x.data_ptr()
    args[tiles.OUT] = out.data_ptr()
    ways = slice(None, None, -1 if back else 1)
    args[tiles.IN], args[tiles.OUT_CHANNELS] = shape.channels[ways]
    sizes = [(*shape.size, *shape.stride), (*shape.out, 1, 1)]
    args[tiles.HEIGHT : tiles.OUT_ACROSS + 1] = np.ravel(sizes[ways])
    return args


def _convolution(out: Tensor, shape: Convolution, blocks: int) -> np.ndarray:
    args = np.zeros(events.ARGUMENTS, np.int64)
    images_a_block = -(-shape.images // blocks) if shape.images else 1
    args[events.IMAGES_A_BLOCK], args[events.IMAGES] = images_a_block, shape.images
    args[events.BLOCKS] = -(-shape.images // images_a_block)
    args[events.OUT] = out.data_ptr()
    args[events.IN], args[events.OUT_CHANNELS] = shape.channels
    args[events.HEIGHT], args[events.WIDTH] = shape.size
    args[events.OUT_HEIGHT], args[events.OUT_WIDTH] = shape.out
    args[events.KERNEL_HEIGHT], args[events.KERNEL_WIDTH] = shape.kernel
    args[events.STRIDE_Y], args[events.STRIDE_X] = shape.stride
    args[events.PADDING_Y], args[events.PADDING_X] = shape.padding
    return args
