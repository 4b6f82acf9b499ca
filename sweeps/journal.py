"""The journal of a search: the file `search.journal` in which Optuna keeps its study.

A write that was killed or refused leaves part of a line. It is cut off, because Optuna would append
to it and could not read the journal again.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from ..core.documents import read_json
from ..core.errors import AsnnError
from ..core.files import cannot_read, cannot_write, write_bytes
from ..core.reading import MAX_LINES, read_regular
from ..core.text import shell


def open_journal(optuna: Any, path: Path) -> Any:
    """Return Optuna's storage in a journal, which is made if it is missing.

    Args:
        optuna: the package.
        path: of the journal, in the folder of the sweep.

    Raises:
        AsnnError: the operating system refuses, now or at a later write.
        ValueError: it is no journal, with the reason. What Optuna reads may raise others.
    """
    _mend(path)

    class Journal(optuna.storages.journal.JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            size = None
            try:
                size = path.stat().st_size
                super().append_logs(logs)
            except OSError as error:
                if size is not None:
                    with contextlib.suppress(OSError):
                        os.truncate(path, size)  # so that the next write begins a line
                raise _refused(path, error) from error

    try:
        backend = Journal(str(path))
    except OSError as error:
        raise _refused(path, error) from error
    return optuna.storages.JournalStorage(backend)


def _mend(path: Path) -> None:
    """Cut a last line that is not whole off a journal; the lines before it are lines of JSON."""
    if not os.path.lexists(path):
        return
    try:
        content = read_regular(path, max_size=MAX_LINES)
    except OSError as error:
        raise cannot_read(path, error, remedy=f"make it readable, {_then_resume(path)}") from error
    whole = content[: content.rfind(b"\n") + 1]
    for line in whole.splitlines(keepends=True):
        read_json(line)
    if whole == content:
        return
    if not whole and not content.startswith(b"{"):
        raise ValueError("it holds no line of a journal")
    try:
        write_bytes(path, whole)
    except AsnnError as error:
        error.remedy = _remedy(path)
        raise


def _refused(path: Path, error: OSError) -> AsnnError:
    refused = cannot_write(path, error)
    refused.remedy = _remedy(path)
    return refused


def _remedy(path: Path) -> str:
    return f"free space, raise the quota or ulimit -f, or permit the write, {_then_resume(path)}"


def _then_resume(path: Path) -> str:
    return f"then resume the sweep: asnn sweep --resume {shell(path.parent)}"
