"""The results of a search: `results.json`, `results.md` and rows of a table."""

from __future__ import annotations

from typing import Any

from ..core.files import write_json, write_text
from .definition import Definition
from .folder import SweepFolder
from .grid import value_text
from .results_page import markdown_table, short_names
from .search import SPLIT


def search_results(
    definition: Definition, folder: SweepFolder, trials: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the results of a search as plain values.

    Args:
        definition: of the search.
        folder: of the search.
        trials: the best first, as `Search.results` returns them.
    """
    complete = [trial for trial in trials if trial["state"] == "complete"]
    return {
        "sweep": str(folder.path),
        "command": definition.command(),
        "recipe": definition.name,
        "split": SPLIT,
        "keys": definition.keys,
        "seeds": list(definition.seeds),
        "best": complete[0] if complete else None,
        "trials": trials,
        "total": definition.trials,
    }


def write_search_results(results: dict[str, Any], folder: SweepFolder) -> None:
    """Write the results as JSON, and as a page with a table of all trials."""
    write_json(folder.results, results)
    parts = [
        f"# {results['recipe']}: a search over {', '.join(results['keys'])}",
        markdown_table(*search_table(results)),
        "Trials by the best validation accuracy of each training; test data are not used.",
        f"```\n{results['command']}\n```",
    ]
    write_text(folder.report, "\n\n".join(parts) + "\n")


def search_table(
    results: dict[str, Any], limit: int | None = None
) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the table of trials, the best first.

    Args:
        results: of a search.
        limit: number of trials; None for all.
    """
    heads = ["trial", *short_names(results["keys"]), "validation, %"]
    rows = []
    for trial in results["trials"][:limit]:
        accuracy = trial["validation_accuracy"]
        figure = trial["state"] if accuracy is None else f"{100 * accuracy:.2f}"
        settings = [_value(trial["settings"][key]) for key in results["keys"]]
        rows.append([trial["name"].removeprefix("trial-"), *settings, figure])
    return heads, rows


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)
