"""Which frames of a recording or series are the steps of a code that takes only a part of them."""

from __future__ import annotations

from typing import Literal

Selection = Literal["first", "last", "spread"]
SELECTIONS = ("first", "last", "spread")


def selected(selection: Selection, steps: int, of: int) -> list[int]:
    """Return the numbers of the T frames, of N, that are the steps, ascending.

        first     0, 1, ..., T - 1
        last      N - T, ..., N - 1
        spread    ⌊(2t + 1) N / 2T⌋, the middle ones of T parts of equal length

    Args:
        selection: `first`, `last` or `spread`.
        steps: T.
        of: N, at least T.
    """
    if selection == "spread":
        return [(2 * t + 1) * of // (2 * steps) for t in range(steps)]
    begin = of - steps if selection == "last" else 0
    return list(range(begin, begin + steps))
