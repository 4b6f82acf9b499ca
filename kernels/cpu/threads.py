"""Run compiled tasks on as many threads as torch uses.

A task is a compiled function of one address. Every thread calls it with the same address, and
takes block after block from a shared counter until none is left.

Where torch's OpenMP is libgomp, tasks run on torch's own threads, which may be spinning after
torch's last loop: a second pool would compete with them for the cores. Elsewhere they run on
Python threads; ctypes releases the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch

from . import tasks


def run(name: str, args: np.ndarray, blocks: int) -> None:
    """Run a task on at most `torch.get_num_threads()` threads, and no more than blocks.

    Args:
        name: of the task.
        args: its argument struct.
        blocks: number of blocks of work; with 0 nothing is run.
    """
    if not blocks:
        return
    task, address = tasks.address_of(name), args.ctypes.data
    threads = min(torch.get_num_threads(), blocks)
    if threads <= 1:
        tasks.c_function(task)(address)
        return
    fork = _openmp_of_torch()
    if fork is not None:
        fork(task, address, threads, 0)
        return
    function = tasks.c_function(task)
    others = [pool(threads - 1).submit(function, address) for _ in range(threads - 1)]
    function(address)
    for other in others:
        other.result()


@cache
def _openmp_of_torch() -> Callable[..., None] | None:
    """Return `GOMP_parallel(function, data, threads, flags)` of torch's own OpenMP, if any."""
    if not torch.backends.openmp.is_available():
        return None
    folder = Path(torch.__file__).parent
    for path in [*folder.glob("lib/libgomp*.so*"), *folder.parent.glob("torch.libs/libgomp*.so*")]:
        try:
            fork = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        fork.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        fork.restype = None
        return fork
    return None


@cache
def pool(workers: int) -> ThreadPoolExecutor:
    """Return the threads of Python, the same for each number of them."""
    return ThreadPoolExecutor(workers, thread_name_prefix="asnn-kernels")


if hasattr(os, "register_at_fork"):
    # A child has the pool of its parent without the threads.
    os.register_at_fork(after_in_child=pool.cache_clear)
