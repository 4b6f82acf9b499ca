"""Files of one recording each, as events that begin at 0 and are sorted by time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ....coding.samples import SampleSpec
from ....core.errors import DataError
from ....formats.events import Recording, decode_recording
from ...events import Events
from ..store import Store
from .fit import MAX_TIME, check_fits, in_order, narrowed

Start = Literal["first", "zero"]
BLOCK = 2**26  # bytes


@dataclass(frozen=True)
class Decoder:
    """Decodes files of one recording.

    Args:
        store: the files.
        size: (height, width) of the sensor; None if it is not known yet.
        polarities: 2, or 1 if off events are refused.
        start: times are since the first event of the recording (`first`), or as in the file
            (`zero`).
    """

    store: Store
    size: tuple[int, int] | None = None
    polarities: int = 2
    start: Start = "first"

    def recording(self, name: str) -> Recording:
        """Return the events of the file called `name`, in narrow types.

        Raises:
            DataError: it cannot be read, or its events do not fit the samples.
        """
        shown = self.store.display_name(name)
        found = decode_recording(shown, self.store.read(name))
        if self.start == "first":
            found = _since_first(shown, found)
        check_fits(shown, found, self.size, self.polarities)
        found = in_order(found)
        return replace(found, **narrowed(found))


class LazyRecordings:
    """N recordings that are decoded at access.

    Attributes:
        spec: the samples.
        shape: (N, P, H, W).
    """

    def __init__(self, decoder: Decoder, names: list[str], spec: SampleSpec) -> None:
        self.decoder = decoder
        self.names = names
        self.spec = spec
        self.shape = (len(names), *spec.shape)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Recording:
        return self.decoder.recording(self.names[index])

    def identity(self, index: int) -> str:
        """Return name and size of the file and how it is read, for the fingerprint."""
        name = self.names[index]
        return f"{name} {self.decoder.store.sizes[name]} {self.decoder.start} {self.spec}"


class Joiner:
    """Collects the events of recordings, one after another.

    Attributes:
        bytes: of all events so far.
    """

    def __init__(self, recordings: Iterable[Recording] = ()) -> None:
        self.bytes = 0
        self._counts: list[int] = []
        self._blocks: dict[str, list[np.ndarray]] = {name: [] for name in "txyp"}
        self._pending: list[Recording] = []
        self._pending_bytes = 0
        for recording in recordings:
            self.add(recording)

    def add(self, recording: Recording) -> None:
        """Append a recording."""
        size = sum(getattr(recording, name).nbytes for name in "txyp")
        self.bytes += size
        self._counts.append(len(recording))
        self._pending.append(recording)
        self._pending_bytes += size
        if self._pending_bytes > BLOCK:
            self._join()

    def events(self, spec: SampleSpec) -> Events:
        """Return all recordings that were added, and forget them."""
        assert spec.duration is not None and len(spec.shape) == 3
        self._join()
        # One column at a time, so that no more than one of them is there twice.
        columns = {name: np.concatenate(self._blocks.pop(name)) for name in "txyp"}
        count = np.array(self._counts, np.int64)
        start = np.cumsum(count) - count
        return Events(
            **columns, start=start, count=count, sensor=spec.shape, duration=spec.duration
        )

    def _join(self) -> None:
        """Turn what is pending into one large array a column.

        The memory of large arrays is returned when they are freed, that of small ones is not.
        """
        if not self._pending:
            return
        for name, blocks in self._blocks.items():
            blocks.append(np.concatenate([getattr(each, name) for each in self._pending]))
        self._pending, self._pending_bytes = [], 0


def _since_first(name: str, recording: Recording) -> Recording:
    """Return the recording with times since its earliest event."""
    if not len(recording):
        return recording
    # As Python integers: the difference of two int64 may overflow.
    earliest, latest = int(recording.t.min()), int(recording.t.max())
    if latest - earliest >= MAX_TIME:
        raise DataError(
            f"{name} is longer than {MAX_TIME:,} µs",
            why=f"its times go from {earliest} to {latest} µs",
            remedy="times are in µs; get the file again if it is damaged",
        )
    return replace(recording, t=recording.t - earliest)
