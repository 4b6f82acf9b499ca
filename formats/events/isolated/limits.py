"""Limits that a process sets on itself before it gives a file of unknown origin to a library.

They are those of `asnn.formats.hdf5_scan`, without its import of h5py, which takes longer than a
file of events.
"""

from __future__ import annotations

import contextlib
import os
import signal

BASE_MEMORY = 64 << 20  # for a library itself and for names


def limit_time(seconds: float) -> None:
    """End this process after so much processor time, where the platform has such a timer."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def limit_memory(more: int) -> None:
    """Let this process allocate `more` bytes beyond what it has, where the platform can."""
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
