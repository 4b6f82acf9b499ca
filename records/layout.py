"""Where the files of a run lie, and how a run is found."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from ..core.documents import read_json
from ..core.errors import DataError
from ..core.registry import nearest

FORMAT = 2  # of the files of a run that say how, with what and to what end it was trained
RUNS = Path("runs")
LATEST = "latest"
DEPTH = 3  # of folders in which runs are listed: runs/a, runs/sweep/a, runs/mine/sweep/a


class Run:
    """The folder of one training run and the names of what is in it."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def config(self) -> Path:
        """The resolved configuration, which repeats the run."""
        return self.path / "config.toml"

    @property
    def environment(self) -> Path:
        """Versions, machine, data fingerprint."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        """One line of JSON for each epoch."""
        return self.path / "metrics.jsonl"

    @property
    def times(self) -> Path:
        """How long each epoch took, one line of JSON for each."""
        return self.path / "times.jsonl"

    @property
    def summary(self) -> Path:
        """Best and last result."""
        return self.path / "summary.json"

    @property
    def model(self) -> Path:
        """The best weights on validation data."""
        return self.path / "model.safetensors"

    @property
    def curves(self) -> Path:
        """Plot of the metrics."""
        return self.path / "curves.png"

    @property
    def schedules(self) -> Path:
        """Plot of the learned schedules, made by an evaluation."""
        return self.path / "schedules.png"

    @property
    def tradeoff(self) -> Path:
        """Plot of accuracy against steps and energy, made by an evaluation."""
        return self.path / "tradeoff.png"

    @property
    def reliability(self) -> Path:
        """Plot of accuracy against confidence, made by an evaluation."""
        return self.path / "reliability.png"

    @property
    def robustness(self) -> Path:
        """Plot of accuracy against the severity of corruptions, made by an evaluation."""
        return self.path / "robustness.png"

    @property
    def checkpoints(self) -> Path:
        """Training states, `step-N/`."""
        return self.path / "checkpoints"

    @property
    def began(self) -> float:
        """When it was begun, seconds since 1970; 0 where there is nothing that tells."""
        for path in (self.config, self.path):
            with contextlib.suppress(OSError):
                return path.stat().st_mtime
        return 0.0

    @property
    def finished(self) -> bool:
        """Whether training came to its end."""
        try:
            return bool(read_json(self.summary.read_bytes())["finished"])
        except (OSError, ValueError, KeyError, TypeError):
            return False


def find_run(path: Path | str | None = None, *, unfinished: bool = False) -> Run:
    """Return the run at `path`; without one, or for `.../latest`, the newest.

    Args:
        path: a run's folder; None is `runs/latest`.
        unfinished: look for the newest run whose training has not come to its end.

    Raises:
        DataError: there is no such run.
    """
    path = RUNS / LATEST if path is None else Path(path)
    if (path / "config.toml").is_file():
        return Run(path)
    if path.name != LATEST:
        raise DataError(
            f"{path} is not a run",
            why="it is missing" if not path.exists() else "it holds no config.toml",
            remedy=_remedy(path),
        )
    runs = [Run(found.parent) for found in path.parent.glob("*/config.toml")]
    if unfinished:
        runs = [run for run in runs if not run.finished]
    else:
        runs = [run for run in runs if run.model.is_file()]
    if not runs:
        kind = "no unfinished run" if unfinished else "no trained run"
        raise DataError(
            f"there is {kind} in {path.parent}/",
            remedy="train one with `asnn train`, or give the folder of a run",
        )
    return max(runs, key=lambda run: (run.config.stat().st_mtime_ns, run.path.name))


def list_runs(folder: Path | str = RUNS) -> list[Run]:
    """Return the runs in a folder and those below it, or the folder if it is a run, by path.

    What is in a run (its states, its teacher) is part of it. A folder is a run too where the
    configuration is missing and a result is not.

    Raises:
        DataError: there is none.
    """
    folder = Path(folder)
    found = list(_runs_below(folder, DEPTH))
    if not found:
        raise DataError(
            f"there is no run in {folder}/",
            why="" if folder.is_dir() else "there is no such folder",
            remedy="train one with `asnn train`, or give a folder that holds runs",
        )
    return found


def _runs_below(folder: Path, depth: int) -> Iterator[Run]:
    with contextlib.suppress(OSError):  # a folder that may not be looked into
        run = Run(folder)
        if any(path.is_file() for path in (run.config, run.summary, run.metrics)):
            yield run
        elif depth:
            for each in sorted(folder.iterdir()):
                if each.is_dir() and not each.name.startswith("."):
                    yield from _runs_below(each, depth - 1)


def _remedy(path: Path) -> str:
    """Return what to do about a path that is no run, with a path to paste where there are runs."""
    if (RUNS / path / "config.toml").is_file():  # as a list of runs calls it
        return f"give its path: {shlex.quote(str(RUNS / path))}"
    for folder in (path, path.parent, RUNS):
        names = sorted(found.parent.name for found in folder.glob("*/config.toml"))
        if names:
            like = folder / (nearest(path.name, names) or names[-1])
            return f"give the path of a run, such as {shlex.quote(str(like))}"
    return "train one with `asnn train`"
