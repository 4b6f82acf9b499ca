"""Files of many recordings: their events, labels and classes."""

from __future__ import annotations

import numpy as np

from ....core.errors import DataError
from ....formats.events import Recordings
from ...events import Events
from .fit import MAX_TIME, check_fits, narrowed


def last_time(recordings: Recordings) -> int:
    """Return the time of the last event in µs, plus one."""
    return int(recordings.t.max(initial=0)) + 1


def to_events(
    path: str,
    recordings: Recordings,
    size: tuple[int, int],
    duration: int,
    polarities: int = 2,
) -> Events:
    """Return the recordings of a file, each sorted by time (events of equal time keep their order).

    Args:
        path: of the file, for messages.
        recordings: its content; times are µs since the beginning of each recording.
        size: (height, width) of the sensor.
        duration: the length of a recording in µs.
        polarities: 2, or 1 if there are no off events.

    Raises:
        DataError: the events of a recording do not fit, see `check_fits`.
    """
    t, x, y, p = recordings.t, recordings.x, recordings.y, recordings.p
    bad = (x < 0) | (y < 0) | (x >= size[1]) | (y >= size[0]) | (t < 0) | (t >= MAX_TIME)
    if polarities == 1:
        bad |= p == 0
    if bad.any():
        number = int(np.searchsorted(recordings.offsets, int(np.argmax(bad)), "right")) - 1
        check_fits(f"recording {number} of {path}", recordings[number], size, polarities)
    columns = narrowed(recordings)
    start, count = recordings.offsets[:-1], np.diff(recordings.offsets)
    steps_back = np.flatnonzero(np.diff(t) < 0) + 1
    if np.isin(steps_back, recordings.offsets, invert=True).any():
        recording = np.repeat(np.arange(len(count)), count)
        order = np.lexsort((t, recording))  # stable
        columns = {name: values[order] for name, values in columns.items()}
    return Events(
        **columns, start=start, count=count, sensor=(polarities, *size), duration=duration
    )


def labels_of(path: str, part: Recordings) -> np.ndarray:
    """Return the class of each recording of a file, int64 `[N]`.

    Raises:
        DataError: the file has no labels.
    """
    if part.labels is None:
        raise DataError(
            f"{path} has no labels",
            why="its recordings are of unknown classes",
            remedy="save an array `labels` with the class of each recording, 0, 1, 2, ...",
        )
    return part.labels.astype(np.int64)


def class_names(path: str, train: Recordings, labels: list[np.ndarray]) -> list[str]:
    """Return the names of the classes: those that the file states, or their numbers.

    Args:
        path: of the training part.
        train: its recordings.
        labels: those of the training part, then those of others.

    Raises:
        DataError: one class only, a class without training samples, other classes in other parts.
    """
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
