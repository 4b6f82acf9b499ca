"""Ranges of a search: intervals of numbers, and choices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..core.errors import ConfigError
from .grid import axis_text, parse_axis

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"\s*({NUMBER})\s*\.\.\s*({NUMBER})\s*(:log)?\s*")


@dataclass(frozen=True)
class Range:
    """A recipe key with an interval or with choices for its value.

    Attributes:
        key: such as `train.lr`.
        low, high: bounds, both included; for integers both are integers. None for choices.
        log: whether the scale is logarithmic.
        choices: the values; empty for an interval.
        text: that `parse_range` parses.
    """

    key: str
    text: str
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return self.text


def parse_range(text: str) -> Range:
    """Return the range of `key=low..high`, `key=low..high:log`, or the choices of `key=a,b,c`.

    >>> found = parse_range("train.lr=1e-4..1e-2:log")
    >>> found.low, found.high, found.log
    (0.0001, 0.01, True)

    Raises:
        ConfigError: the text has another form, or the interval is empty.
    """
    key, equals, value = text.partition("=")
    found = RANGE.fullmatch(value)
    if (
        equals
        and found
        and len(key.split(".")) > 1
        and all(part.strip() for part in key.split("."))
    ):
        low, high = _number(found[1]), _number(found[2])
        if isinstance(low, float) or isinstance(high, float):
            low, high = float(low), float(high)
        if low >= high:
            raise ConfigError(f"--search {text!r} is empty: {low} is not less than {high}")
        if found[3] and low <= 0:
            raise ConfigError(
                f"--search {text!r} begins at {low}", why="a logarithmic scale begins above 0"
            )
        return Range(key.strip(), text, low, high, log=bool(found[3]))
    try:
        axis = parse_axis(text)
    except ConfigError as error:
        raise ConfigError(
            f"--search {text!r} is neither a range nor choices",
            why=error.why or error.what.partition(" is ")[2],
            remedy="for example --search train.lr=1e-4..1e-2:log or --search coding.name=a,b",
        ) from error
    name, *more = axis.keys
    if more:
        raise ConfigError(
            f"--search {text!r} has several keys", remedy="give each a --search of its own"
        )
    choices = tuple(value for (value,) in axis.values)
    return Range(name, axis_text(axis), choices=choices)


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        return float(text)
