"""Parts of recordings as samples of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ....coding.samples import EventList, SampleSpec
from ....formats.events import Recording
from ...base import Inputs
from ...events import Events


class Window(NamedTuple):
    """A time in every recording, in µs since its beginning: begin <= t < end."""

    begin: int
    end: int


class LazyWindows:
    """Windows of recordings that are decoded at access.

    Attributes:
        spec: the samples.
        shape: (number of windows of all recordings, P, H, W).
    """

    def __init__(self, inputs: Inputs, windows: Sequence[Window], spec: SampleSpec) -> None:
        self.inputs = inputs
        self.windows = list(windows)
        self.spec = spec
        self.shape = (len(inputs) * len(self.windows), *spec.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> EventList:
        recording, window = divmod(index, len(self.windows))
        return part_of(self.inputs[recording], self.windows[window])  # type: ignore[index, arg-type]

    def identity(self, index: int) -> str:
        """Return what the recording is, and which part of it, for the fingerprint."""
        recording, window = divmod(index, len(self.windows))
        return f"{self.inputs.identity(recording)} {self.windows[window]}"  # type: ignore[union-attr]


def in_windows(inputs: Inputs, windows: Sequence[Window], spec: SampleSpec) -> Inputs:
    """Return all windows of the first recording, then those of the second, and so on.

    Args:
        inputs: recordings, sorted by time.
        windows: of each recording.
        spec: of the windows.
    """
    if not isinstance(inputs, Events):
        return LazyWindows(inputs, windows, spec)
    found = []
    for start, count in zip(inputs.start.tolist(), inputs.count.tolist(), strict=True):
        part = slice(start, start + count)
        recording = Recording(inputs.t[part], inputs.x[part], inputs.y[part], inputs.p[part])
        found += [part_of(recording, window) for window in windows]
    return joined(found, spec)


def part_of(recording: EventList, window: Window) -> Recording:
    """Return the events in a window, with times since its beginning."""
    first, last = np.searchsorted(recording.t, window)
    part = slice(first, last)
    t = recording.t[part].astype(np.int64) - window.begin
    return Recording(t, recording.x[part], recording.y[part], recording.p[part])


def joined(parts: Sequence[EventList], spec: SampleSpec) -> Events:
    """Return recordings, sorted by time, as samples in memory."""
    assert spec.duration is not None and len(spec.shape) == 3
    count = np.array([len(part.t) for part in parts], np.int64)

    def column(name: str, kind: type) -> np.ndarray:
        return np.concatenate([np.asarray(getattr(part, name), kind) for part in parts])

    return Events(
        t=column("t", np.int32 if spec.duration < 2**31 else np.int64),
        x=column("x", np.int16),
        y=column("y", np.int16),
        p=column("p", np.uint8),
        start=np.cumsum(count) - count,
        count=count,
        sensor=spec.shape,
        duration=spec.duration,
    )
