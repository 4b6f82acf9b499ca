"""The CPU backend: numba kernels over float32 tensors. See `contract` for what they compute."""

from __future__ import annotations

import math
import zlib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import cfunc, types
from torch import Tensor

from . import amx, columns, contract, events, passes, simd, threads, tiles
from .amx import has_tiles as has_tiles
from .contract import SUMS, Convolution, Rule, Shape
from .memory import Buffers, buffers
from .simd import has_wide_registers as has_wide_registers

IMAGES_A_BLOCK = 16  # at least, where weight gradients are gathered
SOURCES = (contract, simd, amx, passes, columns, events, tiles)
EXACT, CLOSE = 3, 2  # numbers of bfloat16 that are a float32, and that are it but for 2⁻¹⁷
# Bytes of images and gradients that are worked on together: of the second cache, but where sums of
# gradients would be fetched too often.
NEAR, NEAR_BACK = 1 << 20, 1 << 22
MOST_SUMS = 2**22  # values of the weight gradients that blocks may hold together


# Where tasks keep addresses and indices: nothing else may ever write there.
scratches = Buffers()


def moments(x: Tensor) -> Tensor:
    """Return mean and biased variance `[2, Tx, C]`, float64."""
    means, squares = _over_rows("moments", x, sums=True).double().unbind(2)
    # Chan's formula joins the blocks.
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
    _over_rows("normed", x, OTHER=other, OUT=out, MEAN=mean, SCALE=scale, OFFSET=offset)
    return out


def products(grad: Tensor, x: Tensor, mean: Tensor) -> Tensor:
    """Return sums over rows of grad and of grad (x - mean), `[2, T, C]`, float64."""
    found = _over_rows("products", x, GRAD=grad, MEAN=mean, sums=True)
    return found.sum(1, dtype=torch.float64).transpose(0, 1)


def normed_back(
    grad: Tensor, x: Tensor, mean: Tensor, scale: Tensor, offset: Tensor, slope: Tensor
) -> Tensor:
    """Return scale grad + offset + (x - mean) slope, `[T, R, C]`."""
    out = buffers.take(*x.shape)
    parts = {"MEAN": mean, "SCALE": scale, "OFFSET": offset, "SLOPE": slope}
    _over_rows("normed_back", x, GRAD=grad, OUT=out, **parts)
    return out


