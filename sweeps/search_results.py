"""The results of a search: `results.json`, `results.md` and rows of a table."""

from __future__ import annotations

from typing import Any

from ..core.files import write_json, write_text
from ..core.metric import ACCURACY, Metric
from ..core.text import code_block, markdown
from .definition import Definition
from .folder import SweepFolder
from .grid import value_text
from .results_page import markdown_table, results_metric, short_names
from .search import SPLIT


def search_results(
    definition: Definition,
    folder: SweepFolder,
    trials: list[dict[str, Any]],
    metric: Metric = ACCURACY,
) -> dict[str, Any]:
    """Return the results of a search as plain values.

    Args:
        definition: of the search.
        folder: of the search.
        trials: the best first, as `Search.results` returns them.
        metric: of the search.
    """
    complete = [trial for trial in trials if trial["state"] == "complete"]
    return {
        "sweep": str(folder.path),
        "command": definition.command(),
        "recipe": definition.name,
        "split": SPLIT,
        "metric": metric.document(),
        "keys": definition.keys,
        "seeds": list(definition.seeds),
        "best": complete[0] if complete else None,
        "trials": trials,
        "total": definition.trials,
    }


def write_search_results(results: dict[str, Any], folder: SweepFolder) -> None:
    """Write the results as JSON, and as a page with a table of all trials."""
    write_json(folder.results, results)
    metric = results_metric(results)
    direction = "" if metric == ACCURACY else f" ({metric.direction})"
    parts = [
        "# " + markdown(f"{results['recipe']}: a search over {', '.join(results['keys'])}"),
        markdown_table(*search_table(results)),
        f"Trials by the best validation {metric.title}{direction} of each training; test data are "
        "not used.",
        code_block(results["command"]),
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
    metric = results_metric(results)
    head = "validation, %" if metric == ACCURACY else f"validation {metric.axis}"
    heads = ["trial", *short_names(results["keys"]), head]
    rows = []
    for trial in results["trials"][:limit]:
        value = trial[f"validation_{metric.name}"]
        figure = trial["state"] if value is None else metric.figure(value)
        settings = [_value(trial["settings"][key]) for key in results["keys"]]
        rows.append([trial["name"].removeprefix("trial-"), *settings, figure])
    return heads, rows


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)
