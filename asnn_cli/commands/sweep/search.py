"""`asnn sweep --search`: trials that are suggested one after the other, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....core.files import write_json, write_text
from ....sweeps.definition import Definition
from ....sweeps.folder import SweepFolder
from ....sweeps.grid import written_value
from ....sweeps.plan import Member, describe
from ....sweeps.report import markdown_table, short_names
from ....sweeps.run import Failure, run_members, threads_each
from ....sweeps.search import SPLIT, Search
from ...terminal import console
from ...terminal.exits import FAILURE
from ...terminal.signals import StopSignals

MOST_SHOWN = 10


class SearchProgress:
    """Watcher of a search: tells it what came of a trial, and the user."""

    def __init__(self, search: Search, trials: int) -> None:
        self._search = search
        self._trials = trials

    def member_done(self, member: Member, failure: Failure | None) -> None:
        self._search.tell(member, failure)
        results = self._search.results()
        (own,) = (each for each in results if each["name"] == member.name)
        accuracy = own["validation_accuracy"]
        told = f"failed: {own['why']}" if accuracy is None else console.percent(accuracy)
        best = results[0]["validation_accuracy"]
        left = self._trials - sum(each["state"] != "running" for each in results)
        console.note(
            f"{member.name}: {told} ({describe(member.point)}); "
            f"best {'–' if best is None else console.percent(best)}; {left} left"
        )

    def waiting(self, running: Sequence[Member]) -> None:
        pass


def run_search(
    definition: Definition,
    folder: SweepFolder,
    *,
    device: str | None,
    jobs: int,
    claim: int | None,
) -> tuple[dict[str, Any], int]:
    """Make the trials that are missing and write the results; return them and the exit code."""
    search = Search(definition, folder, device)
    jobs = min(jobs, definition.trials)
    threads = threads_each(jobs)
    console.note(
        f"{definition.trials} trials, {jobs} at a time, {threads} "
        f"thread{'s' * (threads > 1)} each, by validation accuracy; writing {folder.path}"
    )
    with StopSignals() as stop:
        run_members(
            search.members(),
            folder,
            SPLIT,
            SearchProgress(search, definition.trials),
            jobs=jobs,
            stop=stop,
            claim=claim,
        )
    trials = search.results()
    done = [each for each in trials if each["state"] == "complete"]
    results = {
        "sweep": str(folder.path),
        "command": definition.command(),
        "recipe": definition.name,
        "split": SPLIT,
        "keys": definition.keys,
        "seeds": list(definition.seeds),
        "best": done[0] if done else None,
        "trials": trials,
        "total": definition.trials,
    }
    write_json(folder.results, results)
    write_text(folder.report, _page(results))
    _tell(results, folder)
    if stop():
        console.note(f"stopped; go on with: asnn sweep --resume {folder.path}")
        return results, stop.exit_code
    return results, 0 if done else FAILURE


def _table(results: dict[str, Any], most: int | None = None) -> tuple[list[str], list[list[str]]]:
    heads = ["trial", *short_names(results["keys"]), "validation, %"]
    rows = []
    for each in results["trials"][:most]:
        accuracy = each["validation_accuracy"]
        figure = each["state"] if accuracy is None else f"{100 * accuracy:.2f}"
        settings = [_shown(each["settings"][key]) for key in results["keys"]]
        rows.append([each["name"].removeprefix("trial-"), *settings, figure])
    return heads, rows


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else written_value(value)


def _page(results: dict[str, Any]) -> str:
    parts = [
        f"# {results['recipe']}: a search over {', '.join(results['keys'])}",
        markdown_table(*_table(results)),
        "By the best validation accuracy of each training; test data have not been looked at.",
        f"```\n{results['command']}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _tell(results: dict[str, Any], folder: SweepFolder) -> None:
    console.table("the best trials, on validation data", *_table(results, MOST_SHOWN))
    if results["best"]:
        best = results["best"]
        for key, value in best["settings"].items():
            console.note(f"  {key}={written_value(value)}")
        run = folder.path / best["name"]
        console.note(f"best: {run}    next: asnn eval {run}")
    console.note(f"results: {folder.report}")
