"""A list of runs as wide as the terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import console
from .run_record import RunRecord, read_record
from .tables import GAP, shorten

NAME = 22  # characters of a run's name for which other columns are left out

Cells = dict[str, list[str]]


def sorted_records(folders: Sequence[Path | str], order: str) -> list[RunRecord]:
    """Return the runs in some folders, each once.

    Raises:
        ConfigError: there is no such order.
        DataError: a folder holds no run.
    """
    from ..core.registry import unknown
    from ..core.runs import list_runs

    if order not in ORDERS:
        raise unknown("order", order, list(ORDERS))
    found = {os.path.realpath(run.path): run for folder in folders for run in list_runs(folder)}
    return sorted(map(read_record, found.values()), key=ORDERS[order])


def listing(records: Sequence[RunRecord], limit: int, out: Any) -> Any:
    """Return a table of the first records as wide as the console `out`, and notes below it."""
    from rich.console import Group
    from rich.text import Text

    from ..core.text import printable

    shown = records[:limit]
    home = os.path.commonpath([os.path.abspath(record.run.path.parent) for record in shown])
    names = [os.path.relpath(record.run.path, home) for record in shown]
    cells = {head: [cell(record) for record in shown] for head, cell in COLUMNS.items()}
    shared = what_is_shared(cells)
    longest = max(map(len, names))
    columns, room = fitting(
        {head: column for head, column in cells.items() if head not in shared},
        out.width,
        min(NAME, longest),
    )
    many = f"{len(shown)} of " if len(records) > limit else ""
    title = f"{many}{len(records)} run{'s' * (len(records) > 1)}"
    title += f" in {min(os.path.relpath(home), home, key=len)}"
    if shared:
        title += f"; all: {', '.join(f'{head} {cell}' for head, cell in shared.items())}"
    rows = list(zip([shorten(name, room) for name in names], *columns.values(), strict=True))
    notes = [
        f"damaged: {name}: {fault}"
        for name, record in zip(names, shown, strict=True)
        for fault in record.faults
    ]
    if len(records) > limit:
        notes.append(f"all of them: --limit {len(records)}")
    table = console.laid_out(title, ["run", *columns], rows, out)
    return Group(table, *(Text(printable(note)) for note in notes))


def what_is_shared(cells: Mapping[str, list[str]]) -> dict[str, str]:
    """Return what is the same in several runs and needs no column."""
    return {
        head: cells[head][0]
        for head in SHARED
        if len(cells[head]) > 1 and len(set(cells[head])) == 1
    }


def fitting(cells: Cells, width: int, name: int) -> tuple[Cells, int]:
    """Return the first columns that fit beside a name, and the room that this leaves to the name.

    Args:
        cells: by head, what matters most first.
        width: of a line.
        name: characters of the name's column at least.
    """
    kept: Cells = {}
    room = width - GAP
    for head, column in cells.items():
        taken = GAP + max(map(len, [head, *column]))
        if room - taken < name:
            break
        kept[head] = column
        room -= taken
    return kept, room


def _last_if_unknown(figure: float | None, sign: int = 1) -> tuple[bool, float]:
    return figure is None, sign * (figure or 0)


ORDERS: dict[str, Callable[[RunRecord], Any]] = {
    "newest": lambda run: (-run.run.began, str(run.run.path)),
    "name": lambda run: str(run.run.path),
    "accuracy": lambda run: _last_if_unknown(run.best("validation_accuracy"), -1),
    "rate": lambda run: _last_if_unknown(run.best("spike_rate")),
    "parameters": lambda run: _last_if_unknown(run.figure("parameters")),
}


def _state(run: RunRecord) -> str:
    if run.state == "unfinished":
        return f"{len(run.history)}/{run.epochs or '?'}"
    return {"finished": "done"}.get(run.state, run.state)


def _figure(figure: float | None, form: str, scale: float = 1) -> str:
    return console.UNKNOWN if figure is None else f"{scale * figure:{form}}"


def _setting(section: str, key: str) -> Callable[[RunRecord], str]:
    def cell(run: RunRecord) -> str:
        value = run.setting(section, key)
        return console.UNKNOWN if value is None else shorten(str(value), 10)

    return cell


def _parameters(run: RunRecord) -> str:
    number = run.figure("parameters")
    if number is None or number < 1000:
        return _figure(number, ",")
    return f"{number / 1e3:,.1f}k" if number < 1e6 else f"{number / 1e6:,.2f}M"


def _age(run: RunRecord) -> str:
    """Return how long ago it began, in its greatest unit: 5 min, 3 h, 12 d."""
    seconds = max(0.0, time.time() - run.run.began)
    for unit, size in (("d", 86400), ("h", 3600)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds // 60:.0f} min"


# What matters most comes first: the terminal may be too narrow for the last ones.
COLUMNS: dict[str, Callable[[RunRecord], str]] = {
    "state": _state,
    "best %": lambda run: _figure(run.best("validation_accuracy"), ".2f", 100),
    "by epoch": lambda run: console.curve(run.accuracies),
    "code": _setting("coding", "name"),
    "T": _setting("coding", "steps"),
    "neuron": _setting("model", "neuron"),
    "rate": lambda run: _figure(run.best("spike_rate"), ".3f"),
    "age": _age,
    "at": lambda run: _figure(run.best("epoch"), ""),
    "model": _setting("model", "name"),
    "parameters": _parameters,
}
SHARED = ("state", "code", "T", "neuron", "model", "parameters")
