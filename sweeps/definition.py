"""What a sweep is: a recipe, changes to it, axes, seeds and a split; and the file that says so."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from ..core.errors import ConfigError, DataError
from ..core.registry import unknown
from ..learning.recipe import read_document
from .grid import Axis, written, written_value

FORMAT = 1
SPLITS = ("test", "validation", "train")


@dataclass(frozen=True)
class Definition:
    """What is trained, and on what it is evaluated.

    Attributes:
        source: what the user called the recipe: a name or a file.
        document: the recipe's tables, before any change.
        changes: of `--set`, for all members.
        axes: of `--grid`.
        seeds: of `--seeds`.
        split: on which the members are evaluated.
        skip_impossible: leave out combinations that cannot be trained.
    """

    source: str
    document: dict[str, Any]
    changes: tuple[tuple[str, Any], ...] = ()
    axes: tuple[Axis, ...] = ()
    seeds: tuple[int, ...] = (0,)
    split: str = "test"
    skip_impossible: bool = False

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise unknown("split", self.split, list(SPLITS))
        keys = [key for axis in self.axes for key in axis.keys]
        for key in keys:
            if keys.count(key) > 1:
                raise ConfigError(
                    f"{key} is in two --grid options", remedy="give all its values in one"
                )
            if key in dict(self.changes):
                raise ConfigError(
                    f"{key} is in --grid and in --set", remedy="leave one of them out"
                )
            if key == "train.seed":
                raise ConfigError("train.seed is no key of a grid", remedy="use --seeds")
            if key == "train.device":
                raise ConfigError("train.device is no key of a grid", remedy="use --device")

    @property
    def keys(self) -> list[str]:
        """The varied keys, in their order."""
        return [key for axis in self.axes for key in axis.keys]

    @property
    def name(self) -> str:
        """What the recipe is called."""
        return str(dict(self.changes).get("name", self.document.get("name", "recipe")))

    def tables(self) -> dict[str, Any]:
        """Return the definition as TOML can hold it."""
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
            "recipe": self.document,
        }

    def toml(self) -> str:
        """Return the definition as the text of `sweep.toml`."""
        return tomli_w.dumps(self.tables())

    def command(self) -> str:
        """Return the command that makes the sweep anew."""
        words = ["asnn", "sweep", self.source]
        for axis in self.axes:
            words += ["--grid", written(axis)]
        for key, value in self.changes:
            words += ["--set", f"{key}={written_value(value)}"]
        count = list(self.seeds) == list(range(len(self.seeds)))
        seeds = ",".join(map(str, self.seeds))
        words += ["--seeds", str(len(self.seeds)) if count else f"{seeds},"]
        words += ["--split", self.split] if self.split != "test" else []
        words += ["--skip-impossible"] if self.skip_impossible else []
        return shlex.join(words)


def read_definition(path: Path) -> Definition:
    """Return the definition in a `sweep.toml`.

    Raises:
        DataError: the file is missing, damaged, or of a newer format.
    """
    try:
        tables = read_document(path)
        if tables["format"] > FORMAT:
            raise DataError(
                f"{path} has format {tables['format']}",
                why=f"this asnn reads formats up to {FORMAT}",
                remedy="install a newer asnn",
            )
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
        )
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} does not define a sweep", why=str(error)) from error


def differences(before: Definition, now: Definition) -> list[str]:
    """Return what differs between two definitions, a line each; the recipe's name for it may."""
    lines = []
    former, present = before.tables(), now.tables()
    for key in ("split", "seeds", "skip_impossible", "set", "grid", "recipe"):
        if former[key] != present[key]:
            told = "" if key == "recipe" else f": then {former[key]}, now {present[key]}"
            lines.append(f"{key} differs{told}")
    return lines
