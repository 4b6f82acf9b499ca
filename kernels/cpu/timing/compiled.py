"""How the kernels of exact times are compiled, and run on several threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from numba import njit

from ..simd import compiled as inner
from ..threads import pool

__all__ = ["compiled", "inner", "over_blocks", "summed"]


def compiled(kernel: Any, *, reassociate: bool = False) -> Any:
    """Let numba compile a kernel at its first call, and keep it in a cache.

    It releases the interpreter's lock. Functions that it calls must stand in the same file, where
    numba looks for changes, or be `inner` ones of it.

    Args:
        kernel: the function.
        reassociate: whether sums may be taken in another order, so that they can be vectorized.
    """
    options: Any = {"nogil": True, "fastmath": {"reassoc", "nsz"} if reassociate else False}
    try:
        return njit(cache=True, **options)(kernel)
    except RuntimeError:  # no folder for a cache can be written to
        return njit(**options)(kernel)


summed = partial(compiled, reassociate=True)


def over_blocks(kernel: Callable[..., None], blocks: int, *arguments: Any) -> None:
    """Call `kernel(block, *arguments)` for each block, on at most as many threads as torch uses.

    A block writes only what belongs to it, so that results do not depend on the threads.
    """
    threads = min(torch.get_num_threads(), blocks)
    if threads <= 1:
        for block in range(blocks):
            kernel(block, *arguments)
        return

    def share(first: int) -> None:
        for block in range(first, blocks, threads):
            kernel(block, *arguments)

    others = [pool(threads - 1).submit(share, first) for first in range(1, threads)]
    share(0)
    for other in others:
        other.result()
