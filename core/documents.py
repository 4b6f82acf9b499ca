"""JSON and TOML of unknown origin: a table, or a ValueError with the reason."""

from __future__ import annotations

import json
import tomllib
from typing import Any

MAX_NUMBER = 1e300  # JSON integers may exceed the range of a float


def read_json(text: str | bytes) -> dict[str, Any]:
    """Return the object in a JSON text.

    Raises:
        ValueError: it is not JSON, not an object, or nested too deeply.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    return document


def read_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ValueError: it is not TOML, is nested too deeply, or has a number with too many digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def finite_number(value: Any) -> int | float | None:
    """Return `value` if it is a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < MAX_NUMBER else None
