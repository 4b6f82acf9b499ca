"""`asnn eval --corrupt`: its values, its progress, and its tables."""

from __future__ import annotations

import sys
from itertools import groupby
from types import TracebackType
from typing import Any

from ....core.metric import ACCURACY, Metric
from ...terminal import console

ALL = "all"
SEVERITIES_PER_TABLE = 6  # fits 80 columns


def read_corruptions(texts: list[str], model: Any) -> dict[str, list[float]]:
    """Return the severities of each corruption in the values of `--corrupt`, by its name.

    A corruption without a severity gets its default ones. `all` means every corruption that
    applies to the network and the kind of its samples; notes name the others.

    Raises:
        ConfigError: a corruption is unknown or does not apply to the network, or a severity is
            out of range; the message lists all faults.
    """
    from ....core.errors import ConfigError
    from ....measure.robustness.corruptions import corruption_registry, fitting

    known = corruption_registry.names()
    requested: dict[str, list[float]] = {}
    faults: list[str] = []
    for text in texts:
        name, equals, given = text.partition("=")
        if text == ALL:
            requested = {each: [] for each in known} | requested
            continue
        if name == ALL:
            faults.append(f"{text}: all takes no severity")
            continue
        severities, wrong = _severities(name, given.split(",") if equals else [], model)
        requested.setdefault(name, []).extend(severities)
        faults += wrong
    if faults:
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise ConfigError(
            f"--corrupt has {count}",
            why="\n".join(faults),
            remedy="give NAME, NAME=SEVERITY[,SEVERITY...] or all; choose from "
            + ", ".join(fitting(model)),
        )
    corruptions = {name: corruption_registry.get(name) for name in requested}
    excluded: dict[str, list[str]] = {}
    for name, corruption in corruptions.items():
        misfit = corruption.misfit(model)
        if misfit is not None:
            excluded.setdefault(misfit, []).append(name)
    for misfit, names in excluded.items():
        console.note(f"left out: {', '.join(names)}: {misfit}")
    return {
        name: given or list(corruptions[name].severities)
        for name, given in requested.items()
        if corruptions[name].fits(model)
    }


def _severities(name: str, texts: list[str], model: Any) -> tuple[list[float], list[str]]:
    """Return the severities of one value of `--corrupt`, and the faults in it."""
    from ....core.errors import ConfigError
    from ....measure.robustness.corruptions import check_corruption, corruption_registry

    try:
        corruption_registry.get(name)
    except ConfigError as error:
        return [], ["; ".join(filter(None, (error.what, error.remedy or error.why)))]
    try:
        check_corruption(model, name, 0)
    except ConfigError as error:  # the error of all faults names those that apply
        return [], [error.what]
    severities, faults = [], []
    for text in texts:
        try:
            severity = float(text)
            check_corruption(model, name, severity)
            severities.append(severity)
        except ConfigError as error:
            faults.append(f"{error.what}: {error.why}")
        except ValueError:
            faults.append(f"the severity of {name} must be a number, not {text!r}")
    return severities, faults


class CorruptionProgress:
    """A live line on a terminal while corrupted networks are evaluated; a context manager.

    Args:
        severities: of each corruption, by its name.
        batches: number of batches of an evaluation.
    """

    def __init__(self, severities: dict[str, list[float]], batches: int) -> None:
        corrupted = sum(len({*levels} - {0}) for levels in severities.values())
        self._total, self._batches, self._done = corrupted * batches, batches, -batches
        self._live: Any = None
        self._task: Any = None

    def __enter__(self) -> CorruptionProgress:
        # rich takes FORCE_COLOR for a terminal, but that asks for colours, not for a live line.
        if sys.stderr.isatty():
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.percentage:.0f} %"),
                TimeRemainingColumn(),
                console=console.stderr(),
                transient=True,
            )
            self._task = self._live.add_task("corruptions", total=self._total)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def evaluation_begins(self, name: str, severity: float) -> None:
        """Show the name and the severity of the corruption that is evaluated next."""
        self._done += self._batches
        if self._live is not None:
            text = f"{name} {severity:g}"
            self._live.update(self._task, description=text, completed=self._done)

    def batch_begins(self) -> None:
        """Advance by a batch."""
        if self._live is not None:
            self._live.advance(self._task)


def show_robustness(
    rows: list[dict[str, Any]], metric: Metric = ACCURACY, *, has_spikes: bool = True
) -> None:
    """Show the rows of `measure.robustness`: a table for each corruption, clean data first.

    Args:
        rows: of all corruptions.
        metric: the primary metric of the task.
        has_spikes: whether the network has spikes, and so a spike rate.
    """
    from ....measure.figures.robustness import severity_text
    from ....measure.robustness.corruptions import corruption_registry

    direction = "" if metric == ACCURACY else f"; {metric.title}, {metric.direction}"

    def rate(row: dict[str, Any]) -> str:
        return f"{row['spike_rate']:.4f}" if has_spikes else console.UNKNOWN

    def figure(value: float | None) -> str:
        return console.UNKNOWN if value is None else metric.figure(value)

    def change(value: float | None, clean: float | None) -> str:
        if value is None or clean is None:
            return console.UNKNOWN
        return metric.change(value - clean)

    for name, group in groupby(rows, key=lambda row: row["corruption"]):
        found = list(group)
        clean = found[0][metric.name]
        title = f"{name}: {corruption_registry.get(name).unit}{direction}"
        for begin in range(0, len(found), SEVERITIES_PER_TABLE):
            part = found[begin : begin + SEVERITIES_PER_TABLE]
            changes = [change(row[metric.name], clean) if row["severity"] else "" for row in part]
            console.table(
                title,
                ["", *(severity_text(row["severity"]) for row in part)],
                [
                    [metric.axis, *(figure(row[metric.name]) for row in part)],
                    ["against clean", *changes],
                    ["spike rate", *(rate(row) for row in part)],
                ],
            )
