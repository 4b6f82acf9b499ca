"""Audio files of classes, on disk or in a zip, as log-mel frames."""

import re
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
import torch

from ....coding.base import MAX_STEPS
from ....coding.samples import SampleSpec
from ....core.errors import ConfigError, DataError
from ....formats.errors import InvalidFile, sanitize
from ...base import Source, Split
from ..class_folders import has_parts, read_layout
from ..layout import Layout, Part
from ..store import open_store
from ..tables import Columns, is_table
from .log_mel import LogMel
from .wav import MAX_RATE, MIN_RATE, read_wav

SUFFIXES = {".wav"}
MAX_BANDS = 512
MAX_WINDOW = 1000.0  # ms


def load_wav_folder(
    *,
    path: str,
    labels: Literal["folder", "prefix"] = "folder",
    test_names: str | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    steps: int = 100,
    fit: Literal["pad", "stretch"] = "pad",
    rate: int = 16_000,
    bands: int = 32,
    window: float = 25.0,
    hop: float = 10.0,
    level: Literal["absolute", "relative"] = "absolute",
) -> Source:
    """Return the log-mel frames of WAV files, series `[N, T, bands]`, classes in order.

    Args:
        path: a folder or a zip, which may have the parts train, test and validation; or a table
            (CSV, TSV, Parquet) of files and labels.
        labels: `folder`: the class is the folder of the file; `prefix`: the part of its name
            before the first `_`. Files without either are ignored, as hidden ones are.
        test_names: a regular expression; files whose path it finds are the test part.
        path_column, label_column, split_column: of a table, if they have other names than path,
            label and split.
        steps: number of frames T.
        fit: `pad` appends silence to short recordings and cuts long ones; `stretch` spaces the
            frames equally over each recording.
        rate: samples per second; files of another rate are resampled.
        bands: mel bands.
        window, hop: length of a window and time between two, in ms.
        level: `relative` subtracts from each band its mean over the recording, which takes out the
            loudness, the microphone and part of the voice; `absolute` keeps it.

    Raises:
        ConfigError: a value out of range, or no regular expression, or no column of a given name.
        DataError: no WAV files, one class only, a damaged file, an empty test part, a class
            without training files.
    """
    _check_options(labels, fit, level, steps, rate, bands, window, hop)
    features = LogMel(rate, bands, window, hop)
    columns = Columns(path_column, label_column, split_column)
    layout = read_wav_layout(path, labels=labels, test_names=test_names, columns=columns)
    splits = {}
    for name, part in layout.parts.items():
        x = np.empty((len(part.names), steps, bands), np.float32)
        for row, file in zip(x, part.names, strict=True):
            content, shown = part.store.read(file), part.store.display_name(file)
            row[:] = frames(content, shown, features, steps=steps, fit=fit, level=level)
        splits[name] = Split(torch.from_numpy(x), part.targets)
    return Source(
        splits["train"],
        splits.get("test"),
        layout.classes,
        validation=splits.get("validation"),
        spec=SampleSpec("series", (bands,), steps=steps),
    )


def read_wav_layout(
    path: str, *, labels: str = "folder", test_names: str | None = None, columns: Columns
) -> Layout:
    """Return the files of each part and class; the arguments are those of `load_wav_folder`.

    Raises:
        ConfigError, DataError: as `load_wav_folder`.
    """
    try:
        is_test = re.compile(test_names) if test_names else None
    except re.error as error:
        raise ConfigError(
            f"test_names is {test_names!r}", why=f"it is no regular expression: {error}"
        ) from error
    table = is_table(path) or columns != Columns()
    store = None if table else open_store(path, suffixes=SUFFIXES)
    if store is None or (labels == "folder" and is_test is None and has_parts(store)):
        return read_layout(path, None, suffixes=SUFFIXES, noun="recording", columns=columns)
    names = sorted(store.sizes)
    found = [_label(name, labels) for name in names]
    classes = sorted({label for label in found if label})
    if len(classes) < 2:
        raise DataError(
            f"{path} has WAV files of {len(classes)} classes",
            why=f"{len(names)} files; the class of a file is "
            + ("its folder" if labels == "folder" else "its name up to the first `_`"),
            remedy="two classes or more are needed; set data.labels to folder or prefix",
        )
    kept = [name for name, label in zip(names, found, strict=True) if label]
    y = np.array([classes.index(label) for label in found if label], np.int64)
    test = np.array([bool(is_test and is_test.search(name)) for name in kept])
    if is_test:
        _check_parts(path, test, y, classes)

    def part(chosen: np.ndarray) -> Part:
        numbers = np.flatnonzero(chosen).tolist()
        return Part(store, [kept[number] for number in numbers], torch.from_numpy(y[chosen]))

    parts = {"train": part(~test), "test": part(test)} if is_test else {"train": part(~test)}
    return Layout(parts, classes)


def _check_options(
    labels: str, fit: str, level: str, steps: int, rate: int, bands: int, window: float, hop: float
) -> None:
    for key, value, choices in (
        ("labels", labels, ("folder", "prefix")),
        ("fit", fit, ("pad", "stretch")),
        ("level", level, ("absolute", "relative")),
    ):
        if value not in choices:
            raise ConfigError(f"{key} is {value!r}", why=f"choose from {', '.join(choices)}")
    for key, value, low, high in (
        ("steps", steps, 1, MAX_STEPS),
        ("rate", rate, MIN_RATE, MAX_RATE),
        ("bands", bands, 1, MAX_BANDS),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{key} is {value}", why=f"it must be from {low} to {high}")
    for key, value in (("window", window), ("hop", hop)):
        if not 0 < value <= MAX_WINDOW:
            raise ConfigError(
                f"{key} is {value} ms", why=f"it must be above 0 and at most {MAX_WINDOW:g}"
            )


def _check_parts(path: str, test: np.ndarray, labels: np.ndarray, classes: list[str]) -> None:
    if test.all() or not test.any():
        raise DataError(
            f"data.test_names finds {int(test.sum())} of the {len(test)} files of {path}",
            why="both training and test need files",
            remedy="change the regular expression",
        )
    for number, name in enumerate(classes):
        if number not in labels[~test]:
            raise DataError(
                f"{path} has no training file of the class {sanitize(name)}",
                why="data.test_names finds all of them",
                remedy="change the regular expression",
            )


def _label(name: str, labels: str) -> str:
    path = PurePosixPath(name)
    if labels == "prefix":
        return path.name.split("_")[0] if "_" in path.name else ""
    return path.parts[-2] if len(path.parts) > 1 else ""


def frames(
    content: bytes, name: str, features: LogMel, *, steps: int, fit: str, level: str
) -> np.ndarray:
    """Return the log-mel frames `[steps, bands]` of a WAV file.

    Args:
        content: of the file.
        name: of the file in messages.
        features: of a window.
        steps, fit, level: as of `load_wav_folder`.

    Raises:
        DataError: the file is damaged, or of another kind.
    """
    try:
        samples, rate = read_wav(content)
        found = features(samples, rate, steps, stretch=fit == "stretch")
    except InvalidFile as error:
        raise DataError(
            f"{name} cannot be read",
            why=sanitize(error),
            remedy="restore it, or save it as an uncompressed WAV file",
        ) from error
    return found - found.mean(0) if level == "relative" else found
