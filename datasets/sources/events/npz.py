"""Recordings of events in .npz files."""

import numpy as np
import torch

from ....coding.samples import SampleSpec
from ....core.errors import DataError
from ....formats.events import Recordings, read_recordings
from ...base import Source, Split
from .ragged import check_options, extent, last_time, to_events


def load_events_npz(
    *,
    path: str,
    test_path: str | None = None,
    size: list[int] | None = None,
    duration: float | None = None,
) -> Source:
    """Return the recordings of files with the arrays t, x, y, p, offsets and labels.

    Recording k has the events `offsets[k]` to `offsets[k + 1]`; t is in µs since its beginning.
    `class_names` names the classes.

    Args:
        path: the training part.
        test_path: the test part; by default it is cut from the training part.
        size: [height, width] of the sensor; by default the files', or the largest coordinates.
        duration: the length of a recording in ms; by default the time of the last event.

    Raises:
        ConfigError: a size or a duration that is not positive.
        DataError: a missing or damaged file, no labels, one class only, events outside the sensor.
    """
    check_options(size, duration)
    files = [path] if test_path is None else [path, test_path]
    parts = [read_recordings(each) for each in files]
    labels = [_labels(name, part) for name, part in zip(files, parts, strict=True)]
    classes = _classes(path, parts[0], labels)
    sides = [extent(part) for part in parts]
    height, width = size or (max(side[i] for side in sides) for i in (0, 1))
    length = max(map(last_time, parts)) if duration is None else round(1000 * duration)
    splits = [
        Split(to_events(name, part, (height, width), length), torch.from_numpy(label))
        for name, part, label in zip(files, parts, labels, strict=True)
    ]
    spec = SampleSpec("events", (2, height, width), duration=length)
    return Source(splits[0], splits[1] if test_path else None, classes, spec=spec)


def _labels(path: str, part: Recordings) -> np.ndarray:
    if part.labels is None:
        raise DataError(
            f"{path} has no labels",
            why="its recordings are of unknown classes",
            remedy="save an array `labels` with the class of each recording, 0, 1, 2, ...",
        )
    return part.labels.astype(np.int64)


def _classes(path: str, train: Recordings, labels: list[np.ndarray]) -> list[str]:
    present = np.unique(labels[0])
    count = len(train.class_names) if train.class_names else int(present.max(initial=-1)) + 1
    if count < 2 or len(present) < count or present[0] != 0:
        raise DataError(
            f"{path} has recordings of {len(present)} classes, numbered up to {count - 1}",
            why="classification needs two classes or more, 0, 1, 2, ... without gaps",
            remedy="number the classes without gaps, each with a recording",
        )
    for each in labels[1:]:
        if len(each) and (each.min() < 0 or each.max() >= count):
            raise DataError(
                "the test part has other classes than the training part",
                why=f"its labels go from {each.min()} to {each.max()}, those of {path} from 0 to "
                f"{count - 1}",
            )
    return list(train.class_names or map(str, range(count)))
