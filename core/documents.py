"""JSON and TOML of unknown origin: a table, or a ValueError with the reason."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any, NoReturn

MAX_NUMBER = 1e300  # integers may exceed the range of a float
MAX_DIGITS = 300  # of an integer
MAX_DEPTH = 100  # of tables and lists in each other; what reads them may be recursive
MAX_KEY_PARTS = 64  # tomllib takes time quadratic in the parts of a key a.b.c

_KEY_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_LONG_KEY = re.compile(rf"(?<![\w-])(?:{_KEY_PART}){{{MAX_KEY_PARTS}}}")


def read_json(text: str | bytes) -> dict[str, Any]:
    """Return the object in a JSON text.

    Raises:
        ValueError: it is not JSON, not an object, nested too deeply, or has a number that is not
            finite or has too many digits.
    """
    try:
        document = json.loads(
            text, parse_constant=_refuse_number, parse_float=_finite, parse_int=_short
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    _require_shallow(document)
    return document


def read_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ValueError: it is not TOML, is nested too deeply, or has a number with too many digits.
    """
    if _LONG_KEY.search(text):
        raise ValueError("it is nested too deeply")
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    _require_shallow(document)
    _require_short_integers(document)
    return document


def finite_number(value: Any) -> int | float | None:
    """Return `value` if it is a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < MAX_NUMBER else None


def plain(value: Any) -> Any:
    """Return a value of a document as it is, or as text where JSON does not know it."""
    try:
        json.dumps(value, allow_nan=False)
        return value
    except (TypeError, ValueError):  # a date, or a number that is none
        return str(value)


def plain_tables(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose values JSON knows."""
    return {
        key: plain_tables(value) if isinstance(value, dict) else plain(value)
        for key, value in document.items()
    }


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"it has the number {text}")


def _finite(text: str) -> float:
    value = float(text)
    if not abs(value) < MAX_NUMBER:
        _refuse_number(text[:24])
    return value


def _short(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"it has the number {text[:24]}…, of {len(text):,} digits")
    return int(text)


def _require_shallow(document: dict[str, Any]) -> None:
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _require_short_integers(value: Any) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            _require_short_integers(each)
    elif isinstance(value, int) and value.bit_length() > 3 * MAX_DIGITS:
        raise ValueError("it has a number with too many digits")
