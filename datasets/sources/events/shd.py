"""The Spiking Heidelberg Digits: spoken digits as spikes of a model of the cochlea."""

from pathlib import Path

import torch

from ....coding.samples import SampleSpec
from ....core.errors import DataError
from ....formats.events import Recordings, read_recordings
from ...base import Source, Split
from .fit import check_duration, microseconds
from .ragged import class_names, labels_of, to_events

UNITS = 700
FILES = ("shd_train.h5", "shd_test.h5")


def load_shd(*, path: str = "data/shd", duration: float = 1400.0) -> Source:
    """Return the recordings of `shd_train.h5` and `shd_test.h5`, events of 700 units in a row.

    Args:
        path: the folder with both files.
        duration: the length of a recording in ms; the longest has 1.37 s.

    Raises:
        ConfigError: a duration that is not positive.
        DataError: a missing, packed or damaged file, parts of different classes.

    Source: Cramer et al., IEEE Transactions on Neural Networks and Learning Systems 33 (2022).
    """
    check_duration(duration)
    folder = Path(path).expanduser()
    names = [str(folder / file) for file in FILES]
    parts = [_read(folder, file) for file in FILES]
    labels = [labels_of(name, part) for name, part in zip(names, parts, strict=True)]
    classes = class_names(names[0], parts[0], labels)
    if parts[0].class_names != parts[1].class_names:
        raise DataError(
            f"{FILES[0]} and {FILES[1]} in {path} name different classes",
            why=f"{_shown(parts[0])} and {_shown(parts[1])}",
            remedy="get both files of one data set",
        )
    length = microseconds(duration)
    splits = [
        Split(to_events(name, part, (1, UNITS), length, 1), torch.from_numpy(label))
        for name, part, label in zip(names, parts, labels, strict=True)
    ]
    spec = SampleSpec("events", (1, 1, UNITS), duration=length)
    return Source(splits[0], splits[1], classes, spec=spec)


def _read(folder: Path, file: str) -> Recordings:
    if not (folder / file).exists():
        packed = folder / f"{file}.gz"
        raise DataError(
            f"there is no {file} in {folder}",
            why=f"{packed.name} is there, which is packed" if packed.exists() else "",
            remedy=f"unpack it: gunzip {packed}"
            if packed.exists()
            else "get shd_train.h5.gz and shd_test.h5.gz from zenkelab.org, and unpack them there "
            "(set data.path to the folder)",
        )
    return read_recordings(folder / file)


def _shown(part: Recordings) -> str:
    return ", ".join(part.class_names or ("none",))
