"""`asnn sweep --search`: run the trials and show the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.metric import ACCURACY, Metric
from ....core.text import shell
from ....sweeps.definition import Definition
from ....sweeps.folder import SweepFolder
from ....sweeps.grid import value_text
from ....sweeps.plan import Member, describe
from ....sweeps.pool import Failure, run_members, threads_each
from ....sweeps.search import SPLIT, Search
from ....sweeps.search_results import search_results, search_table, write_search_results
from ...terminal import console
from ...terminal.exits import FAILURE
from ...terminal.signals import StopSignals

MAX_SHOWN = 10


class SearchProgress:
    """Observer of a search: passes each result to the search, and shows it."""

    def __init__(self, search: Search, trials: int) -> None:
        self._search = search
        self._trials = trials

    def member_done(self, member: Member, failure: Failure | None) -> None:
        self._search.tell(member, failure)
        results = self._search.results()
        (own,) = (trial for trial in results if trial["name"] == member.name)
        key, text = self._search.value_key, self._search.metric.text
        outcome = f"failed: {own['why']}" if own[key] is None else text(own[key])
        best = results[0][key]
        left = self._trials - sum(trial["state"] != "running" for trial in results)
        console.note(
            f"{member.name}: {outcome} ({describe(member.point)}); "
            f"best {'–' if best is None else text(best)}; {left} left"
        )

    def waiting(self, running: Sequence[Member]) -> None:
        pass


def run_search(
    definition: Definition,
    folder: SweepFolder,
    metric: Metric,
    *,
    device: str | None,
    jobs: int,
    lock_fd: int | None,
) -> tuple[dict[str, Any], int]:
    """Run the missing trials and write the results; return them and the exit code."""
    search = Search(definition, folder, device, metric)
    jobs = min(jobs, definition.trials)
    threads = threads_each(jobs)
    direction = "" if metric == ACCURACY else f" ({metric.direction})"
    console.note(
        f"{definition.trials} trials, {jobs} at a time, {threads} "
        f"thread{'s' * (threads > 1)} each, by validation {metric.title}{direction}; "
        f"writing {folder.path}"
    )
    with StopSignals() as stop:
        run_members(
            search.members(),
            folder,
            SPLIT,
            SearchProgress(search, definition.trials),
            jobs=jobs,
            stop=stop,
            lock_fd=lock_fd,
        )
    results = search_results(definition, folder, search.results(), metric)
    write_search_results(results, folder)
    _show(results, folder)
    if stop():
        console.note(f"stopped; resume with: asnn sweep --resume {shell(folder.path)}")
        return results, stop.exit_code
    return results, 0 if results["best"] else FAILURE


def _show(results: dict[str, Any], folder: SweepFolder) -> None:
    console.table("the best trials, on validation data", *search_table(results, MAX_SHOWN))
    best = results["best"]
    if best:
        for key, value in best["settings"].items():
            console.note(f"  {key}={value_text(value)}")
        run = folder.path / best["name"]
        console.note(f"best: {run}    next: asnn eval {shell(run)}")
    console.note(f"results: {folder.report}")
