"""What the recipe `own` chooses for each kind of samples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...coding.samples import SampleSpec
from ...datasets.detect import shares_to_cut
from ...datasets.load import load_source, spec_of
from ...datasets.sources.class_folders import read_layout
from ...datasets.sources.damaged import pointing_to_survey
from ...datasets.sources.events.decode import Decoder
from ...datasets.sources.events.fit import extent
from ...datasets.sources.events.folder import SUFFIXES as EVENTS
from ...datasets.sources.images.opening import open_image
from ...datasets.sources.layout import Layout
from ...datasets.sources.series.wav import read_wav
from ...datasets.sources.series.wav_folder import read_wav_layout
from ...datasets.sources.sizes import height_and_width
from ...datasets.sources.store import EXTENSIONS
from ...datasets.sources.tables import Columns
from ...formats.errors import InvalidFile

if TYPE_CHECKING:
    from .own import Own

PARTS = ("train", "validation", "test")
SIDE = 32
"""Height and width of images that differ in size."""
FRAME = 128
"""Height and width of the frame of images with boxes."""
MAX_NATIVE = 48
"""Images of one size up to this keep it."""
SAMPLED = 100
DRAWS = 100_000
"""Samples of 32x32 that a training draws, some minutes on two cores; at least 5 epochs."""
FRAMES_PER_SECOND = 70
MAX_IN_MEMORY = 2**29
"""Bytes of files of events; they take up to four times as much in memory."""
MAX_STEPS = 50
"""Of series: what is longer is joined into so many steps."""


def whole_number(value: Any) -> int | None:
    """Return a value that the user set if it is a positive whole number; the recipe's check refuses
    others."""
    return value if type(value) is int and value > 0 else None


def _asked_size(options: Mapping[str, Any]) -> tuple[int, int] | None:
    size = options.get("size")
    sides = size if isinstance(size, list) else [size, size]
    is_size = len(sides) == 2 and all(whole_number(side) for side in sides)
    return height_and_width(size) if is_size else None


def choose_for_images(own: Own, options: Mapping[str, Any]) -> None:
    """Choose for images in files, by the sizes of a sample."""
    layout = _layout(options, EXTENSIONS, "image")
    train = layout.train
    with pointing_to_survey(options["path"]):
        sizes = [open_image(train.store, name).size for name in _spaced(train.names)]
    by_area = sorted(sizes, key=lambda size: (math.prod(size), size))
    low, high = by_area[0], by_area[-1]
    of_one_size = len(set(sizes)) == 1
    said = "{}x{}".format(*low) if of_one_size else "{}x{} to {}x{}".format(*low, *high)
    _about(own, layout, "image", f"of {said} pixels (height x width)")
    size = _asked_size(options)
    if size is None and of_one_size and max(low) <= MAX_NATIVE:
        size = low
        own.choose("data.size", list(size), "all images that were looked at have it")
    elif size is None:
        size = (SIDE, SIDE)
        why = "differ in size" if not of_one_size else "are larger, which takes longer"
        own.choose(
            "data.size", list(size), f"the images {why}; 64 keeps more detail, 4 times slower"
        )
    _image_network(own, size, _counts(layout))


def _image_network(own: Own, size: tuple[int, int], counts: dict[str, int]) -> None:
    own.choose("coding.name", "hybrid")
    own.choose("coding.steps", 4, "the image in step 1, then spikes")
    own.choose("model.name", "lenet")
    widths = [32, 48, 64] if min(size) > 10 else [32, 64]
    own.choose("model.widths", widths, "a small network: minutes, not hours")
    own.choose("model.neuron", "adaptive")
    why = "pixels of random shifts; augment.flip=true if left and right mean the same"
    own.choose("augment.crop", max(1, min(size) // 8), why)
    _training(own, counts, size[0] * size[1] / SIDE**2)


def _training(own: Own, counts: dict[str, int], cost: float = 1.0) -> None:
    """Choose parts, batches and epochs.

    Args:
        own: the recipe.
        counts: samples by part; what is missing is cut from `train`.
        cost: of a sample, in those of an image of 32x32.
    """
    count = counts["train"]
    for part, share in shares_to_cut(counts).items():
        own.choose(f"data.{part}", share, "of the training samples: there is no such part")
        count = max(1, round(count * (1 - share)))
    batch = next((size for limit, size in ((500, 16), (2_000, 32)) if count <= limit), 64)
    own.choose("train.batch_size", batch, f"steps an epoch: {-(-count // batch):,}")
    epochs = max(5, min(30, round(DRAWS / cost / count)))
    own.choose("train.epochs", epochs, f"of {count:,} training samples")
    own.choose("train.lr", 0.001 if batch < 32 else 0.002, "for batches of this size")


def choose_for_audio(own: Own, options: Mapping[str, Any], asked_steps: int | None) -> None:
    """Choose for WAV files, by rate and length of a sample."""
    layout = read_wav_layout(
        options["path"],
        labels=options.get("labels", "folder"),
        test_names=options.get("test_names"),
        columns=Columns.of(options),
    )
    train = layout.train
    seconds, rates = [], []
    for name in _spaced(train.names, 50):
        try:
            samples, rate = read_wav(train.store.read(name))
        except InvalidFile:
            continue  # the training says which file is damaged
        seconds.append(len(samples) / rate)
        rates.append(rate)
    typical = median(seconds or [1.0])
    rate = min(16_000, Counter(rates or [16_000]).most_common(1)[0][0])
    spread = f"{min(seconds):.2f} to {max(seconds):.2f} s" if seconds else "of unknown length"
    _about(own, layout, "WAV file", f"of {spread}")
    fitting = max(10, min(MAX_STEPS, round(typical * FRAMES_PER_SECOND)))
    steps = asked_steps or whole_number(options.get("steps")) or fitting
    own.choose("data.rate", rate, "samples per second; the most frequent, at most 16,000")
    own.choose("data.steps", steps, f"frames of a recording; the median lasts {typical:.2f} s")
    own.choose("data.fit", "stretch", "the frames are equally spaced over each recording")
    own.choose("data.level", "relative", "loudness and microphone count less")
    own.choose("coding.name", "given")
    own.choose("coding.steps", steps, "the frames are the steps")
    _recurrent(own)
    own.choose("augment.time_shift", max(1, steps // 15), "steps; recordings are changed at random")
    own.choose("augment.noise", 0.3)
    own.choose("augment.mask_time", max(1, steps // 5))
    own.choose("augment.mask_features", 8)
    _training(own, _counts(layout), 0.5)


def _recurrent(own: Own) -> None:
    own.choose("model.name", "rsnn")
    own.choose("model.features", [128, 128], "recurrent neurons: the samples are series")
    own.choose("model.neuron", "adaptive")


def choose_for_recordings(own: Own, options: Mapping[str, Any]) -> None:
    """Choose for recordings of events in files, by sensor and length of a sample."""
    layout = _layout(options, EVENTS, "recording")
    train = layout.train
    decoder = Decoder(train.store, _asked_size(options))
    found = [decoder.recording(name) for name in _spaced(train.names, 20)]
    size = max(extent(each)[0] for each in found), max(extent(each)[1] for each in found)
    longest = max(int(each.t.max(initial=0)) for each in found)
    _about(
        own, layout, "recording", f"of up to {longest / 1000:,.0f} ms, {size[0]}x{size[1]} pixels"
    )
    if sum(train.store.sizes[name] for name in train.names) > MAX_IN_MEMORY:
        why = "the longest of a sample: so many recordings are decoded at access"
        own.choose("data.duration", max(1, longest) / 1000, why)
        own.choose("data.size", list(size), "of the sensor, by a sample")
    _frames(own, size, _counts(layout))


def _frames(own: Own, size: tuple[int, int], counts: dict[str, int]) -> None:
    joined = -(-max(size) // 36)
    own.choose("coding.name", "frames", "the events of each of T windows of time as an image")
    own.choose("coding.steps", 6, "windows; 10 show more of the motion and take longer")
    value = "binary" if joined == 1 else "log-count"
    own.choose(
        "coding.value",
        value,
        "of a pixel: 1 where there was an event"
        if joined == 1
        else "of a pixel: log(1 + its events)",
    )
    if joined > 1:
        why = f"{joined}x{joined} pixels of the sensor are one of the image: fewer are faster"
        own.choose("coding.downsample", joined, why)
    own.choose("model.name", "lenet")
    own.choose("model.widths", [32, 48, 64], "a small network: minutes, not hours")
    own.choose("model.neuron", "adaptive")
    own.choose("augment.shift", joined, "pixels of the sensor; recordings are shifted at random")
    side = -(-size[0] // joined), -(-size[1] // joined)
    _training(own, counts, 1.5 * side[0] * side[1] / SIDE**2)


def choose_for_boxes(own: Own, name: str, options: Mapping[str, Any]) -> None:
    """Choose for annotated images, which are scaled into one frame."""
    size = _asked_size(options)
    if size is None:
        size = (FRAME, FRAME)
        own.choose("data.size", FRAME, "of the frame of an image; a larger one shows more, slower")
    source = load_source(name, **{**options, "size": list(size)})
    parts = {"train": source.train, "test": source.test, "validation": source.validation}
    counts = {part: len(split) for part, split in parts.items() if split is not None}
    own.about = f"{sum(counts.values()):,} images with boxes of {len(source.classes)} classes"
    own.choose("task.name", "detection", "the targets are boxes")
    own.choose("coding.name", "direct")
    own.choose("coding.steps", 4, "the image at each step")
    own.choose("model.name", "spiking-yolo", "a cell for every 8x8 pixels")
    own.choose("model.neuron", "adaptive")
    why = "boxes are mirrored too; false if left and right mean something"
    own.choose("augment.flip", True, why)
    _training(own, counts, size[0] * size[1] / SIDE**2)


def choose_for_arrays(
    own: Own, name: str, options: Mapping[str, Any], asked_steps: int | None
) -> None:
    """Choose for arrays, which are read whole."""
    source = load_source(name, **options)
    spec = spec_of(source)
    parts = {"train": source.train, "test": source.test, "validation": source.validation}
    counts = {part: len(split) for part, split in parts.items() if split is not None}
    kinds = f"{len(source.classes)} classes" if source.classes else "real values"
    own.about = f"{sum(counts.values()):,} {spec.many}, {kinds}, {spec}"
    shape = spec.shape
    if spec.kind == "image":
        _image_network(own, (shape[1], shape[2]), counts)
    elif spec.kind == "events":
        _frames(own, (shape[1], shape[2]), counts)
    else:
        _series(own, spec, source.train.targets, asked_steps)
        _training(own, counts, 0.5)


def _series(own: Own, spec: SampleSpec, targets: Tensor, asked_steps: int | None) -> None:
    assert spec.steps is not None
    of_steps = targets.dim() > 1 and targets.shape[1] == spec.steps
    own.choose("coding.name", "given")
    steps = asked_steps or (spec.steps if of_steps else min(MAX_STEPS, spec.steps))
    own.choose("coding.steps", steps, f"the series have {spec.steps}")
    if steps < spec.steps:
        own.choose("coding.fit", "mean", "neighbouring steps are joined: fewer are faster")
    if targets.is_floating_point():
        own.choose(
            "task.name", "regression", "the targets are real values; save classes as integers"
        )
        own.choose("task.at", "steps" if of_steps else "end", "by the shape of the targets")
    elif of_steps:
        own.choose("task.name", "step-classification", "there is a class for each step")
    if len(spec.shape) == 3:
        own.choose("model.name", "lenet", "the steps are images")
        own.choose("model.widths", [32, 48, 64])
        own.choose("model.neuron", "adaptive")
    else:
        _recurrent(own)


def _layout(options: Mapping[str, Any], suffixes: Any, noun: str) -> Layout:
    return read_layout(
        options["path"],
        options.get("test_path"),
        suffixes=suffixes,
        noun=noun,
        columns=Columns.of(options),
    )


def _counts(layout: Layout) -> dict[str, int]:
    return {name: len(part.names) for name, part in layout.parts.items()}


def _about(own: Own, layout: Layout, noun: str, more: str) -> None:
    counts = {part: n for part in PARTS if (n := _counts(layout).get(part))}
    parts = " + ".join(f"{count:,} {name}" for name, count in counts.items())
    of_parts = f" ({parts})" if len(counts) > 1 else ""
    own.about = (
        f"{sum(counts.values()):,} {noun}s{of_parts} in {len(layout.classes)} classes, {more}"
    )


def _spaced(names: list[str], limit: int = SAMPLED) -> list[str]:
    """Return at most `limit` names, equally spaced: the first are all of one class."""
    count = min(limit, len(names))
    return [names[number * len(names) // count] for number in range(count)]
