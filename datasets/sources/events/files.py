"""The recordings of many files as splits: in memory if they fit, otherwise decoded at access."""

from __future__ import annotations

from dataclasses import replace

from ....coding.samples import SampleSpec
from ....core.errors import ConfigError, DataError
from ....formats.events import Recording
from ...base import Split
from ..layout import Part
from .decode import Decoder, Joiner, LazyRecordings, Start
from .fit import extent, microseconds

GIB = 2**30
SAMPLED = 20
"""Equally spaced files that tell how many bytes in memory a byte of a file becomes."""


def load_parts(
    path: str,
    parts: dict[str, Part],
    *,
    size: tuple[int, int] | None,
    duration: float | None,
    start: Start,
    memory_limit: float,
    polarities: int = 2,
) -> tuple[dict[str, Split], SampleSpec]:
    """Return a split for each part, and the spec of the samples.

    Args:
        path: of the data set, for messages.
        parts: the files.
        size: (height, width); by default what the files state, or the largest coordinates.
        duration: the length of a recording in ms; by default the time of the last event.
        start: times are since the first event of a recording, or as in the file.
        memory_limit: GiB of events that are kept in memory.
        polarities: 2, or 1 if off events are refused.

    Raises:
        ConfigError: the recordings are decoded at access, and the size or duration is unknown.
        DataError: a recording cannot be read, does not fit, or is of another sensor.
    """
    decoders = {name: Decoder(part.store, size, polarities, start) for name, part in parts.items()}
    limit = memory_limit * GIB
    needed, example = _estimate(parts, decoders)
    if needed <= limit:
        found = _decode_all(parts, decoders, limit)
        if isinstance(found, _Decoded):
            height, width = size or found.size
            length = found.last + 1 if duration is None else microseconds(duration)
            spec = SampleSpec("events", (polarities, height, width), duration=length)
            splits = {
                name: Split(found.joined[name].events(spec), part.targets)
                for name, part in parts.items()
            }
            return splits, spec
        needed = found
    why = f"the recordings need about {needed / GIB:.2g} GiB, so that they are decoded at access"
    if duration is None:
        raise _unknown(path, "duration", "the length of a recording in ms", why)
    size = size or example.size
    if size is None:
        raise _unknown(path, "size", "the [height, width] of the sensor", why)
    spec = SampleSpec("events", (polarities, *size), duration=microseconds(duration))
    splits = {
        name: Split(
            LazyRecordings(replace(decoders[name], size=size), part.names, spec), part.targets
        )
        for name, part in parts.items()
    }
    return splits, spec


class _Decoded:
    """Recordings in memory, their sensor and the time of the last event."""

    def __init__(self, parts: dict[str, Part]) -> None:
        self.joined = {name: Joiner() for name in parts}
        self.size = (1, 1)
        self.stated: tuple[str, tuple[int, int]] | None = None
        self.last = 0

    def add(self, part: str, name: str, recording: Recording, *, same_sensor: bool) -> None:
        """Append a recording; with `same_sensor`, refuse one of another sensor than those before.

        Raises:
            DataError: two files state different sizes.
        """
        if same_sensor and recording.size is not None:
            self.stated = self.stated or (name, recording.size)
            if self.stated[1] != recording.size:
                first, (height, width) = self.stated
                raise DataError(
                    f"{name} is of another sensor than {first}",
                    why=f"{recording.size[0]}x{recording.size[1]} pixels (height x width), not "
                    f"{height}x{width}",
                    remedy="remove it, or set data.size to a [height, width] that holds both",
                )
        height, width = extent(recording)
        self.size = max(self.size[0], height), max(self.size[1], width)
        self.last = max(self.last, int(recording.t.max(initial=0)))
        self.joined[part].add(recording)


def _estimate(parts: dict[str, Part], decoders: dict[str, Decoder]) -> tuple[float, Recording]:
    """Return the bytes that all recordings need in memory, from a sample, and one of it."""
    files = [(part, name) for part in parts for name in parts[part].names]
    count = min(SAMPLED, len(files))
    read, needed, example = 0, 0, None
    for part, name in (files[number * len(files) // count] for number in range(count)):
        recording = decoders[part].recording(name)
        example = recording if example is None else example
        read += parts[part].store.sizes[name]
        needed += Joiner([recording]).bytes
    assert example is not None, "parts have files"
    total = sum(parts[part].store.sizes[name] for part, name in files)
    return needed * total / max(1, read), example


def _decode_all(
    parts: dict[str, Part], decoders: dict[str, Decoder], limit: float
) -> _Decoded | float:
    """Return all recordings, or the bytes of the first of them if these exceed the limit."""
    found = _Decoded(parts)
    for part, decoder in decoders.items():
        for name in parts[part].names:
            recording = decoder.recording(name)
            shown = decoder.store.display_name(name)
            found.add(part, shown, recording, same_sensor=decoder.size is None)
            needed = sum(each.bytes for each in found.joined.values())
            if needed > limit:
                return needed
    return found


def _unknown(path: str, key: str, what: str, why: str) -> ConfigError:
    return ConfigError(
        f"data.{key} is needed to read {path}",
        why=f"{why}, and {what} is unknown",
        remedy=f"set data.{key}, or raise data.memory_limit (GiB)",
    )
