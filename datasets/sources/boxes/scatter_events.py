"""Recordings of a data set of classes, scattered on a larger sensor."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from ....coding.samples import SampleSpec
from ...base import DataSet, Source, Split
from ...boxes import pack
from ...events import Events
from .canvas import PARTS, Canvases, place, require_room
from .members import Members, load_members

PERCENTILES = (1, 99)
"""Of the coordinates of a recording, which bound its box: single events of noise lie outside."""


def load_scatter_events(
    *,
    of: str | dict[str, Any],
    dir: str | None = None,
    size: int | list[int] = 80,
    objects: int = 2,
    samples: int = 1_000,
    validation_samples: int = 150,
    test_samples: int = 200,
    seed: int = 0,
) -> Source:
    """Return recordings of a larger sensor, with 1 to `objects` recordings of another data set.

    The events and their times are those of the recordings; only their place is chosen. A box is
    bounded by the 1st and the 99th percentile of the coordinates. Boxes do not overlap; an object
    without room is left out, and so are events that leave the sensor. Training canvases show
    training recordings only, those of the other parts recordings of the same part.

    Args:
        of: a table with the `name` of the data set of recordings and its options, or its name.
        dir: folder of its files, for data sets that have this option.
        size: [height, width] of the canvas; one number for both.
        objects: the largest number of objects.
        samples: canvases for training.
        validation_samples, test_samples: of the other parts.
        seed: of all of them; it is not the seed of a training.

    Raises:
        ConfigError: an option out of range, or a data set of other samples.
        DataError: missing or damaged files, or an object larger than the canvas.
    """
    counts = (samples, validation_samples, test_samples)
    canvases = Canvases.of(size, objects, counts, seed)
    members = load_members(of, dir, "events")
    data = members.data
    parts = {part: _scattered(members, part, canvases) for part in PARTS}
    spec = SampleSpec("events", (data.in_shape[0], *canvases.size), duration=data.spec.duration)
    return Source(
        parts["train"],
        parts["test"],
        data.classes,
        validation=parts["validation"],
        spec=spec,
        notes=[
            f"canvases of {data.name}, those of each part from its own recordings: the events are "
            "recorded, their arrangement is not"
        ],
        target="boxes",
    )


class _Recording(NamedTuple):
    """Events of a recording, and the box around most of them (x1, y1, x2, y2)."""

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    box: tuple[int, int, int, int]


def _scattered(members: Members, part: str, canvases: Canvases) -> Split:
    data, split = members.data, members.data.split(part)
    drawn = canvases.draw(part, len(split))
    height, width = canvases.size
    labels = split.targets.numpy()
    known: dict[int, _Recording] = {}
    recordings: list[list[np.ndarray]] = []
    boxes, classes = [], []
    for n in range(len(drawn.objects)):
        of_canvas: list[list[int]] = []
        of_class: list[int] = []
        columns: list[list[np.ndarray]] = [[], [], [], []]
        for m in range(drawn.objects[n]):
            member = int(drawn.members[n, m])
            if member not in known:
                known[member] = _recording(members.sample(part, member))
            of = known[member]
            x1, y1, x2, y2 = of.box
            require_room(data.name, (y2 - y1, x2 - x1), canvases.size)
            found = place((y2 - y1, x2 - x1), canvases.size, of_canvas, drawn.places[n, m])
            if found is None:
                continue
            left, top = found
            x, y = of.x + (left - x1), of.y + (top - y1)
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            for column, values in zip(columns, (of.t, x, y, of.p), strict=True):
                column.append(values[inside])
            of_canvas.append([left, top, left + x2 - x1, top + y2 - y1])
            of_class.append(int(labels[member]))
        t, *others = (np.concatenate(column) for column in columns)
        order = np.argsort(t, kind="stable")
        recordings.append([t[order], *(each[order] for each in others)])
        boxes.append(torch.tensor(of_canvas))
        classes.append(torch.tensor(of_class))
    return Split(_joined(data, recordings, canvases.size), pack(boxes, classes))


def _recording(events: Any) -> _Recording:
    t, x, y, p = (np.asarray(getattr(events, name), np.int64) for name in "txyp")
    if not len(t):
        return _Recording(t, x, y, p, (0, 0, 1, 1))
    (x1, x2), (y1, y2) = (np.percentile(each, PERCENTILES) for each in (x, y))
    box = (int(np.floor(x1)), int(np.floor(y1)), int(np.ceil(x2)) + 1, int(np.ceil(y2)) + 1)
    return _Recording(t, x, y, p, box)


def _joined(data: DataSet, recordings: list[list[np.ndarray]], size: tuple[int, int]) -> Events:
    t, x, y, p = (
        np.concatenate([each[i] for each in recordings]).astype(dtype)
        for i, dtype in enumerate((np.int64, np.int16, np.int16, np.uint8))
    )
    count = np.array([len(each[0]) for each in recordings], np.int64)
    assert data.spec.duration is not None
    sensor = (data.in_shape[0], *size)
    return Events(t, x, y, p, count.cumsum() - count, count, sensor, data.spec.duration)
