"""Tasks: kernels as C functions of one address, compiled at their first use and kept in a cache.

The address is that of the kernel argument struct, whose layout stands beside each kernel.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from numba import cfunc, types

from .. import contract, rules
from . import batch_norm, events, filters, gram, integration, shifts, simd
from .amx import convolution as amx_convolution
from .amx import instructions, layout, packing
from .neurons import neuron, passes, step

SOURCES = (
    contract,
    rules,
    simd,
    neuron,
    passes,
    step,
    batch_norm,
    events,
    filters,
    gram,
    integration,
    shifts,
    instructions,
    layout,
    packing,
    amx_convolution,
)
TILE_KERNELS = amx_convolution.make_kernels(instructions)


@cache
def address_of(name: str) -> int:
    """Compile a task, or load it from numba's cache, and return its address."""
    # For its cache numba looks for changes in this file alone. The checksum of all sources, as a
    # constant of the task, makes a change in another file a miss as well.
    sources = checksum()

    def moments(address: int) -> None:
        if sources:
            batch_norm.moments_blocks(address)

    def products(address: int) -> None:
        if sources:
            batch_norm.products_blocks(address)

    def normed(address: int) -> None:
        if sources:
            batch_norm.normed_blocks(address)

    def normed_backward(address: int) -> None:
        if sources:
            batch_norm.normed_backward_blocks(address)

    def forward_16(address: int) -> None:
        if sources:
            passes.forward_16(address)

    def backward_16(address: int) -> None:
        if sources:
            passes.backward_16(address)

    def forward_8(address: int) -> None:
        if sources:
            passes.forward_8(address)

    def forward_1(address: int) -> None:
        if sources:
            passes.forward_1(address)

    def backward_8(address: int) -> None:
        if sources:
            passes.backward_8(address)

    def backward_1(address: int) -> None:
        if sources:
            passes.backward_1(address)

    def step_forward(address: int) -> None:
        if sources:
            step.forward_blocks(address)

    def step_backward(address: int) -> None:
        if sources:
            step.backward_blocks(address)

    def convolve_events(address: int) -> None:
        if sources:
            events.run_blocks(address, False)

    def weight_grad_events(address: int) -> None:
        if sources:
            events.run_blocks(address, True)

    def pack_weights(address: int) -> None:
        if sources:
            TILE_KERNELS.pack_weights(address)

    def convolve_tiles(address: int) -> None:
        if sources:
            TILE_KERNELS.convolve(address)

    def weight_grad_tiles(address: int) -> None:
        if sources:
            TILE_KERNELS.weight_gradients(address)

    def filter_forward(address: int) -> None:
        if sources:
            filters.forward_blocks(address)

    def filter_backward(address: int) -> None:
        if sources:
            filters.backward_blocks(address)

    def represented_forward(address: int) -> None:
        if sources:
            integration.forward_blocks(address)

    def represented_backward(address: int) -> None:
        if sources:
            integration.backward_blocks(address)

    def represented_norm_backward(address: int) -> None:
        if sources:
            integration.norm_backward_blocks(address)

    def pack_spikes(address: int) -> None:
        if sources:
            gram.pack_blocks(address)

    def spike_covariance(address: int) -> None:
        if sources:
            gram.covariance_blocks(address)

    def sum_rows(address: int) -> None:
        if sources:
            shifts.sum_blocks(address)

    tasks = [moments, products, normed, normed_backward, convolve_events, weight_grad_events]
    tasks += [pack_weights, convolve_tiles, weight_grad_tiles]
    tasks += [forward_16, forward_8, forward_1]
    tasks += [backward_16, backward_8, backward_1]
    tasks += [step_forward, step_backward]
    tasks += [filter_forward, filter_backward]
    tasks += [represented_forward, represented_backward, represented_norm_backward]
    tasks += [pack_spikes, spike_covariance, sum_rows]
    task = {task.__name__: task for task in tasks}[name]
    kind = types.void(types.int64)
    try:
        compiled = cfunc(kind, cache=True)(task)
    except RuntimeError:  # no folder for a cache can be written to
        compiled = cfunc(kind)(task)
    return int(compiled.address or 0)


@cache
def checksum() -> int:
    """Return a number that changes with the source of the kernels."""
    files = [Path(module.__file__ or "") for module in SOURCES]
    return zlib.crc32(b"".join(file.read_bytes() for file in files)) | 1


@cache
def c_function(address: int) -> Callable[[int], None]:
    """Return a compiled task as a function of Python, which releases the interpreter's lock."""
    return ctypes.CFUNCTYPE(None, ctypes.c_int64)(address)
