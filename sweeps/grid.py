"""Grids: axes of recipe keys and their values, parsed from options."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import ConfigError
from ..learning.recipe.overrides import parse_override

OPENING = {"[": "]", "{": "}", "(": ")"}
# Of a folder. File systems allow 255 bytes, and temporary names are longer.
MAX_NAME_LENGTH = 150
MAX_POINTS = 10_000  # combinations of a grid, and seeds

Setting = tuple[str, Any]
Point = tuple[Setting, ...]


@dataclass(frozen=True)
class Axis:
    """Recipe keys that change together, and their values.

    Attributes:
        keys: such as `("coding.name",)`.
        values: one tuple for each point of the axis, with a value for each key.
    """

    keys: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]

    def points(self) -> list[Point]:
        """Return the settings of each point of the axis."""
        return [tuple(zip(self.keys, values, strict=True)) for values in self.values]


def parse_axis(text: str) -> Axis:
    """Return the axis of `key=v1,v2`, or of `key=v1,v2;other=w1,w2` for keys that change together.

    Values are parsed like those of `--set`. Commas and semicolons inside brackets or quotes do not
    separate values.

    Raises:
        ConfigError: a key or a value is missing or given twice, or keys that change together have
            different numbers of values.
    """
    keys: list[str] = []
    columns: list[list[Any]] = []
    for part in _split(text, ";", text):
        key, equals, values = part.partition("=")
        key = key.strip()
        if not equals or len(key.split(".")) < 2 or not all(key.split(".")):
            raise ConfigError(
                f"--grid {text!r} is not of the form section.key=value,value",
                remedy="for example --grid coding.name=direct,hybrid --grid train.lr=1e-3,3e-3",
            )
        keys.append(key)
        pieces = [piece.strip() for piece in _split(values, ",", text)]
        if not all(pieces):
            raise ConfigError(
                f"--grid {text!r} has an empty value",
                why=f"{key} gets {', '.join(repr(piece) for piece in pieces)}",
                remedy='leave out the comma, or write "" for an empty text',
            )
        columns.append([parse_override(f"{key}={piece}")[1] for piece in pieces])
    if len(set(map(len, columns))) > 1:
        counts = ", ".join(
            f"{key} {len(column)}" for key, column in zip(keys, columns, strict=True)
        )
        raise ConfigError(
            f"--grid {text!r} has different numbers of values",
            why=f"keys that change together need as many values each: {counts}",
            remedy="give them in two --grid options to have every combination",
        )
    axis = Axis(tuple(keys), tuple(zip(*columns, strict=True)))
    _refuse_repeats(text, axis)
    return axis


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of `3` (0, 1, 2), of `0,3,7`, or of `5,` (just 5).

    Raises:
        ConfigError: the text has another form.
    """
    bare = text.strip()
    pieces = [piece.strip() for piece in bare.removesuffix(",").split(",")]
    if all(re.fullmatch(r"\d{1,18}", piece) for piece in pieces):
        numbers = [int(piece) for piece in pieces]
        if "," not in bare:
            numbers = list(range(numbers[0])) if numbers[0] <= MAX_POINTS else []
        repeated = sorted(each for each, count in Counter(numbers).items() if count > 1)
        if repeated:
            raise ConfigError(
                f"--seeds {text!r} names a seed twice: {', '.join(map(str, repeated))}",
                why="the same seed gives the same training",
                remedy="name each seed once, or give a number of seeds: 3 means 0, 1 and 2",
            )
        if numbers:
            return numbers
    raise ConfigError(
        f"--seeds {text!r} is not valid",
        why="it is a number of seeds (3 means 0, 1 and 2) or different seeds with commas",
        remedy="for example --seeds 3, --seeds 0,3,7, or --seeds 5, for seed 5 alone",
    )


def expand(axes: Sequence[Axis]) -> list[Point]:
    """Return every combination of the axes' points; the last axis changes fastest.

    Raises:
        ConfigError: there are more than `MAX_POINTS`.
    """
    count = math.prod(len(axis.values) for axis in axes)
    if count > MAX_POINTS:
        raise ConfigError(
            f"the grid has {count:,} combinations",
            why=f"at most {MAX_POINTS:,} are trained",
            remedy="vary fewer keys at once, or search them with --search",
        )
    combinations = itertools.product(*(axis.points() for axis in axes))
    return [tuple(itertools.chain.from_iterable(points)) for points in combinations]