def _over_rows(task: str, x: Tensor, *, sums: bool = False, **tensors: Tensor | None) -> Tensor:
    """Run a task of `columns` over blocks of rows; return their sums `[T, blocks, 2, C]`."""
    steps, rows, channels = x.shape
    chunks = -(-rows // columns.ROWS_A_BLOCK)
    parts = x.new_empty(steps, chunks, 2, channels) if sums else x.new_empty(0)
    args = np.zeros(columns.ARGUMENTS, np.int64)
    args[columns.BLOCKS], args[columns.CHUNKS] = steps * chunks, chunks
    args[columns.ROWS], args[columns.CHANNELS] = rows, channels
    args[columns.X], args[columns.PARTS] = x.data_ptr(), parts.data_ptr()
    for name, tensor in tensors.items():
        args[getattr(columns, name)] = 0 if tensor is None else tensor.data_ptr()
    if x.numel():
        _run(task, args, steps * chunks)
    return parts


@lru_cache(maxsize=256)
def _shares(rows: int) -> Tensor:
    """Return how large a share of the rows each block of `moments` has."""
    sizes = torch.full((-(-rows // columns.ROWS_A_BLOCK),), float(columns.ROWS_A_BLOCK)).double()
    if rows % columns.ROWS_A_BLOCK:
        sizes[-1] = rows % columns.ROWS_A_BLOCK
    return sizes / rows


def forward(
    x: Tensor, table: Tensor, threshold: Tensor, shape: Shape, rule: Rule, count: bool
) -> tuple[Tensor, Tensor | None]:
    """Return spikes `[T, out rows, C]` and, where wanted, their number at each step."""
    out = buffers.take(shape.steps, shape.out_rows, shape.channels)
    args = _arguments(x, out, table, threshold, shape, rule)
    counts = torch.zeros(shape.steps, dtype=torch.float64) if count else None
    for part in _parts(shape):
        blocks = _choose(args, part)
        if counts is None:  # the address stays 0
            _run(f"forward_{part.name}", args, blocks)
            continue
        of_blocks = x.new_zeros(blocks, shape.steps)
        args[passes.COUNTS] = of_blocks.data_ptr()
        _run(f"forward_{part.name}", args, blocks)
        counts += of_blocks.sum(0, dtype=torch.float64)
    return out, counts


def backward(
    grad: Tensor, x: Tensor, table: Tensor, threshold: Tensor, shape: Shape, rule: Rule
) -> tuple[Tensor, Tensor]:
    """Return q, like x, and the sums `[5, T, C]`, float64."""
    q = buffers.take(*x.shape)
    args = _arguments(x, grad, table, threshold, shape, rule)
    sums = x.new_zeros(_chunks(args), SUMS, shape.steps, shape.channels)
    alpha = np.array([rule.alpha], np.float32)
    args[passes.Q], args[passes.SUMS_AT] = q.data_ptr(), sums.data_ptr()
    args[passes.ALPHA] = alpha.ctypes.data
    step = 4 * passes.CHANNELS_A_BLOCK
    args[passes.NEAR_GRAD] = step * (1 if shape.static else shape.steps)
    args[passes.NEAR] = args[passes.NEAR_GRAD] + step * shape.steps
    for part in _parts(shape):
        _run(f"backward_{part.name}", args, _choose(args, part))
    return q, sums.sum(0, dtype=torch.float64)


def finish(q: Tensor, x: Tensor, mean: Tensor, offset: Tensor, slope: Tensor) -> None:
    """Add to q what batch norm's statistics pass on, in place."""
    parts = {"MEAN": mean, "SCALE": torch.ones_like(mean), "OFFSET": offset, "SLOPE": slope}
    _over_rows("normed_back", x, GRAD=q, OUT=q, **parts)


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
    _run("convolve", args, int(args[events.BLOCKS]))
    del scratch
    return out, int(args[events.OTHERS]) == 0


def convolve_back(grad: Tensor, x: Tensor, shape: Convolution) -> Tensor:
    """Return the gradient of the weights, `[in, kh, kw, out]`; `x` may be uint8, 0 and 1."""
    args = _convolution(grad, shape, _blocks_of_sums(shape))
    args[events.MARKS if x.dtype == torch.uint8 else events.X] = x.data_ptr()
    sums = _sums(shape, int(args[events.BLOCKS]))
    args[events.SUMS] = sums.data_ptr()
    scratch = _give_scratch(args, events, _lists(shape))
    _run("convolve_back", args, int(args[events.BLOCKS]))
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
    runs = tiles.runs_of((height, width), stride, back=back)
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
    _run("weights_as_tiles", args, outputs // 16)
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
    _run("convolve_by_tiles", args, int(args[tiles.BLOCKS]))
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
    room = tiles.grid_of(shape).room(bunch)
    # An odd number of cache lines, so that columns do not all want the same place in the cache.
    column = room // 64 * 64 + 96
    table = _back_table(shape, bunch, column)
    args[tiles.COLUMN], args[tiles.PHASE_BYTES] = column, 2 * inputs * column
    args[tiles.TAPS], args[tiles.TAPS_SEEN] = table.seen.size, table.seen.ctypes.data
    args[tiles.PIXELS] = table.pixels.ctypes.data
    args[tiles.OUT_PIXELS] = table.out_pixels.ctypes.data
    number = tiles.NEAR + 4 * inputs + 64 + phases * 2 * inputs * column
    scratch = _give_scratch(args, tiles, number + 2 * CLOSE * outputs * room)
    _run("convolve_back_by_tiles", args, int(args[tiles.BLOCKS]))
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
    grid, channels = tiles.grid_of(shape), shape.channels[back]
    runs = tiles.runs_of(shape.kernel, shape.stride, back=back)
    phase_bytes = -(-2 * channels * grid.room(bunch) // 64) * 64
    seen = [run.phase * phase_bytes + 2 * channels * grid.seen(run) for run in runs]
    steps = [run.steps(channels) for run in runs]
    phases = []
    for phase in range(math.prod(shape.stride) if back else 1):
        first = sum(run.to < phase for run in runs)
        last = sum(run.to <= phase for run in runs)
        down, across = divmod(phase, shape.stride[1])
        pixel = down * shape.size[1] + across
        phases.append(tiles.Phase(first, last, sum(steps[:first]), pixel))
    table = np.array([*zip(seen, steps, strict=True)], np.int64)
    size, stride = (shape.size, shape.stride) if back else (shape.out, (1, 1))
    pixels = tiles.pixels_of(grid, bunch, size, stride)
    steady = tiles.steady_of(pixels, stride[1])
    return _Table(phase_bytes, sum(steps), table, np.array(phases, np.int64), pixels, steady)


class _BackTable(NamedTuple):
    """What `convolve_back_by_tiles` finds where; see `tiles`."""

    seen: np.ndarray
    pixels: np.ndarray
    out_pixels: np.ndarray


@lru_cache(maxsize=64)
def _back_table(shape: Convolution, bunch: int, column: int) -> _BackTable:
    grid, (tall, wide) = tiles.grid_of(shape), shape.kernel
    seen = np.zeros((tall, wide), np.int64)
    for run in tiles.runs_of(shape.kernel, shape.stride, back=False):
        first = run.phase * shape.channels[0] * column + grid.seen(run)
        seen[run.y, run.x :: run.step] = 2 * (first + np.arange(run.taps))
    pixels = tiles.pixels_of(grid, bunch, shape.size, shape.stride)
    return _BackTable(seen.reshape(-1), pixels, tiles.pixels_of(grid, bunch, shape.out, (1, 1)))


def _fitting(shape: Convolution, bytes_a_place: int, most: int) -> int:
    """Return how many images fit a number of bytes, one at least."""
    return max(1, most // (tiles.grid_of(shape).places * bytes_a_place))


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
    args[tiles.LINE], args[tiles.PLACES], args[tiles.LEAD] = tiles.grid_of(shape)
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


@cache
def _task(name: str) -> int:
    """Compile a task, or load it from numba's cache, and return its address."""
    # numba looks for changes in this file alone. As a constant of the task, the checksum of all
    # sources keeps it from taking code that an earlier version left in the cache.
    sources = _checksum()

    def moments(address: int) -> None:
        if sources:
            columns.moments_blocks(address)

    def products(address: int) -> None:
        if sources:
            columns.products_blocks(address)

    def normed(address: int) -> None:
        if sources:
            columns.normed_blocks(address)

    def normed_back(address: int) -> None:
        if sources:
            columns.normed_back_blocks(address)

    def forward_wide(address: int) -> None:
        if sources:
            passes.forward_wide(address)

    def backward_wide(address: int) -> None:
        if sources:
            passes.backward_wide(address)

    def forward_whole(address: int) -> None:
        if sources:
            passes.forward_whole(address)

    def forward_rest(address: int) -> None:
        if sources:
            passes.forward_rest(address)

    def backward_whole(address: int) -> None:
        if sources:
            passes.backward_whole(address)

    def backward_rest(address: int) -> None:
        if sources:
            passes.backward_rest(address)

    def convolve(address: int) -> None:
        if sources:
            events.blocks_of(address, False)

    def convolve_back(address: int) -> None:
        if sources:
            events.blocks_of(address, True)

    def weights_as_tiles(address: int) -> None:
        if sources:
            tiles.weight_blocks(address)

    def convolve_by_tiles(address: int) -> None:
        if sources:
            tiles.convolve_blocks(address)

    def convolve_back_by_tiles(address: int) -> None:
        if sources:
            tiles.gradient_blocks(address)

    tasks = [moments, products, normed, normed_back, convolve, convolve_back]
    tasks += [weights_as_tiles, convolve_by_tiles, convolve_back_by_tiles]
    tasks += [forward_wide, forward_whole, forward_rest]
    tasks += [backward_wide, backward_whole, backward_rest]
    task = {task.__name__: task for task in tasks}[name]
    kind = types.void(types.int64)
    try:
        compiled = cfunc(kind, cache=True)(task)
    except RuntimeError:  # no folder that a cache could be written to
        compiled = cfunc(kind)(task)
    return int(compiled.address or 0)


def _checksum() -> int:
    files = [Path(module.__file__ or "") for module in SOURCES]
    return zlib.crc32(b"".join(file.read_bytes() for file in files)) | 1


def _run(name: str, args: np.ndarray, blocks: int) -> None:
    if blocks:
        threads.run(_task(name), args.ctypes.data, blocks=blocks)


def _arguments(
    x: Tensor, out: Tensor, table: Tensor, threshold: Tensor, shape: Shape, rule: Rule
) -> np.ndarray:
    """Return what a pass finds at its address, but for the channels that it is to take."""
    tall, wide = shape.window
    if tall * wide == 1:
        windows = -(-shape.rows // 4)
    else:
        windows = shape.batch * -(-shape.height // tall) * -(-shape.width // wide)
    args = np.zeros(passes.ARGUMENTS, np.int64)
    args[passes.WINDOWS] = windows
    args[passes.X], args[passes.OUT] = x.data_ptr(), out.data_ptr()
    args[passes.TABLE], args[passes.THRESHOLD] = table.data_ptr(), threshold.data_ptr()
    args[passes.STEPS] = shape.steps
    args[passes.STRIDE] = 0 if shape.static else shape.rows * shape.channels
    args[passes.ROWS], args[passes.OUT_ROWS] = shape.rows, shape.out_rows
    args[passes.CHANNELS] = shape.channels
    args[passes.HEIGHT], args[passes.WIDTH] = shape.height, shape.width
    args[passes.WINDOW_HEIGHT], args[passes.WINDOW_WIDTH] = shape.window
    args[passes.RESET], args[passes.SIZED] = rule.reset, rule.sized
    args[passes.SURROGATE], args[passes.LEARNS_THRESHOLD] = rule.surrogate, rule.learns_threshold
    return args


class _Part(NamedTuple):
    """Channels that one task takes: as many as fill vectors of one width."""

    name: str
    first: int
    last: int


def _parts(shape: Shape) -> list[_Part]:
    parts, first = [], 0
    for name, lanes in passes.LANES.items():
        if name == "wide" and not simd.has_wide_registers():
            continue  # twice as many registers as there are would be needed
        last = shape.channels - (shape.channels - first) % lanes
        if last > first:
            parts.append(_Part(name, first, last))
        first = last
    return parts


def _chunks(args: np.ndarray) -> int:
    return -(-int(args[passes.WINDOWS]) // passes.WINDOWS_A_BLOCK)


def _choose(args: np.ndarray, part: _Part) -> int:
    """Prepare the arguments for some of the channels; return the number of blocks."""
    channel_blocks = -(-(part.last - part.first) // passes.CHANNELS_A_BLOCK)
    args[passes.NEXT] = 0
    args[passes.FIRST_CHANNEL], args[passes.LAST_CHANNEL] = part.first, part.last
    args[passes.CHANNEL_BLOCKS] = channel_blocks
    args[passes.BLOCKS] = _chunks(args) * channel_blocks
    return int(args[passes.BLOCKS])
