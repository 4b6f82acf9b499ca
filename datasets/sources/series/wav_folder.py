"""Audio files of classes, on disk or in a zip, as log-mel frames."""

import re
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
import torch

from ....coding.samples import SampleSpec
from ....core.errors import ConfigError, DataError
from ....formats.errors import InvalidFile, sanitize
from ...base import Source, Split
from ..store import Store, open_store
from .log_mel import LogMel, read_wav


def load_wav_folder(
    *,
    path: str,
    labels: Literal["folder", "prefix"] = "folder",
    test_names: str | None = None,
    steps: int = 100,
    fit: Literal["pad", "stretch"] = "pad",
    rate: int = 16_000,
    bands: int = 32,
    window: float = 25.0,
    hop: float = 10.0,
) -> Source:
    """Return the log-mel frames of WAV files, series `[N, T, bands]`, classes in order.

    Args:
        path: a folder or a zip.
        labels: `folder`: the class is the folder of the file; `prefix`: the part of its name
            before the first `_`.
        test_names: a regular expression; files whose path it finds are the test part.
        steps: number of frames T.
        fit: `pad` appends silence to short recordings and cuts long ones; `stretch` spaces the
            frames equally over each recording.
        rate: samples per second; files of another rate are resampled.
        bands: mel bands.
        window, hop: length of a window and time between two, in ms.

    Raises:
        ConfigError: a value out of range, or no regular expression.
        DataError: no WAV files, one class only, a damaged file, an empty test part.
    """
    for key, value in (("steps", steps), ("rate", rate), ("bands", bands)):
        if value < 1:
            raise ConfigError(f"{key} is {value}", why="it must be at least 1")
    for key, value in (("window", window), ("hop", hop)):
        if not value > 0:
            raise ConfigError(f"{key} is {value} ms", why="it must be above 0")
    try:
        is_test = re.compile(test_names) if test_names else None
    except re.error as error:
        raise ConfigError(
            f"test_names is {test_names!r}", why=f"it is no regular expression: {error}"
        ) from error
    store = open_store(path, suffixes={".wav"})
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
    features = LogMel(rate, bands, window, hop)
    kept = [i for i, label in enumerate(found) if label]
    x = np.stack([_frames(store, names[i], features, steps, fit) for i in kept])
    y = np.array([classes.index(found[i]) for i in kept])
    test = np.array([bool(is_test and is_test.search(names[i])) for i in kept])
    if is_test and (test.all() or not test.any()):
        raise DataError(
            f"data.test_names finds {int(test.sum())} of the {len(test)} files of {path}",
            why="both training and test need files",
            remedy="change the regular expression",
        )

    def split(chosen: np.ndarray) -> Split:
        return Split(torch.from_numpy(x[chosen]), torch.from_numpy(y[chosen]))

    spec = SampleSpec("series", (bands,), steps=steps)
    return Source(split(~test), split(test) if is_test else None, classes, spec=spec)


def _label(name: str, labels: str) -> str:
    path = PurePosixPath(name)
    if labels == "prefix":
        return path.name.split("_")[0] if "_" in path.name else ""
    return path.parts[-2] if len(path.parts) > 1 else ""


def _frames(store: Store, name: str, features: LogMel, steps: int, fit: str) -> np.ndarray:
    try:
        samples, rate = read_wav(store.read(name))
    except InvalidFile as error:
        raise DataError(
            f"{store.display_name(name)} cannot be read",
            why=sanitize(error),
            remedy="restore it, or save it as an uncompressed WAV file",
        ) from error
    return features(samples, rate, steps, stretch=fit == "stretch")