def folder_names(points: Sequence[Point]) -> list[str]:
    """Return a folder name for each point: readable, portable, and unique.

    >>> folder_names([(("coding.name", "direct"),), (("model.widths", [4, 8]),)])
    ['coding.name=direct', 'model.widths=4-8']
    """
    names = [",".join(f"{key}={_safe(value)}" for key, value in point) for point in points]
    names = [re.sub(r"[^\w.,=+-]", "_", name, flags=re.ASCII) for name in names]
    folded = [name.casefold() for name in names]  # some file systems ignore case
    return [
        f"{name[: MAX_NAME_LENGTH - 9]}~{_digest(point)}"
        if folded.count(other) > 1 or len(name) > MAX_NAME_LENGTH
        else name
        for name, other, point in zip(names, folded, points, strict=True)
    ]


def display(value: Any) -> str:
    """Return a value for people to read.

    >>> display("hybrid"), display([4, 8]), display(True), display(0.001)
    ('hybrid', '[4, 8]', 'true', '0.001')
    """
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str)


def axis_text(axis: Axis) -> str:
    """Return the text that `parse_axis` parses to the axis."""
    columns = zip(*axis.values, strict=True)
    return ";".join(
        f"{key}={','.join(_literal(value) for value in column)}"
        for key, column in zip(axis.keys, columns, strict=True)
    )


def value_text(value: Any) -> str:
    """Return the text that `--set` parses to the value."""
    if isinstance(value, str) and parse_override(f"a.b={value}")[1] == value == value.strip():
        return value
    return _toml(value)


def _literal(value: Any) -> str:
    plain = value_text(value)
    ambiguous = isinstance(value, str) and (not plain or set(plain) & set(",;[](){}\"'"))
    return _toml(value) if ambiguous else plain


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(_toml(each) for each in value)}]"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)}={_toml(each)}" for key, each in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, str):
        # TOML strings have the escapes of JSON, and must also escape DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _safe(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "-".join(_safe(each) for each in value)
    return display(value).replace(",", "_").replace("=", "_")


def _digest(point: Point) -> str:
    text = json.dumps([[key, value] for key, value in point], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _split(text: str, separator: str, option: str) -> list[str]:
    """Split the text at each `separator` outside brackets and quotes."""
    parts, begin, index = [], 0, 0
    closing: list[str] = []
    while index < len(text):
        letter = text[index]
        if letter in "\"'":
            end = _end_of_quote(text, index)
            if end is None:
                raise _unclosed(letter, option)
            index = end
        elif letter in OPENING:
            closing.append(OPENING[letter])
        elif closing and letter == closing[-1]:
            closing.pop()
        elif letter == separator and not closing:
            parts.append(text[begin:index])
            begin = index + 1
        index += 1
    if closing:
        raise _unclosed(next(k for k, v in OPENING.items() if v == closing[-1]), option)
    return [*parts, text[begin:]]


def _end_of_quote(text: str, begin: int) -> int | None:
    index = begin + 1
    while index < len(text):
        if text[index] == "\\" and text[begin] == '"':
            index += 1
        elif text[index] == text[begin]:
            return index
        index += 1
    return None


def _unclosed(letter: str, option: str) -> ConfigError:
    return ConfigError(
        f"--grid {option!r} has an unclosed {letter}",
        remedy="close it; a shell may have removed quotes: put the option in single quotes",
    )


def _refuse_repeats(text: str, axis: Axis) -> None:
    if len(set(axis.keys)) < len(axis.keys):
        raise ConfigError(f"--grid {text!r} names a key twice")
    seen = [json.dumps(values, default=str) for values in axis.values]
    if len(set(seen)) < len(seen):
        raise ConfigError(
            f"--grid {text!r} has a value twice",
            why="its runs would be the same",
            remedy="leave one out; several trainings of the same settings need --seeds",
        )
