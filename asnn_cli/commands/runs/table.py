"""The table of `asnn runs`, which shows as many columns as fit the terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from ....core.metric import ACCURACY
from ....core.text import printable
from ....core.units import si
from ....records.exports import CHANGED, NOT_VERIFIED, OTHER_WEIGHTS
from ....records.record import RunRecord
from ...terminal import console
from ...terminal.tables import GAP, shorten

MIN_NAME = 22  # characters of a run's name; columns that leave it fewer are left out
MAX_VALUE = 13  # characters of a setting

Cells = dict[str, list[str]]


def listing(shown: Sequence[RunRecord], paths: Sequence[Path], out: Any) -> Any:
    """Return a table of runs as wide as the console `out`, and notes below it.

    Args:
        shown: the runs with a row.
        paths: of all runs, with a row or not.
        out: a console.
    """
    from rich.console import Group
    from rich.text import Text

    folder = os.path.commonpath([os.path.abspath(path.parent) for path in paths])
    names = [printable(os.path.relpath(record.run.path, folder)) for record in shown]
    cells = {head: [cell(record) for record in shown] for head, cell in COLUMNS.items()}
    shared = shared_cells(cells)
    name_room = min_name_room(names)
    varied = {head: column for head, column in cells.items() if head not in shared}
    columns, room = fitting(varied, out.width, name_room)
    cut = len(shown) < len(paths)
    title = f"{len(shown)} of " * cut + f"{len(paths)} run{'s' * (len(paths) > 1)}"
    title += f" in {min(os.path.relpath(folder), folder, key=len)}"
    if shared:
        title += f"; {'those shown' if cut else 'all'}: "
        title += ", ".join(f"{head} {cell}" for head, cell in shared.items())
    short = [shorten(name, max(room, name_room)) for name in names]
    notes = [
        f"damaged: {name}: {fault}"
        for name, record in zip(names, shown, strict=True)
        for fault in record.faults
    ]
    notes += [
        f"edited after the training: {name}: {record.run.config.name}: {record.edits}; the table "
        "has the values of the training"
        for name, record in zip(names, shown, strict=True)
        if record.edits.keys
    ]
    notes += [
        f"{name}: the export in export/{folder} {state.reason}"
        for name, record in zip(names, shown, strict=True)
        for folder, state in record.exports.items()
        if state.state in (CHANGED, OTHER_WEIGHTS, NOT_VERIFIED)
    ]
    if cut:
        notes.append(f"to list all: --limit {len(paths)}")
    table = console.laid_out(
        title, ["run", *columns], list(zip(short, *columns.values(), strict=True)), out
    )
    return Group(table, *(Text(printable(note)) for note in notes))


def listing_within_height(shown: Sequence[RunRecord], paths: Sequence[Path], out: Any) -> Any:
    """Return a listing that is no higher than the console, of as many runs as fit."""
    while True:
        drawn = listing(shown, paths, out)
        excess = len(out.render_lines(drawn)) - out.height
        if excess <= 0 or len(shown) == 1:
            return drawn
        shown = shown[: max(len(shown) - excess, 1)]


def min_name_room(names: Sequence[str]) -> int:
    """Return the width, MIN_NAME or more, at which all shortened names still differ."""
    longest = max(map(cell_len, names))
    for room in range(min(MIN_NAME, longest), longest):
        if len({shorten(name, room) for name in names}) == len(names):
            return room
    return longest


def shared_cells(cells: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the cells that are known and equal in several runs, which need no column."""
    return {
        head: first
        for head in SHARED
        for first, *others in [cells[head]]
        if others and set(others) == {first} and first != console.UNKNOWN
    }


def fitting(cells: Cells, width: int, name_room: int) -> tuple[Cells, int]:
    """Return the first columns that fit beside the names, and the room left for the names.

    Args:
        cells: by column head, the most important first.
        width: characters in a line.
        name_room: least characters for the column of names.
    """
    kept: Cells = {}
    room = width - GAP
    for head, column in cells.items():
        needed = GAP + max(map(cell_len, [head, *column]))
        if room - needed < name_room:
            break
        kept[head] = column
        room -= needed
    return kept, room


def _state(run: RunRecord) -> str:
    if run.state == "unfinished":
        return f"{len(run.trained)}/{run.epochs or '?'}"
    return {"finished": "done"}.get(run.state, run.state)


def _figure(figure: float | None, form: str, scale: float = 1) -> str:
    return console.UNKNOWN if figure is None else f"{scale * figure:{form}}"


def _setting(section: str, key: str) -> Callable[[RunRecord], str]:
    def cell(run: RunRecord) -> str:
        value = run.setting(section, key)
        return console.UNKNOWN if value is None else shorten(printable(str(value)), MAX_VALUE)

    return cell


def _best(run: RunRecord) -> str:
    """Return the best value on validation data; of another metric than accuracy with its name."""
    value, metric = run.best(run.metric_key), run.metric
    if value is None:
        return console.UNKNOWN
    return f"{100 * value:.2f}" if metric == ACCURACY else f"{metric.name} {metric.text(value)}"


def _parameters(run: RunRecord) -> str:
    number = run.figure("parameters")
    return console.UNKNOWN if number is None else si(number)


def _age(run: RunRecord) -> str:
    """Return the time since the run began, in its largest unit: 5 min, 3 h, 12 d."""
    seconds = max(0.0, time.time() - run.run.began)
    for unit, size in (("d", 86400), ("h", 3600)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds // 60:.0f} min"


# The most important columns come first: a narrow terminal does not show the last ones.
COLUMNS: dict[str, Callable[[RunRecord], str]] = {
    "state": _state,
    "best %": _best,
    "by epoch": lambda run: console.curve(run.metric_by_epoch),
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
