"""A lock on a folder: one process at a time works in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import AsnnError

try:
    import fcntl
except ImportError:  # Windows has no fcntl: folders are not locked there
    fcntl = None

# Descriptors that a forked child closes: the lock must not outlive this process.
_close_after_fork: set[int] = set()


def _close_inherited() -> None:
    for descriptor in _close_after_fork:
        os.close(descriptor)
    _close_after_fork.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_close_inherited)


@contextlib.contextmanager
def folder_lock(
    folder: Path, what: str, why: str, *, inheritable: bool = False
) -> Iterator[int | None]:
    """Lock a folder while the block runs; yield the descriptor that holds the lock.

    The lock ends with the process, however that ends. Where the file system has no locks, None is
    yielded and nothing is locked.

    Args:
        folder: an existing folder.
        what: the program that runs in it, for the message: "a training".
        why: why two at once are not possible.
        inheritable: child processes that inherit the descriptor hold the lock as well.

    Raises:
        AsnnError: another process holds the lock.
    """
    if fcntl is None:
        yield None
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # an unreadable folder fails at the first write, with a message of its own
        yield None
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AsnnError(
                f"{what} is already running in {folder}", why=why, remedy="wait for it, or stop it"
            ) from error
        except OSError:  # a file system without locks
            yield None
            return
        if not inheritable:
            _close_after_fork.add(descriptor)
        yield descriptor
    finally:
        _close_after_fork.discard(descriptor)
        os.close(descriptor)
