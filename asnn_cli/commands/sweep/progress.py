"""Progress of a sweep: a line for each member that has ended, and the number left."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ....core.metric import ACCURACY, Metric
from ....core.reading import MAX_LINES, read_regular
from ....sweeps.definition import Definition
from ....sweeps.folder import SweepFolder
from ....sweeps.plan import Member, Plan
from ....sweeps.pool import Failure, threads_each
from ....sweeps.results import summarise, write_results
from ...terminal.console import duration, note

MAX_SILENCE = 600  # seconds without a line; then one shows that members are trained


class SweepProgress:
    """Observer of a sweep, which also writes the results after each member."""

    def __init__(
        self,
        definition: Definition,
        plan: Plan,
        folder: SweepFolder,
        todo: Sequence[Member],
        jobs: int,
    ) -> None:
        self._definition, self._plan, self._folder = definition, plan, folder
        self._left = list(todo)
        self._failures: dict[str, Failure] = {}
        self._begin = self._shown_at = time.monotonic()
        kept = len(plan.members) - len(todo)
        before = f" ({kept} more {'is' if kept == 1 else 'are'} finished)" if kept else ""
        threads = threads_each(jobs)
        note(
            f"{len(todo)} training{'s' * (len(todo) > 1)}{before}, {jobs} at a time, "
            f"{threads} thread{'s' * (threads > 1)} each; writing {folder.path}"
        )
        self._epochs = sum(member.recipe.train.epochs for member in todo)
        self._epochs_before = sum(map(self._epochs_done, todo))

    def member_done(self, member: Member, failure: Failure | None) -> None:
        self._left.remove(member)
        if failure is None:
            record = self._folder.record(member.name, self._definition.split) or {}
            metric = Metric.from_document(record.get("metric"))
            value, seconds = record.get(metric.name, 0.0), record.get("training_seconds", 0.0)
            name = "" if metric == ACCURACY else f"{metric.title} "
            self._show(f"{member.name}: {name}{metric.text(value)} in {duration(seconds)}")
        else:
            self._failures[member.name] = failure
            self._show(f"{member.name}: failed: {failure.what}")
        write_results(
            summarise(self._definition, self._plan, self._folder, self._failures), self._folder
        )

    def waiting(self, running: Sequence[Member]) -> None:
        if time.monotonic() - self._shown_at > MAX_SILENCE:
            self._show(f"{len(running)} in training")

    def _show(self, text: str) -> None:
        self._shown_at = time.monotonic()
        left = f"{len(self._left)} left{self._estimate()}" if self._left else "none left"
        note(f"{text}; {left}")

    def _estimate(self) -> str:
        """Return the time left, if the remaining epochs take as long as those trained so far."""
        left = sum(member.recipe.train.epochs - self._epochs_done(member) for member in self._left)
        done = self._epochs - self._epochs_before - left
        if done <= 0 or left <= 0:
            return ""
        return f", about {duration((time.monotonic() - self._begin) * left / done)}"

    def _epochs_done(self, member: Member) -> int:
        try:
            metrics = read_regular(self._folder.run(member.name).metrics, max_size=MAX_LINES)
        except (OSError, ValueError):
            return 0
        return metrics.count(b"\n")
