"""Where the samples of a survey come from: a path, or a data set by name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...coding.samples import MANY
from ...core.errors import ConfigError, DataError
from ...core.registry import check_options, keyword_options, unknown
from ...core.text import shell
from ..base import DataSet
from ..detect import detect, shares_to_cut
from ..load import dataset_registry, load_dataset, load_source
from ..sources.class_folders import read_layout
from ..sources.events.folder import SUFFIXES as EVENTS
from ..sources.layout import Layout
from ..sources.series.wav_folder import read_wav_layout
from ..sources.store import EXTENSIONS
from ..sources.tables import Columns
from .samples import (
    Sample,
    cut_layout,
    read_audio,
    read_events,
    read_image,
    samples_of_data,
    samples_of_files,
)

TARGETS = "target_images"
RECIPES = {"qtdb": "ecg", "scatter": "detect-digits", "scatter-events": "detect-events"}
"""Of data sets that have no recipe of their own name."""


@dataclass(frozen=True)
class SurveySource:
    """The samples to look at.

    Attributes:
        name: of the data set.
        many: what the samples are: "images".
        classes: their names; empty if the targets are real values.
        count: number of samples.
        samples: one by one; damaged files too.
        cut: the parts that are cut from the training part, as a training would.
        notes: how the data are read, a line each.
        command: trains on them.
    """

    name: str
    many: str
    classes: list[str]
    count: int
    samples: Iterator[Sample]
    cut: list[str]
    notes: list[str]
    command: str


def open_source(source: str, asked: Mapping[str, Any]) -> SurveySource:
    """Return the samples of a data set by its name, or at a path.

    Args:
        source: a name of `dataset_registry`, or a path.
        asked: options of the data set.

    Raises:
        ConfigError: an unknown name or option.
        DataError: there are no samples with classes, or arrays that cannot be read.
    """
    if source in dataset_registry.names():
        return _by_name(source, asked)
    path = Path(source).expanduser()
    if not path.exists() and not path.suffix and "/" not in source:
        error = unknown("data set", source, dataset_registry.names())
        raise DataError(
            f"{source} is neither a path nor a data set", why=error.why, remedy=error.remedy
        )
    found = detect(source, asked)
    of_all = {key: asked[key] for key in ("test", "validation", TARGETS) if key in asked}
    options = {**found.options, **{k: v for k, v in asked.items() if k not in of_all}}
    command = f"asnn train {shell(source)}{_settings(asked)}{_task(asked)}"
    if found.name in ("folder", "events-folder", "wav-folder"):
        if TARGETS in asked:
            raise ConfigError(
                f"the images of {asked[TARGETS]} are not compared with the files of a folder",
                why="a survey looks at one file after another, and pairs need all of them",
                remedy=f"leave data.{TARGETS} out; a training pairs them",
            )
        return _files(found.name, options, of_all, list(found.notes), command)
    parts = load_source(found.name, **options)
    counts = {
        name: len(split)
        for name, split in (("train", parts.train), ("test", parts.test))
        if split is not None
    }
    if parts.validation is not None:
        counts["validation"] = len(parts.validation)
    shares = shares_to_cut(counts)
    data = load_dataset(found.name, **(shares | of_all), **options)
    return _loaded(found.name, data, list(shares), [*found.notes, *data.notes], command)


def _by_name(name: str, asked: Mapping[str, Any]) -> SurveySource:
    known = keyword_options(dataset_registry.get(name))
    data = load_dataset(name, **asked)
    folder = f" --data-dir {shell(asked['dir'])}" if "dir" in asked else ""
    others = _settings({key: value for key, value in asked.items() if key != "dir"})
    recipe = RECIPES.get(name, name)
    command = f"asnn train {recipe}{folder}{others}"
    if "path" in known and name not in ("nmnist", "shd", "qtdb"):
        images = {key: value for key, value in asked.items() if key == TARGETS}
        path = shell(str(asked.get("path", "")))
        command = f"asnn train {path}{_settings(images)}{_task(asked)}"
    notes = list(data.notes)
    if Path(name).exists():
        notes.append(f"{name} is the data set; for the path of this name: asnn data info ./{name}")
    return _loaded(name, data, [], notes, command)


def _task(asked: Mapping[str, Any]) -> str:
    """Return the setting of the task of images that are targets."""
    return " --set task.name=reconstruction" if TARGETS in asked else ""


def _settings(options: Mapping[str, Any]) -> str:
    return "".join(
        f" --set {shell(f'data.{key}={_toml(value)}')}" for key, value in options.items()
    )


def _toml(value: Any) -> str:
    """Return a value as `--set` reads it."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}={_quoted(each)}' for key, each in value.items())}}}"
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(value: Any) -> str:
    """Return a value within a table."""
    return _toml(value) if isinstance(value, Mapping) else json.dumps(value, ensure_ascii=False)


def _loaded(
    name: str, data: DataSet, cut: list[str], notes: list[str], command: str
) -> SurveySource:
    count = sum(len(data.split(part)) for part in ("train", "validation", "test"))
    samples = samples_of_data(data)
    return SurveySource(
        name, data.spec.many, list(data.classes), count, samples, cut, notes, command
    )


def _files(
    name: str,
    options: dict[str, Any],
    asked_shares: Mapping[str, float],
    notes: list[str],
    command: str,
) -> SurveySource:
    check_options("data set", name, dataset_registry.get(name), options)
    layout, read, kind = _layout(name, options)
    counts = {part: len(files.names) for part, files in layout.parts.items()}
    shares = shares_to_cut(counts)
    whole = {"test": 0.2, "validation": 0.1, **shares, **asked_shares}
    samples = samples_of_files(cut_layout(layout, **whole), read)
    return SurveySource(
        name,
        "WAV files" if name == "wav-folder" else MANY[kind],
        layout.classes,
        sum(counts.values()),
        samples,
        list(shares),
        notes,
        command,
    )


def _layout(name: str, options: Mapping[str, Any]) -> tuple[Layout, Any, str]:
    path, columns = options["path"], Columns.of(options)
    if name == "wav-folder":
        layout = read_wav_layout(
            path,
            labels=options.get("labels", "folder"),
            test_names=options.get("test_names"),
            columns=columns,
        )
        return layout, read_audio, "series"
    if name == "events-folder":
        suffixes, noun, read, kind = EVENTS, "recording", read_events, "events"
    else:
        suffixes, noun, read, kind = EXTENSIONS, "image", read_image, "image"
    test_path = options.get("test_path")
    layout = read_layout(path, test_path, suffixes=suffixes, noun=noun, columns=columns)
    return layout, read, kind
