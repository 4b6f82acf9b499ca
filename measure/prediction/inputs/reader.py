"""The samples of files, in order, by the reader of what a network takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from os import cpu_count
from typing import Any, Protocol

from ....coding.samples import SampleSpec
from ....core.errors import AsnnError, ConfigError
from ....datasets.sources.images.decode import MIN_BYTES_FOR_THREADS
from . import arrays
from .events import EventReader
from .images import ImageReader
from .sample import Sample, Source, Unreadable
from .series import SeriesReader, frames_of

AHEAD = 32  # files that threads decode at a time
THREADS = min(4, cpu_count() or 1)  # each may hold a picture of 89 million pixels


class Reader(Protocol):
    """Reads files of one kind of samples.

    Attributes:
        noun: what a file holds, in messages: "image".
        suffixes: of the files in folders.
        in_threads: whether decoding spends its time outside of Python code.
    """

    @property
    def noun(self) -> str: ...

    @property
    def suffixes(self) -> frozenset[str]: ...

    @property
    def in_threads(self) -> bool: ...

    def open(self, source: Source) -> Iterable[Sample | Unreadable]: ...

    def samples(self, found: arrays.Labelled, name: str) -> Iterable[Sample | Unreadable]: ...


def reader_of(
    spec: SampleSpec,
    labels: list[str],
    data: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    windows: bool = False,
    letterbox: bool = False,
) -> Reader:
    """Return the reader of the samples that a network takes.

    Args:
        spec: of the samples.
        labels: names of the classes.
        data, options: the data set of the training and its options; None if they are not known.
        windows: give each part of a recording, see `EventReader`.
        letterbox: keep the proportions of pictures, see `ImageReader`.

    Raises:
        ConfigError: `windows` of samples that are no recordings.
    """
    options = options or {}
    if windows and spec.kind != "events":
        raise ConfigError(
            "--windows is for recordings of events",
            why=f"the network takes {spec.many}",
            remedy="leave --windows out",
        )
    if spec.kind == "image":
        return ImageReader(spec, labels, letterbox)
    if spec.kind == "events":
        start = "zero" if data == "nmnist" else options.get("start", "first")
        return EventReader(spec, labels, start, windows)
    audio = frames_of(options) if data == "wav-folder" and options else None
    return SeriesReader(spec, labels, audio)


def read_all(
    reader: Reader, sources: Iterable[Source | Unreadable]
) -> Iterator[Sample | Unreadable]:
    """Yield the samples of files in their order; memory holds a few files."""
    if not reader.in_threads:
        for source in sources:
            yield from _open(reader, source)
        return
    sources = iter(sources)
    with ThreadPoolExecutor(THREADS) as pool:
        while chunk := list(islice(sources, AHEAD)):
            apply = pool.map if _are_large(chunk) else map
            for found in apply(lambda source: _open(reader, source), chunk):
                yield from found


def _are_large(sources: list[Source | Unreadable]) -> bool:
    sizes = []
    for source in sources:
        if isinstance(source, Source) and source.path is not None:
            with contextlib.suppress(OSError):
                sizes.append(source.path.stat().st_size)
    return sum(sizes) >= MIN_BYTES_FOR_THREADS * len(sizes)


def _open(reader: Reader, source: Source | Unreadable) -> Iterable[Sample | Unreadable]:
    if isinstance(source, Unreadable):
        return [source]
    try:
        return reader.open(source)
    except AsnnError as error:
        if "data." in error.remedy:  # advice for a training
            error.remedy = (
                f"give an {reader.noun}" if reader.noun[0] in "aeiou" else f"give a {reader.noun}"
            )
        return [Unreadable(source.name, error)]
