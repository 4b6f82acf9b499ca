"""Where the files of a run lie, and how a run is found."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..core.documents import read_json, read_toml
from ..core.errors import DataError
from ..core.reading import MAX_TOML, read_regular, why_unreadable
from ..core.registry import nearest

FORMAT = 2  # of the files of a run that say how, with what and to what end it was trained
RUNS = Path("runs")
LATEST = "latest"
SWEEP = "sweep.toml"
TRIAL = "trial-"  # the members of a search begin with it; those of a grid have `key=value`
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
    def statistics(self) -> Path:
        """Norms of gradients, weights and updates, one line of JSON for each epoch."""
        return self.path / "statistics.jsonl"

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
            return bool(read_json(read_regular(self.summary))["finished"])
        except (OSError, ValueError, KeyError):
            return False

    def own_weights(self) -> set[str] | None:
        """Return the SHA-256 of `model.safetensors` that the training wrote; None if unknown.

        Runs of 0.1.0 do not state it. New weights are written between the checkpoint that holds
        them and the summary: a training killed there has those of the checkpoint.

        Raises:
            ValueError: the summary cannot be read.
        """
        try:
            summary = read_json(read_regular(self.summary))
            stated = summary.get("sha256", {}).get(self.model.name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ValueError(why_unreadable(error)) from error
        except AttributeError:
            return None
        if not isinstance(stated, str):
            return None
        return {stated} if summary.get("finished") else {stated, *self.checkpointed_weights()}

    def checkpointed_weights(self) -> dict[str, Path]:
        """Return the best weights in the checkpoints, by their SHA-256."""
        found = {}
        for sums in sorted(self.checkpoints.glob("step-*/checksums.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                stated = read_json(read_regular(sums))["sha256"]["best.safetensors"]
                found[str(stated)] = sums.with_name("best.safetensors")
        return found

    @property
    def is_foreign(self) -> bool:
        """Whether `config.toml` is that of another program: it can be read and names no coding."""
        try:
            document = read_toml(read_regular(self.config, max_size=MAX_TOML).decode())
        except (OSError, ValueError):  # damaged, and still a run
            return False
        return bool(document) and "coding" not in document


def find_run(path: Path | str | None = None, *, unfinished: bool = False) -> Run:
    """Return the run at `path`; without one, or for `.../latest`, the newest.

    Args:
        path: a run's folder; None is `runs/latest`.
        unfinished: look for the newest run whose training has not come to its end.

    Raises:
        DataError: there is no such run.
    """
    path = RUNS / LATEST if path is None else Path(path)
    found = Run(path)
    has_config = os.path.lexists(found.config)
    if has_config and not found.is_foreign:
        return found
    if is_sweep(path):
        raise _is_no_run(path)
    if path.name != LATEST or has_config:
        why = "its config.toml is not that of a run" if has_config else "it holds no config.toml"
        raise DataError(
            f"{path} is not a run",
            why=why if path.exists() else "it is missing",
            remedy=_remedy(path),
        )
    runs = _runs_in(path.parent)
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
    return max(runs, key=lambda run: (run.began, run.path.name))


def is_sweep(path: Path) -> bool:
    """Return whether a folder is that of a sweep."""
    return os.path.lexists(path / SWEEP)


def with_runs_of_sweeps(paths: Iterable[Path]) -> list[Path]:
    """Return the paths of runs: each sweep is replaced by its trained runs.

    What lies beside the members of a sweep, as the shell makes of `SWEEP/*`, is left out.

    Raises:
        DataError: a sweep has no trained run, or only what lies beside members is named.
    """
    found, left_out = [], []
    for path in paths:
        if is_sweep(path):
            runs = [run.path for run in _runs_in(path) if run.model.is_file()]
            if not runs:
                raise DataError(
                    f"the sweep {path} has no trained run",
                    remedy=f"resume it: asnn sweep --resume {shlex.quote(str(path))}",
                )
            found += sorted(runs)
        elif is_sweep(path.parent) and path.exists() and not _is_member(path):
            left_out.append(path)
        else:
            found.append(path)
    if left_out and not found:
        sweep = left_out[0].parent
        raise DataError(
            f"{left_out[0]} is not a run",
            why=f"it is a {'folder' if left_out[0].is_dir() else 'file'} of the sweep {sweep}",
            remedy=f"give the sweep: asnn report {shlex.quote(str(sweep))}",
        )
    return found


def _is_member(path: Path) -> bool:
    """Return whether a path in a sweep is the folder of a member, which may be damaged."""
    run = Run(path)
    files = (run.config, run.metrics, run.summary, run.model, run.checkpoints)
    named = "=" in path.name or path.name.startswith(TRIAL)
    return path.is_dir() and (named or any(os.path.lexists(each) for each in files))


def _is_no_run(sweep: Path) -> DataError:
    runs = _runs_in(sweep)
    name = shlex.quote(str(sweep))
    like = shlex.quote(str(min(run.path for run in runs))) if runs else ""
    one = f"name one of them, such as {like}; " if runs else ""
    return DataError(
        f"{sweep} is a sweep, not a run",
        why=f"it holds {len(runs)} run{'' if len(runs) == 1 else 's'}",
        remedy=f"{one}`asnn runs {name}` lists them, `asnn report {name}` compares them, "
        f"`asnn sweep --resume {name}` resumes it",
    )


def require_own_weights(path: Path, content: bytes) -> None:
    """Refuse the weights of a run that are not those that its training wrote.

    Weights whose checksum is not known pass, with a warning if that is because of a damaged file.

    Args:
        path: a file of weights, of a run if it is its `model.safetensors`.
        content: what was read from it.

    Raises:
        DataError: they have changed since.
    """
    run = Run(path.parent)
    if path.name != run.model.name:
        return
    try:
        own = run.own_weights()
    except ValueError as error:
        warnings.warn(
            f"{run.summary} cannot be read ({error}): whether the weights have changed since the "
            "training is not known",
            stacklevel=2,
        )
        return
    if own is None or (found := hashlib.sha256(content).hexdigest()) in own:
        return
    kept = run.checkpointed_weights()
    copies = [str(kept[each]) for each in own if each in kept]
    raise DataError(
        f"{path} has changed since it was trained",
        why=f"its SHA-256 is {found[:16]}…, {run.summary.name} states "
        f"{' or '.join(each[:16] + '…' for each in sorted(own))}",
        remedy=f"copy {copies[-1]} over it: it is the same file"
        if copies
        else "restore it from a copy, or train the run again",
    )


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
        has_result = run.summary.is_file() or run.metrics.is_file()
        if has_result if not os.path.lexists(run.config) else not run.is_foreign:
            yield run
        elif depth:
            for each in sorted(folder.iterdir()):
                if each.is_dir() and not each.name.startswith("."):
                    yield from _runs_below(each, depth - 1)


def _runs_in(folder: Path) -> list[Run]:
    """Return the runs whose folders are in this one."""
    found = [Run(config.parent) for config in folder.glob("*/config.toml")]
    return [run for run in found if not run.is_foreign]


def _remedy(path: Path) -> str:
    """Return what to do about a path that is no run, with a path to paste where there are runs."""
    inside = Run(RUNS / path)
    if inside.config.is_file() and not inside.is_foreign:  # as a list of runs calls it
        return f"give its path: {shlex.quote(str(RUNS / path))}"
    for folder in (path, path.parent, RUNS):
        names = sorted(run.path.name for run in _runs_in(folder))
        if names:
            begin = [name for name in names if name.startswith(f"{path.name}-")]
            like = folder / (begin or [nearest(path.name, names) or names[-1]])[-1]
            return f"give the path of a run, such as {shlex.quote(str(like))}"
    return "train one with `asnn train`"
