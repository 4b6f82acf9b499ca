"""How a sweep is shown: a line for each member that has ended, and what is left."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ....sweeps.definition import Definition
from ....sweeps.folder import SweepFolder
from ....sweeps.plan import Member, Plan
from ....sweeps.results import summarise, write_results
from ....sweeps.run import Failure, threads_each
from ...terminal.console import duration, note, percent

SILENCE = 600  # seconds without a line before one says that work goes on


class SweepProgress:
    """Watcher of a sweep that is trained; the results are written after each member."""

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
        self._begin = self._told = time.monotonic()
        kept = len(plan.members) - len(todo)
        before = f" ({kept} more {'is' if kept == 1 else 'are'} finished)" if kept else ""
        threads = threads_each(jobs)
        note(
            f"{len(todo)} training{'s' * (len(todo) > 1)}{before}, {jobs} at a time, "
            f"{threads} thread{'s' * (threads > 1)} each; writing {folder.path}"
        )
        self._epochs = sum(member.recipe.train.epochs for member in todo)
        self._made_before = {member.name: self._epochs_made(member) for member in todo}

    def member_done(self, member: Member, failure: Failure | None) -> None:
        self._left.remove(member)
        if failure is None:
            record = self._folder.record(member.name, self._definition.split) or {}
            accuracy, seconds = record.get("accuracy", 0.0), record.get("training_seconds", 0.0)
            self._say(f"{member.name}: {percent(accuracy)} in {duration(seconds)}")
        else:
            self._failures[member.name] = failure
            self._say(f"{member.name}: failed: {failure.what}")
        write_results(
            summarise(self._definition, self._plan, self._folder, self._failures), self._folder
        )

    def waiting(self, running: Sequence[Member]) -> None:
        if time.monotonic() - self._told > SILENCE:
            self._say(f"{len(running)} at work")

    def _say(self, text: str) -> None:
        self._told = time.monotonic()
        left = f"{len(self._left)} left{self._estimate()}" if self._left else "none left"
        note(f"{text}; {left}")

    def _estimate(self) -> str:
        """Return how long the rest takes, if epochs to come take as long as those made did."""
        to_come = sum(
            member.recipe.train.epochs - self._epochs_made(member) for member in self._left
        )
        before = sum(self._made_before.values())
        made = self._epochs - before - to_come
        if made <= 0 or to_come <= 0:
            return ""
        return f", about {duration((time.monotonic() - self._begin) * to_come / made)}"

    def _epochs_made(self, member: Member) -> int:
        try:
            with open(self._folder.run(member.name).metrics, "rb") as lines:
                return sum(1 for _ in lines)
        except OSError:
            return 0
