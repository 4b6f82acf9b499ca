"""Argument structs of the kernels that compute with tiles, from shapes and addresses."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...contract import Convolution
from . import layout
from .convolution import SCRATCH_OFFSET
from .packing import ARGUMENTS, TILE

EXACT_TERMS, GRAD_TERMS = 3, 2  # bfloat16 that are a float32, and that are it to 2⁻¹⁷
# Bytes of images and gradients that are packed together: of the second cache, except where sums of
# gradients would be read too often.
CHUNK_BYTES, GRAD_CHUNK_BYTES = 1 << 20, 1 << 22


class Call(NamedTuple):
    """What a kernel computes.

    Attributes:
        args: `packing.ARGUMENTS`, with addresses that must be kept alive by the caller.
        blocks: of work.
        scratch_bytes: memory that each thread needs, which the caller adds to `args`.
        tables: arrays whose addresses are in `args`.
    """

    args: np.ndarray
    blocks: int
    scratch_bytes: int
    tables: tuple[np.ndarray, ...]


def packed_shape(
    weight: tuple[int, ...], stride: layout.Pair, *, backward: bool
) -> tuple[int, int, int, int]:
    """Return the shape `[out / 16, tiles, terms, 256]`, float32, of weights `[out, in, kh, kw]`.

    See `pack_weights`.
    """
    outputs, inputs = weight[1::-1] if backward else weight[:2]
    runs = layout.runs_of((weight[2], weight[3]), stride, backward=backward)
    k_tiles = sum(run.k_tiles(inputs) for run in runs)
    return outputs // 16, k_tiles, GRAD_TERMS if backward else EXACT_TERMS, TILE // 4


def pack_weights(
    weight: int,
    packed: int,
    *,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    stride: layout.Pair,
    backward: bool,
) -> Call:
    """Return the call that packs weights for a convolution with that stride.

    Args:
        weight: address of weights `[out, in, kh, kw]`.
        packed: address of `packed_shape` values.
        shape: of the weights.
        strides: of the weights, in values.
        stride: of the convolution.
        backward: whether they lead from a gradient of the output to that of the input.
    """
    (outputs, inputs), (out_stride, in_stride) = shape[:2], strides[:2]
    if backward:
        outputs, inputs, out_stride, in_stride = inputs, outputs, in_stride, out_stride
    taps = layout.runs_of((shape[2], shape[3]), stride, backward=backward)
    runs = np.array([*taps], layout.PACKED_RUN)
    blocks, k_tiles, terms, _ = packed_shape(shape, stride, backward=backward)
    args = np.zeros((), ARGUMENTS)
    args["blocks"] = blocks
    args["weight"], args["packed_weight"] = weight, packed
    args["in_channels"], args["terms"] = inputs, terms
    args["runs"], args["run_count"], args["k_tiles"] = runs.ctypes.data, len(runs), k_tiles
    args["weight_out_stride"], args["weight_in_stride"] = out_stride, in_stride
    args["weight_y_stride"], args["weight_x_stride"] = strides[2:]
    return Call(args, blocks, 0, (runs,))


def convolve(
    x: int,
    weight: int,
    bias: int,
    out: int,
    *,
    shape: Convolution,
    spikes: int = 0,
    backward: bool = False,
    threads: int = 1,
) -> Call:
    """Return the call that convolves images `[N, H, W, in]`.

    Args:
        x: address of images, values that are bfloat16; with `backward` of any values.
        weight: address of packed weights.
        bias: address of `[out]`, or 0.
        out: address of the output `[N, H, W, out]`.
        shape: of the convolution.
        spikes: address of uint8 like x, to be filled with its values, or 0.
        backward: whether x is a gradient of the output, and the result that of the input.
        threads: that share the work.
    """
    x_terms, phases = (GRAD_TERMS, 1) if backward else (1, math.prod(shape.stride))
    channels = shape.channels[backward]
    chunk = _images_in(shape, 2 * channels * x_terms * phases, CHUNK_BYTES)
    chunk = min(chunk, -(-shape.images // (2 * threads)))
    table = _table(shape, chunk, backward)
    args = _sizes(shape, chunk, backward=backward)
    blocks = -(-shape.images // chunk)
    args["blocks"], args["x"], args["out"] = blocks, x, out
    args["weight"], args["bias"], args["spikes"] = weight, bias, spikes
    args["x_terms"], args["terms"] = x_terms, GRAD_TERMS if backward else EXACT_TERMS
    args["phase_bytes"], args["k_tiles"] = table.phase_bytes, table.k_tiles
    args["runs"], args["phases"] = table.runs.ctypes.data, table.phases.ctypes.data
    args["out_pixels"] = table.pixels.ctypes.data
    args["contiguous"] = table.contiguous.ctypes.data
    scratch_bytes = SCRATCH_OFFSET + x_terms * phases * table.phase_bytes
    return Call(args, blocks, scratch_bytes, table[2:])


def weight_gradients(
    grad: int,
    x: int,
    sums: int,
    *,
    shape: Convolution,
    block_images: int,
    x_is_bytes: bool = False,
) -> Call:
    """Return the call that computes the gradient of the weights.

    Args:
        grad: address of the gradient of the output `[N, H, W, out]`.
        x: address of images `[N, H, W, in]`, values that are bfloat16.
        sums: address of `[blocks, in, kh, kw, out]`, the gradient of each block of images.
        shape: of the convolution.
        block_images: images of a block.
        x_is_bytes: whether x is uint8, else float32.
    """
    (inputs, outputs), phases = shape.channels, math.prod(shape.stride)
    # It decides on the order of the sums, so it must not depend on the number of threads.
    chunk = _images_in(shape, 2 * inputs * phases + 2 * GRAD_TERMS * outputs, GRAD_CHUNK_BYTES)
    chunk = min(block_images, chunk)
    size = layout.grid_of(shape).size(chunk)
    # An odd number of cache lines, so that channels do not evict each other.
    channel_stride = size // 64 * 64 + 96
    table = _gradient_table(shape, chunk, channel_stride)
    args = _sizes(shape, chunk)
    blocks = -(-shape.images // block_images)
    args["blocks"], args["block_images"], args["sums"] = blocks, block_images, sums
    args["spikes" if x_is_bytes else "x"], args["out"] = x, grad
    args["terms"], args["channel_stride"] = GRAD_TERMS, channel_stride
    args["phase_bytes"] = 2 * inputs * channel_stride
    args["taps"], args["tap_offsets"] = table.offsets.size, table.offsets.ctypes.data
    args["pixels"], args["out_pixels"] = table.pixels.ctypes.data, table.out_pixels.ctypes.data
    scratch_bytes = SCRATCH_OFFSET + 4 * inputs + 64 + phases * 2 * inputs * channel_stride
    return Call(args, blocks, scratch_bytes + 2 * GRAD_TERMS * outputs * size, table)


class _Table(NamedTuple):
    """Sizes and tables of `convolve`; see `packing.ARGUMENTS`."""

    phase_bytes: int
    k_tiles: int
    runs: np.ndarray
    phases: np.ndarray
    pixels: np.ndarray
    contiguous: np.ndarray


@lru_cache(maxsize=64)
def _table(shape: Convolution, chunk: int, backward: bool) -> _Table:
    grid, channels = layout.grid_of(shape), shape.channels[backward]
    runs = layout.runs_of(shape.kernel, shape.stride, backward=backward)
    phase_bytes = -(-2 * channels * grid.size(chunk) // 64) * 64
    offsets = [run.in_phase * phase_bytes + 2 * channels * grid.offset(run) for run in runs]
    k_tiles = [run.k_tiles(channels) for run in runs]
    phases = []
    for phase in range(math.prod(shape.stride) if backward else 1):
        first = sum(run.out_phase < phase for run in runs)
        end = sum(run.out_phase <= phase for run in runs)
        y, x = divmod(phase, shape.stride[1])
        phases.append((first, end, sum(k_tiles[:first]), y * shape.size[1] + x))
    size, stride = (shape.size, shape.stride) if backward else (shape.out, (1, 1))
    pixels = layout.pixels_of(grid, chunk, size, stride)
    return _Table(
        phase_bytes,
        sum(k_tiles),
        np.array([*zip(offsets, k_tiles, strict=True)], layout.READ_RUN),
        np.array(phases, layout.PHASE),
        pixels,
        layout.contiguous_of(pixels, stride[1]),
    )


class _GradientTable(NamedTuple):
    """Tables of `weight_gradients`; see `packing.ARGUMENTS`."""

    offsets: np.ndarray
    pixels: np.ndarray
    out_pixels: np.ndarray


@lru_cache(maxsize=64)
def _gradient_table(shape: Convolution, chunk: int, channel_stride: int) -> _GradientTable:
    grid = layout.grid_of(shape)
    offsets = np.zeros(shape.kernel, np.int64)
    for run in layout.runs_of(shape.kernel, shape.stride, backward=False):
        first = run.in_phase * shape.channels[0] * channel_stride + grid.offset(run)
        offsets[run.y, run.x :: run.step] = 2 * (first + np.arange(run.taps))
    return _GradientTable(
        offsets.reshape(-1),
        layout.pixels_of(grid, chunk, shape.size, shape.stride),
        layout.pixels_of(grid, chunk, shape.out, (1, 1)),
    )


def _images_in(shape: Convolution, position_bytes: int, limit: int) -> int:
    """Return how many images fit a number of bytes, at least one."""
    return max(1, limit // (layout.grid_of(shape).image_stride * position_bytes))


def _sizes(shape: Convolution, chunk: int, *, backward: bool = False) -> np.ndarray:
    """Return a struct that holds the sizes of images and grid."""
    args = np.zeros((), ARGUMENTS)
    args["images"], args["chunk_images"] = shape.images, chunk
    args["row_stride"], args["image_stride"], args["lead"] = layout.grid_of(shape)
    x, out = (shape.channels[0], shape.size, shape.stride), (shape.channels[1], shape.out, (1, 1))
    if backward:
        x, out = out, x
    args["in_channels"], (args["height"], args["width"]), _ = x
    args["out_channels"], (args["out_height"], args["out_width"]), _ = out
    args["stride_y"], args["stride_x"] = x[2]
    args["out_stride_y"], args["out_stride_x"] = out[2]
    return args
