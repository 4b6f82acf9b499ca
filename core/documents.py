"""JSON and TOML that somebody else may have written: a table, or a ValueError with the reason."""

from __future__ import annotations

import json
import tomllib
from typing import Any

HUGE = 1e300  # no figure is greater; some JSON texts hold integers beyond all floats


def read_json(text: str | bytes) -> dict[str, Any]:
    """Return the object in a JSON text.

    Raises:
        ValueError: it is no JSON, or no object, or nested beyond reason.
    """
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def read_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ValueError: it is no TOML, or nested beyond reason, or holds a number of too many digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def number(value: Any) -> int | float | None:
    """Return a finite number as it is, and None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < HUGE else None
