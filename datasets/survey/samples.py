"""What one sample shows, and the walks over the samples of files and of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.errors import DataError
from ...formats.errors import InvalidFile, sanitize
from ..base import DataSet, Inputs, Split
from ..boxes import of_sample
from ..copies import digest
from ..events import Events
from ..load import TEST_CUT, VALIDATION_CUT
from ..sources.boxes.letterbox import LetterboxImages
from ..sources.events.decode import Decoder
from ..sources.events.fit import extent
from ..sources.images.single import open_images
from ..sources.layout import Layout, Part
from ..sources.series.wav import read_wav
from ..sources.store import Store
from ..splits import cut, original
from .thumbnails import of_events, of_image, of_series, of_wave


@dataclass(frozen=True)
class Shown:
    """What the content of a sample shows.

    Attributes:
        digest: of its bytes.
        size: (height, width) of an image or a sensor, (T, features) of a series.
        channels: of an image; None for others.
        low, high: range of values: of images in [0, 1].
        duration: in ms; None if it has none.
        events: their number; None for others.
        rate: samples per second of audio; None for others.
        thumbnail: makes a small picture of it, uint8 `[H, W]` or `[H, W, 3]`.
    """

    digest: bytes
    thumbnail: Callable[[], np.ndarray]
    size: tuple[int, ...] = ()
    channels: int | None = None
    low: float | None = None
    high: float | None = None
    duration: float | None = None
    events: int | None = None
    rate: int | None = None


@dataclass(frozen=True)
class Sample:
    """A sample of a part: its name, the number of its class, and what it shows.

    Attributes:
        part: train, validation or test.
        name: of its file, or its index.
        label: of its class; None without one class.
        shown: None if it is damaged.
        why: the reason if it is damaged.
        objects: the numbers of the classes of its boxes; None of samples without boxes as targets.
    """

    part: str
    name: str
    label: int | None
    shown: Shown | None
    why: str = ""
    objects: Sequence[int] | None = None


Read = Callable[[Store, str], Shown]


def samples_of_files(layout: Layout, read: Read) -> Iterator[Sample]:
    """Yield the samples of class folders or of a table, one file at a time."""
    for part, files in layout.parts.items():
        for name, label in zip(files.names, files.targets.tolist(), strict=True):
            display = files.store.display_name(name)
            try:
                yield Sample(part, display, label, read(files.store, name))
            except DataError as error:
                yield Sample(part, display, label, None, _why(error, display))
            except InvalidFile as error:
                yield Sample(part, display, label, None, sanitize(error))


def cut_layout(layout: Layout, *, test: float, validation: float) -> Layout:
    """Return the layout with the parts that `load_dataset` cuts from the training part.

    Args:
        layout: its files.
        test, validation: shares, for parts that are missing.
    """
    train = layout.train
    rest = Split(torch.arange(len(train.names)), train.targets)
    parts = dict(layout.parts)
    for part, share, stream in (
        ("test", test, TEST_CUT),
        ("validation", validation, VALIDATION_CUT),
    ):
        if part not in layout.parts:
            rest, other = cut(rest, share, stream)
            parts[part] = _files_of(train, other)
    return Layout({**parts, "train": _files_of(train, rest)}, layout.classes)


def _files_of(part: Part, split: Split) -> Part:
    assert isinstance(split.inputs, Tensor)
    return Part(part.store, [part.names[index] for index in split.inputs.tolist()], split.targets)


def samples_of_data(data: DataSet) -> Iterator[Sample]:
    """Yield the samples of a data set that is loaded, one at a time."""
    for part in ("train", "validation", "test"):
        split = data.split(part)
        one_class = split.targets.dim() == 1 and not split.targets.is_floating_point()
        for index in range(len(split)):
            label = int(split.targets[index]) if one_class else None
            objects = None
            if data.target == "boxes":
                objects = of_sample(split.targets[index])[1].tolist()
            name, shown, why = f"{part} {index}", None, ""
            inputs, at = original(split.inputs, index)
            if isinstance(inputs, LetterboxImages):
                name = inputs.display_name(at)
            try:
                shown = _of_sample(inputs, at, data.full_scale)
            except DataError as error:
                why = _why(error, name)
            yield Sample(part, name, label, shown, why, objects)


def _why(error: DataError, name: str) -> str:
    return error.why or error.what.removeprefix(f"{name} ")


def _key(content: bytes) -> bytes:
    return digest(np.frombuffer(content, np.uint8))


def read_image(store: Store, name: str) -> Shown:
    """Return what an image file shows.

    Raises:
        DataError: it cannot be decoded.
    """
    content = store.read(name)
    pixels = open_images(content, store.display_name(name)).images[0]
    assert isinstance(pixels, Tensor)
    return _of_values(pixels, 255.0, _key(content))


def read_events(store: Store, name: str) -> Shown:
    """Return what the file of a recording shows.

    Raises:
        DataError: it cannot be read.
    """
    found = Decoder(store).recording(name)
    return _of_events(found.t, found.x, found.y, found.p, extent(found), _key(store.read(name)))


def read_audio(store: Store, name: str) -> Shown:
    """Return what a WAV file shows.

    Raises:
        InvalidFile: it cannot be read.
    """
    content = store.read(name)
    samples, rate = read_wav(content)
    return Shown(
        _key(content),
        lambda: of_wave(samples),
        low=float(samples.min()),
        high=float(samples.max()),
        duration=1000 * len(samples) / rate,
        rate=rate,
    )


def _of_sample(inputs: Inputs, index: int, full_scale: float) -> Shown:
    if isinstance(inputs, Events):
        part = slice(int(inputs.start[index]), int(inputs.start[index] + inputs.count[index]))
        columns = (inputs.t[part], inputs.x[part], inputs.y[part], inputs.p[part])
        return _of_events(*columns, inputs.sensor[1:], digest(*columns))
    if isinstance(inputs, LetterboxImages):  # as large as it is, not as its frame
        pixels = np.atleast_3d(np.asarray(inputs.picture(index))).transpose(2, 0, 1)
        return _of_values(torch.from_numpy(pixels.copy()), full_scale, digest(pixels))
    sample = inputs[index]
    if isinstance(sample, Tensor):
        return _of_values(sample, full_scale, digest(sample.numpy()))
    t, x, y, p = (np.asarray(getattr(sample, name)) for name in "txyp")
    return _of_events(t, x, y, p, inputs.shape[2:], digest(t, x, y, p))


def _of_events(
    t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray, size: tuple[int, ...], key: bytes
) -> Shown:
    return Shown(
        key,
        lambda: of_events(x, y, size),
        size=size,
        duration=int(t.max(initial=0)) / 1000,
        events=len(t),
    )


def _of_values(values: Tensor, full_scale: float, key: bytes) -> Shown:
    """Return what an image `[C, H, W]` or a series `[T, ...]` shows."""
    is_image = values.dim() == 3
    scale = full_scale if values.dtype == torch.uint8 else 1.0
    low, high = (float(each) / scale for each in torch.aminmax(values))
    return Shown(
        key,
        (lambda: of_image(values.float() / scale))
        if is_image
        else lambda: of_series(values.numpy()),
        size=tuple(map(int, values.shape[1:] if is_image else values.shape)),
        channels=int(values.shape[0]) if is_image else None,
        low=low,
        high=high,
    )
