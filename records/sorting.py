"""The runs in some folders, sorted by time, name or a figure of their result."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..core.registry import unknown
from .layout import Run, list_runs
from .record import RunRecord, read_record


def _unknown_last(figure: float | None, sign: int = 1) -> tuple[bool, float]:
    return figure is None, sign * (figure or 0)


def _best_last(run: RunRecord) -> tuple[str, bool, float]:
    """Order by metric, then the best first: values of different metrics do not compare."""
    value = run.best(run.metric_key)
    return (run.metric.name, value is None, 0 if value is None else -run.metric.rank(value))


BY_PATH: dict[str, Callable[[Run], Any]] = {
    "newest": lambda run: (-run.began, str(run.path)),
    "name": lambda run: str(run.path),
}
BY_FIGURE: dict[str, Callable[[RunRecord], Any]] = {
    "accuracy": lambda run: _unknown_last(run.best("validation_accuracy"), -1),
    "metric": _best_last,
    "rate": lambda run: _unknown_last(run.best("spike_rate")),
    "parameters": lambda run: _unknown_last(run.figure("parameters")),
}
ORDERS = (*BY_PATH, *BY_FIGURE)


def sorted_records(
    folders: Sequence[Path | str], order: str, limit: int | None
) -> tuple[list[RunRecord], list[Path]]:
    """Return the first runs in some folders, and the paths of all of them, each once.

    Args:
        folders: where to look.
        order: one of ORDERS.
        limit: how many to return; None for all.

    Raises:
        ConfigError: there is no such order.
        DataError: a folder holds no run.
    """
    if order not in ORDERS:
        raise unknown("order", order, list(ORDERS))
    runs = [run for folder in folders for run in list_runs(folder)]
    # Of several paths to one run the shortest is kept: the path through a link is longer.
    runs.sort(key=lambda run: len(run.path.parts), reverse=True)
    by_real_path = {os.path.realpath(run.path): run for run in runs}
    runs = sorted(by_real_path.values(), key=BY_PATH.get(order, BY_PATH["newest"]))
    paths = [run.path for run in runs]
    if order in BY_PATH:  # runs beyond the limit need not be read
        return list(map(read_record, runs[:limit])), paths
    return sorted(map(read_record, runs), key=BY_FIGURE[order])[:limit], paths
