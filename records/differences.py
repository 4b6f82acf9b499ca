"""In what two runs differ: configuration, environment and result."""

from __future__ import annotations

from ..core.documents import plain
from .record import BEST, WHOLE, Document, RunRecord


def run_differences(a: RunRecord, b: RunRecord) -> dict[str, dict[str, Document]]:
    """Return what differs, by dotted key, and all figures of the result.

    A value that is not set, or not known, is None; so is a difference (b less a) where one of the
    two is.
    """
    metrics = dict.fromkeys((a.metric_key, b.metric_key))
    figures = {name: (a.best(name), b.best(name)) for name in (*metrics, *BEST)}
    figures |= {name: (a.figure(name), b.figure(name)) for name in WHOLE}
    return {
        "configuration": _differing(a.config, b.config),
        "environment": _differing(a.environment, b.environment),
        "result": {
            name: {"a": x, "b": y, "difference": None if x is None or y is None else y - x}
            for name, (x, y) in figures.items()
        },
    }


def same_result(result: dict[str, Document]) -> bool:
    """Tell whether the figures of both runs are equal, but for the time that they took."""
    return all(each["a"] == each["b"] for name, each in result.items() if name != "seconds")


def _differing(a: Document, b: Document) -> dict[str, Document]:
    x, y = _flat(a), _flat(b)
    return {
        key: {"a": x.get(key), "b": y.get(key)}
        for key in dict.fromkeys([*x, *y])
        if x.get(key) != y.get(key)
    }


def _flat(table: Document) -> Document:
    """Return values by dotted key, those that JSON does not know as text."""
    found, todo = {}, list(table.items())
    while todo:
        key, value = todo.pop(0)
        if isinstance(value, dict):
            todo = [(f"{key}.{name}", each) for name, each in value.items()] + todo
        else:
            found[key] = plain(value)
    return found
