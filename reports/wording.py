"""Numbers and lists in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..coding.samples import SampleSpec
from ..core.units import UNKNOWN as UNKNOWN
from ..core.units import joules, si

SPACE = "\N{NO-BREAK SPACE}"
_ENERGIES = (("mJ", 1e9), ("µJ", 1e6), ("nJ", 1e3), ("pJ", 1.0))


def percent(share: float | None, digits: int = 2) -> str:
    """Return a share as `97.50 %`."""
    return UNKNOWN if share is None or math.isnan(share) else f"{100 * share:.{digits}f}{SPACE}%"


def number(value: float | None) -> str:
    """Return a number as `1,234`; a small fraction with three digits."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def short_number(value: float | None) -> str:
    """Return a number with three digits, as `1.74 M`."""
    return UNKNOWN if value is None else si(value).replace(" ", SPACE)


def energy_unit(picojoules: float) -> tuple[str, float]:
    """Return the unit for an energy, and its size in pJ."""
    return next((unit for unit in _ENERGIES if picojoules >= unit[1]), _ENERGIES[-1])


def energy(picojoules: float | None) -> str:
    """Return an energy as `1.23 µJ`."""
    return UNKNOWN if picojoules is None else joules(picojoules).replace(" ", SPACE)


def listed(words: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def words(spec: SampleSpec) -> dict[str, str]:
    """Return the words for samples: `one`, `many`, and `a` with its article."""
    return {"one": spec.one, "many": spec.many, "a": with_article(spec.one)}


def with_article(word: str) -> str:
    """Return `an image`, `a series`."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def truncate(text: str, max_length: int = 60) -> str:
    """Return a name that fits in a line of a figure."""
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"
