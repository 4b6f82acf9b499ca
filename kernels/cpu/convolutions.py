"""Convolutions on the CPU, by events and by tiles: tensors in, tensors out."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..contract import Convolution
from ..memory import Buffers, buffers
from . import events, isa, threads
from .amx import calls

IMAGES_A_BLOCK = 16  # at least, where weight gradients are gathered
MAX_SUMS = 2**22  # values of the weight gradients of all blocks

# Kernels keep addresses and indices here: nothing else may ever write there.
scratches = Buffers()


def convolve_events(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shape: Convolution,
    *,
    prefix: int = 0,
) -> tuple[Tensor, bool]:
    """Return the convolution of images `[N, H, W, in]` with weights `[in, kh, kw, out]`.

    It costs as much as x has values that are not 0. The result has room for `prefix` images in
    front. Also returns whether all values are 0 or 1.
    """
    out = buffers.take(prefix + shape.images, *shape.out, shape.channels[1])
    args = _event_arguments(out[prefix:], shape, shape.images)
    args["x"], args["weight"] = x.data_ptr(), weight.data_ptr()
    args["bias"] = 0 if bias is None else bias.data_ptr()
    scratch = _give_scratch(args, _list_bytes(shape))
    threads.run("convolve_events", args, int(args["blocks"]))
    del scratch
    return out, int(args["not_binary_count"]) == 0


def weight_grad_events(grad: Tensor, x: Tensor, shape: Convolution) -> Tensor:
    """Return the gradient of the weights, `[in, kh, kw, out]`; `x` may be uint8, 0 and 1."""
    args = _event_arguments(grad, shape, _sum_blocks(shape))
    args["spikes" if x.dtype == torch.uint8 else "x"] = x.data_ptr()
    blocks = int(args["blocks"])
    sums = _sums(shape, blocks)
    args["sums"] = sums.data_ptr()
    scratch = _give_scratch(args, _list_bytes(shape))
    threads.run("weight_grad_events", args, blocks)
    del scratch
    return _total(sums)


def _event_arguments(out: Tensor, shape: Convolution, blocks: int) -> np.ndarray:
    args = np.zeros((), events.ARGUMENTS)
    block_images = -(-shape.images // blocks) if shape.images else 1
    args["block_images"], args["images"] = block_images, shape.images
    args["blocks"] = -(-shape.images // block_images)
    args["out"] = out.data_ptr()
    args["in_channels"], args["out_channels"] = shape.channels
    args["height"], args["width"] = shape.size
    args["out_height"], args["out_width"] = shape.out
    args["kernel_h"], args["kernel_w"] = shape.kernel
    args["stride_y"], args["stride_x"] = shape.stride
    args["padding_y"], args["padding_x"] = shape.padding
    return args


def _list_bytes(shape: Convolution) -> int:
    """Return the bytes of the lists of active values of an image."""
    pixels = math.prod(shape.size)
    return 8 * (pixels + 1) + 12 * (pixels * shape.channels[0] + 1)


def _sum_blocks(shape: Convolution) -> int:
    """Return how many blocks have their own sums for the gradient of the weights.

    Enough for all threads, and few enough for the memory and for the images, since adding them up
    is work as well.
    """
    size = math.prod(shape.kernel) * math.prod(shape.channels)
    return max(2, min(32, shape.images // IMAGES_A_BLOCK, MAX_SUMS // size))


def _sums(shape: Convolution, blocks: int) -> Tensor:
    """Return memory for the sums of each block, which the kernels clear."""
    inputs, outputs = shape.channels
    sums = buffers.take(blocks, inputs, *shape.kernel, outputs)
    return sums if blocks else sums.new_zeros(1, *sums.shape[1:])


def _total(sums: Tensor) -> Tensor:
    """Return the sum over blocks, which overwrites the first."""
    for others in sums[1:]:
        sums[0].add_(others)
    return sums[0]


def pack_weights(weight: Tensor, stride: tuple[int, int], *, backward: bool) -> Tensor:
    """Return weights `[out, in, kh, kw]` packed for `convolve_tiles` with that stride.

    With `backward` they lead from a gradient of the output to that of the input.
    """
    shape, strides = tuple(weight.shape), weight.stride()
    packed = buffers.take(*calls.packed_shape(shape, stride, backward=backward))
    call = calls.pack_weights(
        weight.data_ptr(),
        packed.data_ptr(),
        shape=shape,
        strides=strides,
        stride=stride,
        backward=backward,
    )
    threads.run("pack_weights", call.args, call.blocks)
    return packed


def convolve_tiles(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shape: Convolution,
    *,
    backward: bool = False,
    spikes: Tensor | None = None,
    prefix: int = 0,
) -> tuple[Tensor, bool, bool]:
    """Return the convolution of images `[N, H, W, in]` with weights of `pack_weights`.

    Args:
        x: contiguous images of spikes: values that are bfloat16.
        weight: packed weights.
        bias: `[out]` or None.
        shape: of the convolution.
        backward: whether x is a gradient of the output, of any values, and the result that of the
            input.
        spikes: uint8 like x, to be filled with its values.
        prefix: images for which there is room in front.

    Returns:
        the result; whether it is exact: without `backward` it is not where a value of x has more
        significant bits than a bfloat16; and whether the uint8 values are exact: all are 0 or 1.
    """
    _require_tiles()
    size, channels = (shape.size, shape.channels[0]) if backward else (shape.out, shape.channels[1])
    out = buffers.take(prefix + shape.images, *size, channels)
    call = calls.convolve(
        x.data_ptr(),
        weight.data_ptr(),
        0 if bias is None else bias.data_ptr(),
        out[prefix:].data_ptr(),
        shape=shape,
        spikes=0 if spikes is None else spikes.data_ptr(),
        backward=backward,
        threads=torch.get_num_threads(),
    )
    _run(call, "convolve_tiles")
    return out, int(call.args["not_bf16_count"]) == 0, int(call.args["not_binary_count"]) == 0


def weight_grad_tiles(grad: Tensor, x: Tensor, shape: Convolution) -> Tensor:
    """Return the gradient of the weights, `[in, kh, kw, out]`, for an x whose values are bfloat16.

    x may be uint8.
    """
    _require_tiles()
    block_images = -(-shape.images // _sum_blocks(shape)) if shape.images else 1
    sums = _sums(shape, -(-shape.images // block_images))
    call = calls.weight_gradients(
        grad.data_ptr(),
        x.data_ptr(),
        sums.data_ptr(),
        shape=shape,
        block_images=block_images,
        x_is_bytes=x.dtype == torch.uint8,
    )
    _run(call, "weight_grad_tiles")
    return _total(sums)


def _require_tiles() -> None:
    if isa.used() != "amx":  # which asks the system for the tiles as well
        raise RuntimeError("this process may not use AMX")


def _run(call: calls.Call, task: str) -> None:
    scratch = _give_scratch(call.args, call.scratch_bytes)
    threads.run(task, call.args, call.blocks)
    del scratch


def _give_scratch(args: np.ndarray, size: int) -> Tensor:
    """Give a kernel that many bytes for each thread; return the memory."""
    size = -(-size // 64) * 64
    scratch = scratches.take(torch.get_num_threads() * size // 4 + 16)
    args["scratch"] = -(-scratch.data_ptr() // 64) * 64
    args["scratch_bytes"] = size
    return scratch
