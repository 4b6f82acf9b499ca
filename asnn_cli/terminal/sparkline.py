"""Series of numbers drawn in a few characters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-~=+*#"  # for terminals that cannot encode blocks


def sparkline(values: Sequence[float], width: int = 8, *, levels: str = BLOCKS) -> str:
    """Return a series as characters, each the mean of consecutive values.

    The lowest level is the least of these means, the highest level the greatest; a constant series
    has the middle level.

    >>> sparkline([0.1, 0.5, 0.9])
    '▁▅█'

    Args:
        values: finite numbers, in order.
        width: most characters; fewer values have one character each.
        levels: characters from low to high.
    """
    count = min(width, len(values))
    bounds = [i * len(values) // max(count, 1) for i in range(count + 1)]
    means = [fmean(values[a:b]) for a, b in pairwise(bounds)]
    low, high = min(means, default=0.0), max(means, default=0.0)
    if low == high:
        return levels[(len(levels) - 1) // 2] * count
    return "".join(levels[_nearest((m - low) / (high - low), len(levels))] for m in means)


def _nearest(fraction: float, levels: int) -> int:
    return int(fraction * (levels - 1) + 0.5)
