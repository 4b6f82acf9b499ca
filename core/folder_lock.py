"""A lock on a folder: one process at a time works in it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import AsnnError

try:
    import fcntl
except ImportError:  # Windows has no fcntl: folders are not locked there
    fcntl = None

POLL = 0.2  # seconds
# Descriptors that a forked child closes: the lock must not outlive this process.
_close_after_fork: set[int] = set()


def _close_inherited() -> None:
    for descriptor in _close_after_fork:
        os.close(descriptor)
    _close_after_fork.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_close_inherited)


def is_free(path: Path) -> bool:
    """Return whether no process has locked a file; where that cannot be known, False."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def folder_lock(
    folder: Path,
    what: str,
    why: str,
    *,
    inheritable: bool = False,
    own: Path | None = None,
    patience: float = 0.0,
) -> Iterator[int | None]:
    """Lock a folder while the block runs; yield the descriptor that holds the lock.

    The lock ends with the process, however that ends. Where the file system has no locks, None is
    yielded and nothing is locked.

    Args:
        folder: an existing folder.
        what: the program that runs in it, for the message: "a training".
        why: why two at once are not possible.
        inheritable: child processes that inherit the descriptor hold the lock as well.
        own: a file that this process locks besides, and no child. Where the folder is locked and
            this file is not, the process has ended, and its children still hold the lock.
        patience: seconds to wait for such children, which are stopping.

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
        end = time.monotonic() + patience
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end or own is None or not is_free(own):
                        raise
                    time.sleep(POLL)
        except BlockingIOError as error:
            raise AsnnError(
                f"{what} is already running in {folder}", why=why, remedy="wait for it, or stop it"
            ) from error
        except OSError:  # a file system without locks
            yield None
            return
        if not inheritable:
            _close_after_fork.add(descriptor)
        with contextlib.nullcontext() if own is None else _locked(own):
            yield descriptor
    finally:
        _close_after_fork.discard(descriptor)
        os.close(descriptor)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock a file in this process alone, as far as that is possible."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        yield
        return
    with locked_descriptor(descriptor):
        yield


@contextlib.contextmanager
def locked_descriptor(descriptor: int) -> Iterator[None]:
    """Lock an open file in this process alone, as far as that is possible, and close it at the end.

    Without locks it is closed at once: Windows does not rename files that are open.
    """
    if fcntl is None:
        os.close(descriptor)
        yield
        return
    _close_after_fork.add(descriptor)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        _close_after_fork.discard(descriptor)
        os.close(descriptor)
