"""Tables that fit their width: long text is folded, and what is left over goes below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

FOLDED = 20  # columns up to this width are never folded, so that figures stay in one piece
GAP = 2  # between columns, and around the table

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Part:
    """Some columns of a table, by their places, and how wide each is shown."""

    columns: list[int]
    widths: list[int]


def fit(heads: Sequence[str], rows: Rows, room: int) -> list[Part]:
    """Return the parts of a table, one below the other, of which none is wider than `room`.

    Columns that are wider than FOLDED are folded, the widest first. Where that is not enough the
    others go into further parts, each of which begins with the columns that tell the rows apart.

    Args:
        heads: of the columns.
        rows: of cells.
        room: characters in a line.
    """
    from rich.cells import cell_len

    most = max(1, min(FOLDED, room // 2 - GAP))
    whole, least = [], []
    for head, *cells in zip(heads, *rows, strict=True):
        widest = max(map(cell_len, cells), default=0)
        word = max(map(cell_len, head.split()), default=0)
        whole.append(max(widest, cell_len(head), 1))
        least.append(max(min(most, max(widest, word)), 1))
    leading = _leading(rows, least, room - most - GAP)
    return [
        Part(columns, _levelled([whole[i] for i in columns], [least[i] for i in columns], room))
        for columns in _packed(least, leading, room)
    ]


def lay_out(title: str, heads: Sequence[str], rows: Rows, room: int) -> Any:
    """Return a table as rich shows it; the first column is text, the others are figures."""
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


def shorten(text: str, most: int) -> str:
    """Return both ends of a text that is wider than `most`, of which the last tells more.

    >>> shorten("coding.name=hybrid,seed=0", 16)
    'codin…rid,seed=0'
    """
    from rich.cells import cell_len

    if cell_len(text) <= most:
        return text
    before = most // 3
    return f"{_begin(text, before)}…{_begin(text[::-1], most - 1 - before)[::-1]}"


def _begin(text: str, room: int) -> str:
    """Return as much of the start of a text as fits; some letters are two characters wide."""
    from rich.cells import cell_len

    ends = accumulate(map(cell_len, text))
    return "".join(letter for letter, end in zip(text, ends, strict=True) if end <= room)


def _leading(rows: Rows, least: Sequence[int], room: int) -> int:
    """Return how many of the first columns tell the rows apart; 1 where they would fill `room`."""
    for count in range(1, len(least)):
        if sum(least[:count]) + GAP * count > room:
            break
        if len({tuple(row[:count]) for row in rows}) == len(rows):
            return count
    return 1


def _packed(least: Sequence[int], leading: int, room: int) -> Iterator[list[int]]:
    """Yield the columns of each part: the leading ones, and as many others as there is room for."""
    columns = list(range(min(leading, len(least))))
    for i in range(leading, len(least)):
        full = sum(least[j] for j in columns) + least[i] + GAP * (len(columns) + 1) > room
        if full and len(columns) > leading:
            yield columns
            columns = list(range(leading))
        columns.append(i)
    yield columns


def _levelled(whole: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Return the widths of columns, the widest of which are cut to one level that fits `room`."""
    widths = list(whole)
    for level in range(max(whole, default=0), -1, -1):
        widths = [max(low, min(high, level)) for low, high in zip(least, whole, strict=True)]
        if sum(widths) + GAP * len(widths) <= room:
            break
    return widths
