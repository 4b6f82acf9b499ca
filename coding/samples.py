"""Samples: what a data set delivers and a code takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

Kind = Literal["image", "events", "series"]
COLUMNS = ("t", "x", "y", "p", "sample")
PLURALS: dict[str, str] = {"image": "images", "events": "events", "series": "series"}
ONE: dict[str, str] = {"image": "image", "events": "recording", "series": "series"}
MANY: dict[str, str] = {"image": "images", "events": "recordings", "series": "series"}


@dataclass(frozen=True)
class SampleSpec:
    """The kind and the shape of the samples of a data set.

    Attributes:
        kind: `image` `[C, H, W]` in [0, 1]; `events`, a list of time, x, y and polarity; `series`
            `[T, F]` or `[T, C, H, W]`.
        shape: of one step, without time: (C, H, W) of an image, (P, H, W) of the sensor of events
            (P = 2 polarities, 1 of a sensor without), (F,) or (C, H, W) of a series.
        steps: time steps of a series; None for the others.
        duration: the length of a recording of events in µs; None for the others.
        binary: whether all values of a series are 0 or 1, so that they are spikes.
    """

    kind: Kind
    shape: tuple[int, ...]
    steps: int | None = None
    duration: int | None = None
    binary: bool = False

    def __post_init__(self) -> None:
        ranks = {"image": (3,), "events": (3,), "series": (1, 3)}
        if self.kind not in ranks:
            raise ValueError(f"unknown kind of samples {self.kind!r}")
        numbers = (*self.shape, self.steps, self.duration)
        if any(n is not None and (type(n) is not int or n < 1) for n in numbers):
            raise ValueError(f"sizes of samples must be positive whole numbers: {self}")
        if len(self.shape) not in ranks[self.kind] or (self.kind == "events" and self.shape[0] > 2):
            raise ValueError(f"{PLURALS[self.kind]} cannot have the shape {self.shape}")
        for key, kind in (("steps", "series"), ("duration", "events")):
            if (getattr(self, key) is None) == (self.kind == kind):
                needs = "need" if self.kind == kind else "have no"
                raise ValueError(f"{PLURALS[self.kind]} {needs} {key}")

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes of one step."""
        first = "polarity" if self.kind == "events" else "channel"
        return ("feature",) if len(self.shape) == 1 else (first, "row", "column")

    @property
    def has_time(self) -> bool:
        """Whether the samples bring their time steps or times, instead of a code making them."""
        return self.kind != "image"

    @property
    def one(self) -> str:
        """The word for one sample."""
        return ONE[self.kind]

    @property
    def many(self) -> str:
        """The word for several samples."""
        return MANY[self.kind]

    def document(self) -> dict[str, Any]:
        """Return plain values, as in the header of a model file."""
        found = {"kind": self.kind, "shape": list(self.shape), "steps": self.steps}
        found |= {"duration": self.duration, "binary": self.binary or None}
        return {key: value for key, value in found.items() if value is not None}

    @staticmethod
    def from_document(document: dict[str, Any]) -> SampleSpec:
        """Return the spec of plain values.

        Raises:
            TypeError, ValueError: they describe no samples.
        """
        return SampleSpec(**{**document, "shape": tuple(document["shape"])})

    def __str__(self) -> str:
        size = "×".join(map(str, self.shape))
        if self.kind == "events":
            return f"events of a {size} sensor over {(self.duration or 0) / 1000:g} ms"
        return f"series of {self.steps} steps of {size}" if self.steps else f"images {size}"


class EventList(Protocol):
    """The events of one recording, as NumPy arrays of equal length."""

    @property
    def t(self) -> np.ndarray: ...

    @property
    def x(self) -> np.ndarray: ...

    @property
    def y(self) -> np.ndarray: ...

    @property
    def p(self) -> np.ndarray: ...


@dataclass(frozen=True)
class EventBatch:
    """The events of B recordings, one after another; in each of them sorted by time.

    Attributes:
        t: µs since the beginning of the recording, int64 `[E]`.
        x, y: column and row, int64 `[E]`.
        p: polarity, 0 (off) or 1 (on), int64 `[E]`.
        sample: the number of the recording in the batch, int64 `[E]`, not decreasing.
        size: the number of recordings B; one of them may have no event.
        shape: (P, H, W) of the sensor.
        duration: the length of a recording in µs.
    """

    t: Tensor
    x: Tensor
    y: Tensor
    p: Tensor
    sample: Tensor
    size: int
    shape: tuple[int, ...]
    duration: int

    @staticmethod
    def of(recordings: Sequence[EventList], shape: tuple[int, ...], duration: int) -> EventBatch:
        """Return the batch of recordings.

        Args:
            recordings: sorted by time.
            shape: (P, H, W) of the sensor.
            duration: the length of a recording in µs.
        """

        def joined(name: str) -> Tensor:
            parts = [np.asarray(getattr(each, name), np.int64) for each in recordings]
            return torch.from_numpy(np.concatenate(parts) if parts else np.zeros(0, np.int64))

        counts = torch.tensor([len(each.t) for each in recordings], dtype=torch.int64)
        sample = torch.repeat_interleave(torch.arange(len(recordings)), counts)
        t, x, y, p = (joined(name) for name in "txyp")
        return EventBatch(t, x, y, p, sample, len(recordings), shape, duration)

    def __len__(self) -> int:
        return self.size

    @property
    def device(self) -> torch.device:
        """The device of the events."""
        return self.t.device

    def to(self, device: torch.device | str) -> EventBatch:
        """Return the batch on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in COLUMNS})

    def kept(self, chosen: Tensor) -> EventBatch:
        """Return the batch with chosen events: a mask `[E]`, or their indices in order."""
        if chosen.dtype == torch.bool:
            # One search for all columns: indexing each with the mask takes twice the time.
            chosen = chosen.nonzero().squeeze(1)
        return replace(self, **{name: getattr(self, name)[chosen] for name in COLUMNS})

    def split(self, size: int) -> list[EventBatch]:
        """Return batches of up to `size` recordings, as `Tensor.split` does."""
        found = []
        for first in range(0, self.size, size):
            count = min(size, self.size - first)
            begin, end = torch.searchsorted(self.sample, torch.tensor([first, first + count]))
            part = {name: getattr(self, name)[begin:end] for name in COLUMNS}
            part["sample"] = part["sample"] - first
            found.append(replace(self, **part, size=count))
        return found

    def counts(self) -> Tensor:
        """Return the number of events of each recording, `[B]`."""
        return torch.bincount(self.sample, minlength=self.size)


Batch = Tensor | EventBatch
