"""The data set whose samples become objects, or move: the option `of` of composite data sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ....core.errors import ConfigError, DataError
from ....core.registry import keyword_options
from ...base import DataSet
from ...events import Events
from ...load import dataset_registry, load_dataset

OF_KIND = {
    "image": ("images", "recordings", "scatter-events"),
    "events": ("recordings", "images", "scatter"),
}
"""Samples of a kind in words, the others, and the data set that takes those."""
SETTING = re.compile(r"--set data\.(\w+)=([^\s;]*[^\s;,])")
SETTINGS = re.compile(rf"{SETTING.pattern}(?: and {SETTING.pattern})*")
KEY = re.compile(r"(?<![\w./\\-])data\.(\w+)(?![\w/\\-]|\.\w)")
BARE = re.compile(r"[A-Za-z_][\w-]*")
"""A text as `--set` takes it, without quotes."""


@dataclass(frozen=True)
class Members:
    """A data set of one class a sample, read by the options of another one.

    Attributes:
        data: the data set.
        of: its name, or a table of `name` and its options.
    """

    data: DataSet
    of: str | dict[str, Any]

    def sample(self, part: str, index: int) -> Any:
        """Return an image `[C, H, W]`, or the events of a recording.

        Raises:
            DataError: its file is damaged, or unlike the others.
        """
        inputs = self.data.split(part).inputs
        with _naming_keys(self.of):
            if isinstance(inputs, Events):
                return inputs.batch(torch.tensor([index]))
            return inputs[index]


def load_members(of: str | dict[str, Any], folder: str | None, kind: str) -> Members:
    """Return the data set whose samples become objects.

    Args:
        of: its name, or a table of `name` and its options.
        folder: of its files, for data sets with the option `dir`.
        kind: of samples that it must have.

    Raises:
        ConfigError: an unknown name or option, or another kind of data.
        DataError: missing or damaged files.
    """
    options: dict[str, Any] = {"name": of} if isinstance(of, str) else dict(of)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(
            "data.of has no name",
            why="it names the data set of the objects",
            remedy='write of = "mnist", or of = { name = "mnist", limit = 6000 }',
        )
    if folder is not None:
        options.setdefault("dir", folder)
    with _naming_keys(of):
        data = load_dataset(name, **options)
    targets = data.train.targets
    if data.spec.kind != kind or targets.dim() != 1 or targets.is_floating_point():
        many, others, fitting = OF_KIND[kind]
        raise ConfigError(
            f"data.of cannot be the data set {name}",
            why=f"its samples are {data.spec}"
            if data.spec.kind != kind
            else "its samples have not one class each",
            remedy=f"choose {many} with one class each; {others} go with data.name={fitting}",
        )
    return Members(data, of)


@contextmanager
def _naming_keys(of: str | dict[str, Any]) -> Iterator[None]:
    """Name the options of the data set in its errors as a recipe has them: `data.of.KEY`, or, where
    `of` is a name only, the table that has to be written."""
    name = of if isinstance(of, str) else of.get("name")
    known = {"name"}
    if name in dataset_registry.names():
        known |= set(keyword_options(dataset_registry.get(name)))

    def table(found: re.Match[str]) -> str:
        pairs = [f"{key}={_of_table(value)}" for key, value in SETTING.findall(found[0])]
        return f"""--set 'data.of={{name="{name}", {", ".join(pairs)}}}'"""

    def key(found: re.Match[str]) -> str:
        return f"data.of.{found[1]}" if found[1] in known else found[0]

    def named(text: str) -> str:
        return KEY.sub(key, SETTINGS.sub(table, text) if isinstance(of, str) else text)

    try:
        yield
    except (ConfigError, DataError) as error:
        what, why, remedy = map(named, (error.what, error.why, error.remedy))
        raise type(error)(what, why=why, remedy=remedy) from error


def _of_table(value: str) -> str:
    """Return a value of `--set` as one within a table, where texts need quotes."""
    text = BARE.fullmatch(value) and value not in ("true", "false")
    return f'"{value}"' if text else value
