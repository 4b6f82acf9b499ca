"""A new run's folder."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from ..core.errors import ConfigError
from ..core.files import cannot_write, fsync_folder, is_partial_write, make_folder
from ..core.text import shell
from .layout import RUNS, Run


def create_run(out: Path | str | None, name: str) -> Run:
    """Make the folder of a new run: `out`, or `runs/<name>-<time>`.

    Raises:
        ConfigError: `out` holds something.
        AsnnError: the folder cannot be made.
    """
    if out is not None:
        out = Path(out)
        require_empty(out)
        make_folder(out)
        return Run(out)
    make_folder(RUNS)
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for again in itertools.count(1):
        folder = RUNS / (stem if again == 1 else f"{stem}-{again}")
        try:
            folder.mkdir()  # atomic: of several processes one makes it, and the others count on
            fsync_folder(RUNS)
            return Run(folder)
        except FileExistsError:
            continue
        except OSError as error:
            raise cannot_write(folder, error) from error
    raise AssertionError("itertools.count does not end")


def require_empty(folder: Path) -> None:
    """Refuse a folder that holds more than what killed writes have left.

    Raises:
        ConfigError: it holds something.
    """
    if folder.is_dir() and not all(is_partial_write(path) for path in folder.iterdir()):
        raise ConfigError(
            f"{folder} is not empty",
            why="a run is never written over another",
            remedy=f"choose another folder, or resume it: asnn train --resume {shell(folder)}",
        )
