"""Recordings of events in .npz files."""

import torch

from ....coding.samples import SampleSpec
from ....formats.events import Recordings, read_recordings
from ...base import Source, Split
from ..array_names import PARTS
from ..labels import first_number
from ..sizes import height_and_width
from .fit import check_duration, extent, microseconds
from .ragged import class_names, labels_of, last_time, to_events


def load_events_npz(
    *,
    path: str,
    test_path: str | None = None,
    size: int | list[int] | None = None,
    duration: float | None = None,
) -> Source:
    """Return the recordings of files with the arrays t, x, y, p, offsets and labels.

    Recording k has the events `offsets[k]` to `offsets[k + 1]`; t is in µs since its beginning.
    Labels are 0..K-1 or 1..K; `class_names` names the classes, `sample_id` numbers the recordings.

    Args:
        path: the training part.
        test_path: the test part; by default it is cut from the training part.
        size: [height, width] of the sensor, or one number for both; by default the files', or the
            largest coordinates.
        duration: the length of a recording in ms; by default the time of the last event.

    Raises:
        ConfigError: a size or a duration that is not positive.
        DataError: a missing or damaged file, no labels, one class only, events outside the sensor.
    """
    sensor = height_and_width(size)
    check_duration(duration)
    files = [path] if test_path is None else [path, test_path]
    parts = [read_recordings(each) for each in files]
    labels = [labels_of(name, part) for name, part in zip(files, parts, strict=True)]
    # Labels with names are numbered from 0, or the reader of the file has refused them.
    first = (
        0 if parts[0].class_names else first_number(dict(zip(PARTS, labels, strict=False)), None)
    )
    labels = [each - first for each in labels]
    classes = class_names(path, parts[0], labels)
    notes = []
    if first:
        notes = [f"labels 1 to {len(classes)} are read as classes 0 to {len(classes) - 1}"]
        classes = [str(int(name) + first) for name in classes]
    sides = [extent(part) for part in parts]
    height, width = sensor or (max(side[i] for side in sides) for i in (0, 1))
    length = max(map(last_time, parts)) if duration is None else microseconds(duration)
    splits = [
        Split(to_events(name, part, (height, width), length), torch.from_numpy(label), _ids(part))
        for name, part, label in zip(files, parts, labels, strict=True)
    ]
    spec = SampleSpec("events", (2, height, width), duration=length)
    return Source(splits[0], splits[1] if test_path else None, classes, spec=spec, notes=notes)


def _ids(part: Recordings) -> torch.Tensor | None:
    return None if part.sample_id is None else torch.from_numpy(part.sample_id)
