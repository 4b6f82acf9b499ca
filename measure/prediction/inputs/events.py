"""Recordings of events for the sensor of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ....coding.samples import SampleSpec
from ....core.errors import DataError
from ....datasets.sources.events.decode import Start
from ....datasets.sources.events.fit import check_fits, in_order
from ....formats.events import Recording, Recordings, decode_recordings, read_recordings
from ....formats.events.read import FORMATS
from .sample import Sample, Source, Unreadable
from .stated import stated_classes


@dataclass(frozen=True)
class EventReader:
    """Reads recordings of events, one or many in a file.

    Args:
        spec: the recordings that the network takes.
        labels: names of the classes.
        start: times of a file of one recording are since its first event (`first`), or as in the
            file (`zero`). Those of a file of many are as in the file.
        windows: give each part of a recording as long as those of the training, see `cut`, instead
            of its beginning.
    """

    spec: SampleSpec
    labels: list[str]
    start: Start = "first"
    windows: bool = False

    noun = "recording"
    suffixes = frozenset(suffix for each in FORMATS for suffix in each.suffixes)
    in_threads = False

    def open(self, source: Source) -> Iterable[Sample | Unreadable]:
        """Return the recordings of a file.

        Raises:
            DataError: it is none, damaged, or does not fit the sensor.
        """
        if source.path is not None:
            found = read_recordings(source.path)
        else:
            found = decode_recordings(source.name, source.load())
        if not len(found):
            raise DataError(f"{source.name} holds no recordings")
        if len(found) == 1 and found.labels is None:
            recording = found[0]
            if self.start == "first" and len(recording):
                recording = replace(recording, t=recording.t - recording.t.min())
            return self._samples(recording, source.name, source.expected(self.labels))
        return self._each(found, source.name)

    def samples(self, found: Any, name: str) -> Iterable[Sample | Unreadable]:
        """Refuse arrays in memory, which have no times.

        Raises:
            DataError: always.
        """
        raise DataError(
            f"{name} is an array, the network takes recordings of events",
            remedy="give the path of a recording",
        )

    def _each(self, found: Recordings, name: str) -> Iterator[Sample | Unreadable]:
        stated: list[str | None] = [None] * len(found)
        if found.labels is not None:
            stated = stated_classes(found.labels, self.labels, found.class_names)
        for number, expected in enumerate(stated):
            shown = f"{name}[{number}]"
            try:
                yield from self._samples(found[number], shown, expected)
            except DataError as error:
                yield Unreadable(shown, error)

    def _samples(self, recording: Recording, name: str, expected: str | None) -> Iterable[Sample]:
        polarities, height, width = self.spec.shape
        try:
            check_fits(name, recording, (height, width), polarities)
        except DataError as error:
            error.remedy = f"the network takes recordings of a {height}x{width} sensor" + (
                " with on events alone" if polarities == 1 else ""
            )
            raise
        recording, duration = in_order(recording), self.spec.duration
        assert duration is not None
        if self.windows:
            return (
                Sample(f"{name}@{begin / 1000:g}ms", part, expected)
                for begin, part in cut(recording, duration)
            )
        changes = []
        if int(recording.t.max(initial=0)) >= duration:
            longest = f"{duration / 1000:g} ms of the training"
            changes.append(f"longer than the {longest} (--windows answers to each part)")
        return [Sample(name, recording, expected, tuple(changes))]


def cut(recording: Recording, duration: int) -> Iterator[tuple[int, Recording]]:
    """Yield the parts of a recording of equal length, one after the other, with their begin in µs.

    Their times are since that begin; parts without events are left out.

    Args:
        recording: in the order of time.
        duration: of a part in µs.
    """
    part = recording.t // duration
    borders = np.flatnonzero(np.diff(part)) + 1
    for first, last in pairwise([0, *borders.tolist(), len(part)]):
        if last > first:
            begin = int(part[first]) * duration
            columns = {name: getattr(recording, name)[first:last] for name in ("x", "y", "p")}
            yield begin, replace(recording, t=recording.t[first:last] - begin, **columns)
