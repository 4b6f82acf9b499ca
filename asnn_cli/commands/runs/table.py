"""A list of runs as wide as the terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from ....records.layout import Run
from ....core.text import printable
from ....core.units import si
from ...terminal import console
from ....records.record import RunRecord, read_record
from ...terminal.tables import GAP, shorten

NAME = 22  # characters of a run's name for which other columns are left out
VALUE = 13  # most characters of a setting

Cells = dict[str, list[str]]


def sorted_records(
    folders: Sequence[Path | str], order: str, limit: int | None
) -> tuple[list[RunRecord], list[Path]]:
    """Return the first runs in some folders, and where all of them are, each once.

    Args:
        folders: where to look.
        order: one of ORDERS.
        limit: how many to return; None for all.

    Raises:
        ConfigError: there is no such order.
        DataError: a folder holds no run.
    """
    from ....core.registry import unknown
    from ....records.layout import list_runs

    if order not in ORDERS:
        raise unknown("order", order, list(ORDERS))
    runs = [run for folder in folders for run in list_runs(folder)]
    runs.sort(key=lambda run: len(run.path.parts), reverse=True)  # a link leads to a longer path
    once = {os.path.realpath(run.path): run for run in runs}
    runs = sorted(once.values(), key=BY_PATH.get(order, BY_PATH["newest"]))
    paths = [run.path for run in runs]
    if order in BY_PATH:  # what is cut off need not be read
        return list(map(read_record, runs[:limit])), paths
    return sorted(map(read_record, runs), key=BY_FIGURE[order])[:limit], paths


def listing(shown: Sequence[RunRecord], paths: Sequence[Path], out: Any) -> Any:
    """Return a table of runs as wide as the console `out`, and notes below it.

    Args:
        shown: the runs with a row.
        paths: of all runs that there are.
        out: a console.
    """
    from rich.console import Group
    from rich.text import Text

    home = os.path.commonpath([os.path.abspath(path.parent) for path in paths])
    names = [printable(os.path.relpath(record.run.path, home)) for record in shown]
    cells = {head: [cell(record) for record in shown] for head, cell in COLUMNS.items()}
    shared = what_is_shared(cells)
    least = least_room(names)
    columns, room = fitting(
        {head: column for head, column in cells.items() if head not in shared}, out.width, least
    )
    cut = len(shown) < len(paths)
    title = f"{len(shown)} of " * cut + f"{len(paths)} run{'s' * (len(paths) > 1)}"
    title += f" in {min(os.path.relpath(home), home, key=len)}"
    if shared:
        title += f"; {'those shown' if cut else 'all'}: "
        title += ", ".join(f"{head} {cell}" for head, cell in shared.items())
    short = [shorten(name, max(room, least)) for name in names]
    notes = [
        f"damaged: {name}: {fault}"
        for name, record in zip(names, shown, strict=True)
        for fault in record.faults
    ]
    if cut:
        notes.append(f"all of them: --limit {len(paths)}")
    table = console.laid_out(
        title, ["run", *columns], list(zip(short, *columns.values(), strict=True)), out
    )
    return Group(table, *(Text(printable(note)) for note in notes))


def low_listing(shown: Sequence[RunRecord], paths: Sequence[Path], out: Any) -> Any:
    """Return a listing no higher than the console, of the first runs where it would be."""
    while True:
        made = listing(shown, paths, out)
        over = len(out.render_lines(made)) - out.height
        if over <= 0 or len(shown) == 1:
            return made
        shown = shown[: max(len(shown) - over, 1)]


def least_room(names: Sequence[str]) -> int:
    """Return the room, NAME or more, in which names differ when they are shortened."""
    longest = max(map(cell_len, names))
    for room in range(min(NAME, longest), longest):
        if len({shorten(name, room) for name in names}) == len(names):
            return room
    return longest


def what_is_shared(cells: Mapping[str, list[str]]) -> dict[str, str]:
    """Return what is known to be the same in several runs and needs no column."""
    return {
        head: first
        for head in SHARED
        for first, *others in [cells[head]]
        if others and set(others) == {first} and first != console.UNKNOWN
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
        taken = GAP + max(map(cell_len, [head, *column]))
        if room - taken < name:
            break
        kept[head] = column
        room -= taken
    return kept, room


def _last_if_unknown(figure: float | None, sign: int = 1) -> tuple[bool, float]:
    return figure is None, sign * (figure or 0)


BY_PATH: dict[str, Callable[[Run], Any]] = {
    "newest": lambda run: (-run.began, str(run.path)),
    "name": lambda run: str(run.path),
}
BY_FIGURE: dict[str, Callable[[RunRecord], Any]] = {
    "accuracy": lambda run: _last_if_unknown(run.best("validation_accuracy"), -1),
    "rate": lambda run: _last_if_unknown(run.best("spike_rate")),
    "parameters": lambda run: _last_if_unknown(run.figure("parameters")),
}
ORDERS = (*BY_PATH, *BY_FIGURE)


def _state(run: RunRecord) -> str:
    if run.state == "unfinished":
        return f"{len(run.history)}/{run.epochs or '?'}"
    return {"finished": "done"}.get(run.state, run.state)


def _figure(figure: float | None, form: str, scale: float = 1) -> str:
    return console.UNKNOWN if figure is None else f"{scale * figure:{form}}"


def _setting(section: str, key: str) -> Callable[[RunRecord], str]:
    def cell(run: RunRecord) -> str:
        value = run.setting(section, key)
        return console.UNKNOWN if value is None else shorten(printable(str(value)), VALUE)

    return cell


def _parameters(run: RunRecord) -> str:
    number = run.figure("parameters")
    return console.UNKNOWN if number is None else si(number)


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
    "data": _setting("data", "name"),
    "code": _setting("coding", "name"),
    "T": _setting("coding", "steps"),
    "neuron": _setting("model", "neuron"),
    "rate": lambda run: _figure(run.best("spike_rate"), ".3f"),
    "age": _age,
    "at": lambda run: _figure(run.best("epoch"), ""),
    "model": _setting("model", "name"),
    "parameters": _parameters,
}
SHARED = ("state", "data", "code", "T", "neuron", "model", "parameters")
