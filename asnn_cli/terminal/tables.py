"""Tables that fit the terminal: long text is folded, surplus columns are shown below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

MAX_UNFOLDED = 20  # columns up to this width are never folded, so that figures stay in one piece
GAP = 2  # between columns, and around the table

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Part:
    """Some columns of a table, by index, and their widths in characters."""

    columns: list[int]
    widths: list[int]


def fit(heads: Sequence[str], rows: Rows, room: int) -> list[Part]:
    """Split a table into parts, to be shown one below the other, none wider than `room`.

    Columns wider than MAX_UNFOLDED are folded, the widest first. If that is not enough, further
    parts take the remaining columns; each begins with the columns that identify a row.

    Args:
        heads: of the columns.
        rows: of cells.
        room: characters in a line.
    """
    from rich.cells import cell_len

    limit = max(1, min(MAX_UNFOLDED, room // 2 - GAP))
    full, minimum = [], []  # widths
    for head, *cells in zip(heads, *rows, strict=True):
        widest = max(map(cell_len, cells), default=0)
        word = max(map(cell_len, head.split()), default=0)
        full.append(max(widest, cell_len(head), 1))
        minimum.append(max(min(limit, max(widest, word)), 1))
    leading = _leading(rows, minimum, room - limit - GAP)
    return [
        Part(columns, _widths([full[i] for i in columns], [minimum[i] for i in columns], room))
        for columns in _packed(minimum, leading, room)
    ]


def lay_out(title: str, heads: Sequence[str], rows: Rows, room: int) -> Any:
    """Return a table for rich; the first column is text, the others are figures."""
    from rich.box import SIMPLE
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = []
    for part in fit(heads, rows, room):
        table = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
        for i, width in zip(part.columns, part.widths, strict=True):
            side = "right" if i else "left"
            table.add_column(Text(heads[i]), justify=side, width=width, overflow="fold")
        for row in rows:
            table.add_row(*(Text(row[i]) for i in part.columns))
        shown.append(table)
    return Group(*([Text(title, style="bold")] if title else []), *shown)


def shorten(text: str, width: int) -> str:
    """Return both ends of a text wider than `width`; more of the last, which is more specific.

    >>> shorten("coding.name=hybrid,seed=0", 16)
    'codin…rid,seed=0'
    """
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    before = width // 3
    return f"{_begin(text, before)}…{_begin(text[::-1], width - 1 - before)[::-1]}"


def _begin(text: str, room: int) -> str:
    """Return as much of the start of a text as fits; some characters are two cells wide."""
    from rich.cells import cell_len

    ends = accumulate(map(cell_len, text))
    return "".join(letter for letter, end in zip(text, ends, strict=True) if end <= room)


def _leading(rows: Rows, minimum: Sequence[int], room: int) -> int:
    """Return how many of the first columns identify a row; 1 if they would fill `room`."""
    for count in range(1, len(minimum)):
        if sum(minimum[:count]) + GAP * count > room:
            break
        if len({tuple(row[:count]) for row in rows}) == len(rows):
            return count
    return 1


def _packed(minimum: Sequence[int], leading: int, room: int) -> Iterator[list[int]]:
    """Yield the columns of each part: the leading ones, and as many others as fit."""
    columns = list(range(min(leading, len(minimum))))
    for i in range(leading, len(minimum)):
        full = sum(minimum[j] for j in columns) + minimum[i] + GAP * (len(columns) + 1) > room
        if full and len(columns) > leading:
            yield columns
            columns = list(range(leading))
        columns.append(i)
    yield columns


def _widths(full: Sequence[int], minimum: Sequence[int], room: int) -> list[int]:
    """Return the widths of columns, the widest reduced to a common width so that all fit `room`."""
    widths = list(full)
    for level in range(max(full, default=0), -1, -1):
        widths = [max(low, min(high, level)) for low, high in zip(minimum, full, strict=True)]
        if sum(widths) + GAP * len(widths) <= room:
            break
    return widths
