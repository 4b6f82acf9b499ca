"""The definition of a sweep: recipe, changes, axes, seeds and split; and its file `sweep.toml`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from ..core.errors import ConfigError, DataError
from ..core.registry import unknown
from ..learning.recipe.schema import read_document
from .grid import MAX_POINTS, Axis, axis_text, value_text
from .ranges import Range, parse_range

FORMAT = 1
SPLITS = ("test", "validation", "train")


@dataclass(frozen=True)
class Definition:
    """The trainings of a sweep, and the split on which they are evaluated.

    Attributes:
        source: the recipe as the user wrote it: a name or a file.
        document: the recipe's tables without changes.
        changes: of `--set`, for all members.
        axes: of `--grid`.
        seeds: of `--seeds`.
        split: on which the members are evaluated.
        skip_impossible: leave out combinations that cannot be trained.
        ranges: of `--search`: keys whose values are searched.
        trials: number of settings that a search tries.
    """

    source: str
    document: dict[str, Any]
    changes: tuple[tuple[str, Any], ...] = ()
    axes: tuple[Axis, ...] = ()
    seeds: tuple[int, ...] = (0,)
    split: str = "test"
    skip_impossible: bool = False
    ranges: tuple[Range, ...] = ()
    trials: int = 0

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise unknown("split", self.split, list(SPLITS))
        option = "--search" if self.ranges else "--grid"
        for key in self.keys:
            if self.keys.count(key) > 1:
                raise ConfigError(
                    f"{key} is in two {option} options", remedy="give all its values in one"
                )
            if key in dict(self.changes):
                raise ConfigError(
                    f"{key} is in {option} and in --set", remedy="leave one of them out"
                )
            if key == "train.seed":
                raise ConfigError(f"train.seed is not a key for {option}", remedy="use --seeds")
            if key == "train.device":
                raise ConfigError(f"train.device is not a key for {option}", remedy="use --device")

    @property
    def keys(self) -> list[str]:
        """The varied keys, in order."""
        return [key for axis in self.axes for key in axis.keys] + [r.key for r in self.ranges]

    @property
    def name(self) -> str:
        """The name of the recipe."""
        return str(dict(self.changes).get("name", self.document.get("name", "recipe")))

    def tables(self) -> dict[str, Any]:
        """Return the definition as tables for TOML."""
        return {
            "format": FORMAT,
            "source": self.source,
            "split": self.split,
            "seeds": list(self.seeds),
            "skip_impossible": self.skip_impossible,
            "set": [{"key": key, "value": value} for key, value in self.changes],
            "grid": [
                {"keys": list(axis.keys), "values": [list(values) for values in axis.values]}
                for axis in self.axes
            ],
            **self._search_tables(),
            "recipe": self.document,
        }

    def _search_tables(self) -> dict[str, Any]:
        if not self.ranges:
            return {}
        return {"trials": self.trials, "search": [str(each) for each in self.ranges]}

    def toml(self) -> str:
        """Return the definition as the text of `sweep.toml`."""
        return tomli_w.dumps(self.tables())

    def command(self) -> str:
        """Return the command that reproduces the sweep."""
        words = ["asnn", "sweep", self.source]
        for axis in self.axes:
            words += ["--grid", axis_text(axis)]
        for each in self.ranges:
            words += ["--search", str(each)]
        words += ["--trials", str(self.trials)] if self.ranges else []
        for key, value in self.changes:
            words += ["--set", f"{key}={value_text(value)}"]
        count = list(self.seeds) == list(range(len(self.seeds)))
        seeds = ",".join(map(str, self.seeds))
        words += ["--seeds", str(len(self.seeds)) if count else f"{seeds},"]
        # A search always uses validation data.
        words += ["--split", self.split] if self.split != "test" and not self.ranges else []
        words += ["--skip-impossible"] if self.skip_impossible else []
        return shlex.join(words)


def read_definition(path: Path) -> Definition:
    """Return the definition in a `sweep.toml`.

    Raises:
        DataError: the file is missing, damaged, or of a newer format.
    """
    try:
        tables = read_document(path)
        if type(tables["format"]) is int and tables["format"] > FORMAT:
            raise DataError(
                f"{path} has format {tables['format']}",
                why=f"this asnn reads formats up to {FORMAT}",
                remedy="install a newer asnn",
            )
        _require_types(tables)
        return Definition(
            source=tables["source"],
            document=tables["recipe"],
            changes=tuple((each["key"], each["value"]) for each in tables["set"]),
            axes=tuple(
                Axis(tuple(each["keys"]), tuple(tuple(values) for values in each["values"]))
                for each in tables["grid"]
            ),
            seeds=tuple(tables["seeds"]),
            split=tables["split"],
            skip_impossible=tables["skip_impossible"],
            ranges=tuple(parse_range(text) for text in tables.get("search", [])),
            trials=tables.get("trials", 0),
        )
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path} does not define a sweep", why=why) from error


def _require_types(tables: dict[str, Any]) -> None:
    """Refuse tables with values of other types than `Definition.tables` gives.

    Raises:
        KeyError: one is missing.
        TypeError: with its key.
    """
    searches = "search" in tables
    valid = {
        "format": type(tables["format"]) is int,
        "source": isinstance(tables["source"], str),
        "split": isinstance(tables["split"], str),
        "skip_impossible": isinstance(tables["skip_impossible"], bool),
        "recipe": isinstance(tables["recipe"], dict),
        "trials": type(tables.get("trials", 0)) is int and tables.get("trials", 0) >= searches,
        "search": _are(str, tables.get("search", [])),
        "seeds": _are(int, tables["seeds"])
        and bool(tables["seeds"])
        and len(set(tables["seeds"])) == len(tables["seeds"]) <= MAX_POINTS,
        "set": _are(dict, tables["set"])
        and all(isinstance(each["key"], str) and "value" in each for each in tables["set"]),
        "grid": _are(dict, tables["grid"]) and all(map(_is_axis, tables["grid"])),
    }
    for key, is_valid in valid.items():
        if not is_valid:
            raise TypeError(f"its value of {key} is not that of a sweep")


def _is_axis(axis: dict[str, Any]) -> bool:
    """Return whether a table has keys, and values for each of them."""
    keys, values = axis["keys"], axis["values"]
    return (
        _are(str, keys)
        and _are(list, values)
        and bool(keys)
        and bool(values)
        and all(len(each) == len(keys) for each in values)
    )


def _are(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(type(each) is kind for each in values)


def differences(before: Definition, after: Definition) -> list[str]:
    """Return the differences of two definitions, one per line; `source` may differ."""
    lines = []
    old_tables, new_tables = before.tables(), after.tables()
    for key in ("split", "seeds", "skip_impossible", "set", "grid", "trials", "search", "recipe"):
        then, now = old_tables.get(key), new_tables.get(key)
        if then != now:
            values = "" if key == "recipe" else f": then {then}, now {now}"
            lines.append(f"{key} differs{values}")
    return lines
