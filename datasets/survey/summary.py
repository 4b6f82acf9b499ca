"""The survey of a data set: counts, sizes, ranges, copies and damaged files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from .samples import Sample

PARTS = ("train", "validation", "test")
MAX_LISTED = 1_000  # damaged files and pairs of copies in a result
MAX_THUMBNAILS = 8  # of a class
MAX_PICTURED = 24  # classes


@dataclass
class Survey:
    """What the samples of a data set show, collected one by one in bounded memory.

    A sample takes some 100 bytes, for the comparison with all others.

    Attributes:
        classes: names.
        counts: samples by number of the class and part, damaged ones included.
        thumbnails: by number of the class, small pictures of the first samples.
    """

    classes: Sequence[str]
    wants_thumbnails: bool = False
    counts: Counter[tuple[int | None, str]] = field(default_factory=Counter)
    thumbnails: dict[int | None, list[np.ndarray]] = field(default_factory=dict)
    _has_boxes: bool = False
    _objects: Counter[tuple[int, str]] = field(default_factory=Counter)
    _sizes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    _channels: Counter[int] = field(default_factory=Counter)
    _rates: Counter[int] = field(default_factory=Counter)
    _low: float = np.inf
    _high: float = -np.inf
    _constant: int = 0
    _durations: list[float] = field(default_factory=list)
    _events: list[int] = field(default_factory=list)
    _first: dict[bytes, tuple[str, int | None, str]] = field(default_factory=dict)
    _copies: Counter[tuple[str, str]] = field(default_factory=Counter)
    _relabelled: int = 0
    _pairs: list[tuple[str, str]] = field(default_factory=list)
    _damaged: list[tuple[str, str]] = field(default_factory=list)
    _damaged_count: int = 0

    def add(self, sample: Sample) -> None:
        """Add what a sample shows."""
        self.counts[sample.label, sample.part] += 1
        if sample.objects is not None:
            self._has_boxes = True
            self._objects.update((label, sample.part) for label in sample.objects)
        shown = sample.shown
        if shown is None:
            self._damaged_count += 1
            if len(self._damaged) < MAX_LISTED:
                self._damaged.append((sample.name, sample.why))
            return
        self._sizes[shown.size] += bool(shown.size)
        if shown.channels is not None:
            self._channels[shown.channels] += 1
        if shown.rate is not None:
            self._rates[shown.rate] += 1
        if shown.low is not None and shown.high is not None:
            self._low, self._high = min(self._low, shown.low), max(self._high, shown.high)
            self._constant += shown.low == shown.high
        if shown.duration is not None:
            self._durations.append(shown.duration)
        if shown.events is not None:
            self._events.append(shown.events)
        self._compare(sample, shown.digest)
        if self.wants_thumbnails and (sample.label is None or sample.label < MAX_PICTURED):
            pictures = self.thumbnails.setdefault(sample.label, [])
            if len(pictures) < MAX_THUMBNAILS:
                pictures.append(shown.thumbnail())

    def _compare(self, sample: Sample, digest: bytes) -> None:
        known = self._first.setdefault(digest, (sample.part, sample.label, sample.name))
        part, label, name = known
        if name == sample.name and part == sample.part:
            return
        first, second = sorted((part, sample.part), key=PARTS.index)
        self._copies[first, second] += 1
        self._relabelled += label != sample.label
        if len(self._pairs) < MAX_LISTED:
            self._pairs.append((name, sample.name))

    @property
    def samples(self) -> int:
        """The number of samples, damaged ones included."""
        return sum(self.counts.values())

    @property
    def readable(self) -> int:
        """The number of samples that can be read."""
        return self.samples - self._damaged_count

    def result(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        parts = {part: sum(n for (_, p), n in self.counts.items() if p == part) for part in PARTS}
        counts: Counter[Any] = self._objects if self._has_boxes else self.counts
        by_class = {
            name: {part: counts[number, part] for part in PARTS}
            for number, name in enumerate(self.classes)
        }
        sizes = sorted(filter(None, self._sizes), key=lambda size: (math.prod(size), size))
        totals = [sum(each.values()) for each in by_class.values()]
        return {
            "samples": self.samples,
            "parts": parts,
            "classes": by_class,
            "counted": "objects" if self._has_boxes else "samples",
            "imbalance": max(totals) / min(totals) if totals and min(totals) else None,
            "sizes": {
                "smallest": list(sizes[0] if sizes else ()),
                "largest": list(sizes[-1] if sizes else ()),
                "different": len(sizes),
            },
            "channels": {str(key): count for key, count in sorted(self._channels.items())},
            "rates_hz": {str(key): count for key, count in sorted(self._rates.items())},
            "range": [self._low, self._high] if self._low <= self._high else None,
            "constant": self._constant,
            "duration_ms": _spread(self._durations),
            "events": _spread(self._events),
            "copies": {
                "between": {
                    f"{first}-{second}": count
                    for (first, second), count in sorted(self._copies.items())
                    if first != second
                },
                "within": sum(count for (a, b), count in self._copies.items() if a == b),
                "of_different_classes": self._relabelled,
                "pairs": [list(pair) for pair in self._pairs],
            },
            "damaged": {
                "count": self._damaged_count,
                "files": [{"file": name, "why": why} for name, why in self._damaged],
            },
        }


def survey(
    samples: Iterable[Sample], classes: Sequence[str], *, thumbnails: bool = False
) -> Survey:
    """Return the survey of samples, which are looked at one by one.

    Args:
        samples: of all parts.
        classes: their names.
        thumbnails: keep small pictures of the first samples of each class.
    """
    found = Survey(classes, thumbnails)
    for sample in samples:
        found.add(sample)
    return found


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"smallest": min(values), "median": median(values), "largest": max(values)}
