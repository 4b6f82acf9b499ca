"""The table of `asnn predict`, what is said below it, and a count while it runs."""

from __future__ import annotations

import math
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ....core.units import joules
from ...terminal import console
from ...terminal.tables import shorten

if TYPE_CHECKING:
    from ....measure.prediction import Prediction
    from ....measure.prediction.answers import Answers
    from .summary import Summary

MAX_ROWS = 20
MAX_NAME = 40  # characters
MAX_CLASSES = 10


class Table:
    """The first answers as rows."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._first: list[Prediction] = []
        self._count = 0

    def add(self, prediction: Prediction) -> None:
        """Take an answer."""
        if prediction.error is None:
            self._count += 1
            if len(self._first) < MAX_ROWS:
                self._first.append(prediction)

    def show(self) -> None:
        """Show the rows, and how many more there are."""
        if not self._first:
            return
        # What is the same for all, or unknown, takes no column.
        decides = any(each.step != self._first[0].step or not each.decided for each in self._first)
        decides = decides or self._answers.exit is not None
        columns = {
            "time": [_time(each) for each in self._first],
            "step": [str(each.step) if each.decided else f"{each.step}*" for each in self._first],
            "spikes": [_figure(each.spikes) for each in self._first],
            "energy": [
                console.UNKNOWN if each.picojoules is None else joules(each.picojoules)
                for each in self._first
            ],
        }
        if self._answers.has_times or not decides:
            del columns["step"]
        if not self._answers.has_times:
            del columns["time"]
        if all(each.spikes is None for each in self._first):
            del columns["spikes"]
        if all(each.picojoules is None for each in self._first):
            del columns["energy"]
        answers = [self._answers.cells(each) for each in self._first]
        rows = [
            [shorten(each.source, MAX_NAME), *cells, *(column[i] for column in columns.values())]
            for i, (each, cells) in enumerate(zip(self._first, answers, strict=True))
        ]
        console.table("answers", ["input", *self._answers.heads, *columns], rows)
        if decides and any(not each.decided for each in self._first):
            times = self._answers.has_times
            console.note("* undecided: no output fires" if times else "* undecided: the last step")
        if self._count > len(self._first):
            console.note(
                f"and {self._count - len(self._first):,} more: --csv FILE or --json gives all"
            )


def _time(prediction: Prediction) -> str:
    decided = prediction.time is not None and math.isfinite(prediction.time)
    return f"{prediction.time:.4g}" if decided else f"{console.UNKNOWN}*"


def _figure(value: float | None) -> str:
    return console.UNKNOWN if value is None else f"{value:,.0f}"


def show_summary(summary: Summary) -> None:
    """Show how many inputs have each class, and how many the known one."""
    for name, reason in summary.reasons.items():
        console.note(f"{name} unknown: {reason}")
    if summary.answered > MAX_ROWS and summary.classes:
        found = [f"{name} {count:,}" for name, count in summary.classes.most_common(MAX_CLASSES)]
        more = len(summary.classes) - len(found)
        console.note(f"by class: {', '.join(found)}" + (f" and {more} more" if more else ""))
    if summary.expected:
        share = console.percent(summary.correct / summary.expected)
        console.note(f"correct: {share} of {summary.expected:,} whose class is known")


def show_inputs(summary: Summary, others: str) -> None:
    """Show how inputs were changed, and what could not be read.

    Args:
        summary: of all answers.
        others: the files in folders that are no inputs, as text.
    """
    if summary.changes:
        changes = ", ".join(f"{count:,} {how}" for how, count in summary.changes.most_common())
        plural = "" if summary.answered == 1 else "s"
        console.note(f"of {summary.answered:,} input{plural}: {changes}")
    if others:
        console.note(f"not read: {others}")
    for error in summary.errors:
        console.show_error(error)
    if summary.failed > len(summary.errors):
        console.note(f"and {summary.failed - len(summary.errors):,} more")
    if summary.failed and summary.answered:
        console.note(f"{summary.answered:,} answered, {summary.failed:,} not")


class Counter:
    """A live count on a terminal while answers come; a context manager.

    Args:
        shown: whether to show it; where data go to stdout, they may share the terminal.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._live: Any = None
        self._task: Any = None

    def __enter__(self) -> Counter:
        # rich takes FORCE_COLOR for a terminal, but that asks for colours, not for a live line.
        if self._shown and sys.stderr.isatty():
            from rich.progress import Progress, TextColumn

            self._live = Progress(
                TextColumn("{task.completed:,.0f} inputs"),
                console=console.stderr(),
                transient=True,
            )
            self._task = self._live.add_task("inputs", total=None)
            self._live.start()
        return self

    def advance(self) -> None:
        """Count an input."""
        if self._live is not None:
            self._live.advance(self._task)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
