"""Tasks of the CPU: compiled by numba at their first use, and kept in its cache."""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path

import numpy as np
from numba import cfunc, types

from .. import contract, rules
from . import columns, events, passes, simd, threads
from .amx import convolution as tiles
from .amx import instructions as amx
from .amx import layout as places

SOURCES = (contract, rules, simd, amx, passes, columns, events, places, tiles)


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


def run(name: str, args: np.ndarray, blocks: int) -> None:
    """Run a task on its blocks, on as many threads as torch uses; `args` is what it finds at its
    address."""
    if blocks:
        threads.run(_task(name), args.ctypes.data, blocks=blocks)
