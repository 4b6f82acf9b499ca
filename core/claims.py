"""Folders that one process at a time works in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import AsnnError

try:
    import fcntl
except ImportError:  # not on Windows, where nobody is kept from working twice in a folder
    fcntl = None

_own: set[int] = set()  # descriptors that a forked process gives up, lest it outlive this one


def _give_up() -> None:
    for handle in _own:
        os.close(handle)
    _own.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_give_up)


@contextlib.contextmanager
def claimed(
    folder: Path, what: str, why: str, *, with_children: bool = False
) -> Iterator[int | None]:
    """Keep other processes from working in a folder; give the descriptor that does it.

    The claim ends with the process, however that ends. A file system without locks claims nothing.

    Args:
        folder: an existing folder.
        what: what is at work in it, for the message: "a training".
        why: why two at once will not do.
        with_children: processes that inherit the descriptor keep the folder claimed for as long
            as they live.

    Raises:
        AsnnError: somebody is at work in it already.
    """
    if fcntl is None:
        yield None
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # who cannot even look into it will be told so when writing
        yield None
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AsnnError(
                f"{what} is at work in {folder}", why=why, remedy="wait for it, or stop it"
            ) from error
        except OSError:  # a file system without locks
            yield None
            return
        if not with_children:
            _own.add(handle)
        yield handle
    finally:
        _own.discard(handle)
        os.close(handle)
