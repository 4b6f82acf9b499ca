"""The folder of a sweep: its files, its lock, and how it is found."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path
from typing import Any

from ..core.documents import read_json
from ..core.errors import ConfigError, DataError
from ..core.files import cannot_write, is_partial_write, write_text
from ..core.folder_lock import folder_lock
from ..core.reading import read_regular
from ..core.text import shell
from ..records.layout import RUNS, SWEEP, Run
from .definition import Definition, differences, read_definition
from .evaluation import require_evaluation

RECORD = "evaluation.json"  # the last file of a member; a member with it is finished

PATIENCE = 120.0  # seconds for members of a sweep that was killed, which save and stop


class SweepFolder:
    """The folder of one sweep and the paths in it; each `<member>/` is a run."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def definition(self) -> Path:
        """The definition."""
        return self.path / SWEEP

    @property
    def results(self) -> Path:
        """The results: members, means and comparisons."""
        return self.path / "results.json"

    @property
    def report(self) -> Path:
        """The results as a page."""
        return self.path / "results.md"

    @property
    def figure(self) -> Path:
        """The results as a figure."""
        return self.path / "results.png"

    def log(self, member: str) -> Path:
        """The log of a member's process."""
        return self.path / "logs" / f"{member}.log"

    def run(self, member: str) -> Run:
        """The run of a member."""
        return Run(self.path / member)

    def record(self, member: str, split: str) -> dict[str, Any] | None:
        """Return the evaluation of a finished member on a split; None if there is none, or none
        that can be used: it is then evaluated again."""
        try:
            return require_evaluation(read_json(read_regular(self.path / member / RECORD)), split)
        except (OSError, ValueError):
            return None

    def lock(self) -> contextlib.AbstractContextManager[int | None]:
        """Keep other processes from working in the folder; give the descriptor that does it.

        Raises:
            AsnnError: another process uses it.
        """
        why = "two at once would train the same members"
        return folder_lock(
            self.path, "a sweep", why, inheritable=True, own=self.definition, patience=PATIENCE
        )


def make_folder(definition: Definition, out: Path | None) -> SweepFolder:
    """Return the folder of a sweep with its `sweep.toml`: a new one, or one of the same definition.

    Args:
        definition: of the sweep.
        out: the folder; None makes `runs/sweep-<recipe>-<time>`.

    Raises:
        ConfigError: the folder holds another sweep or other files.
        AsnnError: it cannot be made.
    """
    folder = SweepFolder(out if out is not None else _new_folder(definition.name))
    if folder.definition.exists():
        changed = differences(read_definition(folder.definition), definition)
        if changed:
            raise ConfigError(
                f"{folder.path} holds another sweep",
                why="\n".join(changed),
                remedy="choose another --out, or resume that one: "
                f"asnn sweep --resume {shell(folder.path)}",
            )
        return folder
    if folder.path.is_dir() and not all(map(is_partial_write, folder.path.iterdir())):
        raise ConfigError(
            f"{folder.path} is not empty and holds no sweep",
            why="a sweep is never written over something else",
            remedy="choose another --out",
        )
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder.path, error) from error
    write_text(folder.definition, definition.toml())
    return folder


def find_sweep(path: Path | str | None = None) -> SweepFolder:
    """Return the sweep in the folder `path`, or the newest in `runs/`.

    Raises:
        DataError: there is none.
    """
    if path is not None:
        folder = SweepFolder(path)
        if not folder.definition.is_file():
            raise DataError(
                f"{path} is not a sweep",
                why="it is missing" if not folder.path.exists() else "it holds no sweep.toml",
                remedy="start one with `asnn sweep RECIPE --grid key=value,value`",
            )
        return folder
    found = [SweepFolder(each.parent) for each in RUNS.glob("*/sweep.toml")]
    if not found:
        raise DataError(
            f"there is no sweep in {RUNS}/",
            remedy="start one with `asnn sweep RECIPE --grid key=value,value`, or give its folder",
        )
    return max(found, key=lambda each: (os.stat(each.definition).st_mtime_ns, each.path.name))


def _new_folder(name: str) -> Path:
    stem = f"sweep-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for again in itertools.count(1):
        path = RUNS / (stem if again == 1 else f"{stem}-{again}")
        try:
            path.mkdir(parents=True)  # fails if another process made it
            return path
        except FileExistsError:
            continue
        except OSError as error:
            raise cannot_write(path, error) from error
    raise AssertionError("the count has no end")
