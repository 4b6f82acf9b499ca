"""The recipe `own`: made for the data at a path."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ...core.text import shell

if TYPE_CHECKING:
    from torch import Tensor

    from ...coding.samples import SampleSpec
    from ...datasets.sources.layout import Layout

PARTS = ("train", "validation", "test")
READ = {
    "folder": "images by class folders or a table",
    "events-folder": "recordings of events by class folders or a table",
    "wav-folder": "WAV files by class folders or a table",
    "npz": "arrays of images",
    "series-npz": "arrays of series",
    "events-npz": "one file of recordings of events",
}
SIDE = 32
"""Of images: of 32x32 pixels an epoch of 300 takes about half a second on two cores."""
MAX_NATIVE = 48
"""Images of one size up to this keep it."""
SAMPLED = 100
DRAWS = 100_000
"""Samples of 32x32 that a training draws, some minutes on two cores; at least 5 epochs."""
MAX_STEPS = 50
"""Of series: what is longer is joined into so many steps."""


@dataclass
class Own:
    """A recipe for the data at a path.

    Attributes:
        document: its tables.
        about: one line on the data.
        reasons: why a key has its value, by key; what is obvious has none.
    """

    document: dict[str, Any]
    about: str = ""
    reasons: dict[str, str] = field(default_factory=dict)

    def choose(self, key: str, value: Any, why: str = "") -> None:
        """Set a key such as `train.epochs`."""
        section, _, name = key.partition(".")
        self.document.setdefault(section, {})[name] = value
        if why:
            self.reasons[key] = why

    def lines(self, path: str, asked: Container[str] = ()) -> list[str]:
        """Return what was chosen and how to change it, a line each.

        Args:
            path: of the data.
            asked: keys that the user sets to something else.
        """
        reasons = {key: why for key, why in self.reasons.items() if key not in asked}
        shown = {key: f"{key} = {self._shown(key)}" for key in reasons}
        width = max(map(len, shown.values()), default=0)
        return [
            f"own data: {self.about}",
            "without a recipe, this one is made for them:",
            *(f"  {shown[key]:{width}}  {why}" for key, why in reasons.items()),
            "change a key with --set KEY=VALUE, or write the recipe to a file and edit that:",
            f"  asnn train {shell(path)} --dry-run > {self.document['name']}.toml",
        ]

    def _shown(self, key: str) -> str:
        section, _, name = key.partition(".")
        value = self.document[section][name]
        return f'"{value}"' if isinstance(value, str) else str(value).lower()


def own_recipe(path: str, asked: Mapping[str, Any]) -> Own:
    """Return a recipe for the data at a path, by what a sample of them shows.

    Args:
        path: of a folder, a zip, a table or an array file.
        asked: keys that the user set, such as `data.size`; they are taken into account.

    Raises:
        ConfigError, DataError: it is no data with classes; see `detect`.
    """
    from ...core.registry import keyword_options
    from ...datasets.detect import detect
    from ...datasets.load import dataset_registry

    options = {key[5:]: value for key, value in asked.items() if key.startswith("data.")}
    found = detect(path, options)
    known = keyword_options(dataset_registry.get(found.name))
    options = {key: value for key, value in options.items() if key in known}
    own = Own({"name": run_name(path), "description": "", "data": {"name": found.name}})
    for key, value in found.options.items():
        own.choose(f"data.{key}", value)
    own.reasons["data.name"] = "; ".join(found.notes) or READ[found.name]
    wanted = {**found.options, **options}
    if found.name == "folder":
        _images_in_files(own, wanted)
    elif found.name == "wav-folder":
        _audio(own, wanted, asked)
    elif found.name == "events-folder":
        _recordings_in_files(own, wanted)
    else:
        _loaded(own, found.name, wanted, asked)
    own.document["description"] = f"own data: {own.about}"
    return own


def run_name(path: str) -> str:
    """Return the name of the data in the names of runs: letters, digits, `_`, `-` and `.`."""
    stem = Path(path).expanduser().resolve()
    name = stem.name if stem.is_dir() else stem.stem
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "own"


def _images_in_files(own: Own, options: Mapping[str, Any]) -> None:
    from ...datasets.sources.damaged import pointing_to_survey
    from ...datasets.sources.images.opening import open_image
    from ...datasets.sources.sizes import height_and_width
    from ...datasets.sources.store import EXTENSIONS

    layout = _layout(options, EXTENSIONS, "image")
    train = layout.train
    with pointing_to_survey(options["path"]):
        sizes = [open_image(train.store, name).size for name in _spaced(train.names)]
    low, high = min(sizes, key=math.prod), max(sizes, key=math.prod)
    of_one_size = len(set(sizes)) == 1
    said = "{}x{}".format(*low) if of_one_size else "{}x{} to {}x{}".format(*low, *high)
    _about(own, layout, "image", f"of {said} pixels (height x width)")
    size = height_and_width(options.get("size"))
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
    from ...datasets.detect import shares_to_cut

    count = counts["train"]
    for part, share in shares_to_cut(counts).items():
        own.choose(f"data.{part}", share, "of the training samples: there is no such part")
        count = max(1, round(count * (1 - share)))
    batch = next((size for limit, size in ((500, 16), (2_000, 32)) if count <= limit), 64)
    own.choose("train.batch_size", batch, f"steps an epoch: {-(-count // batch):,}")
    epochs = max(5, min(30, round(DRAWS / cost / count)))
    own.choose("train.epochs", epochs, f"of {count:,} training samples")
    own.choose("train.lr", 0.001 if batch < 32 else 0.002, "for batches of this size")


def _audio(own: Own, options: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    from ...datasets.sources.series.wav import read_wav
    from ...datasets.sources.series.wav_folder import read_wav_layout
    from ...datasets.sources.tables import Columns
    from ...formats.errors import InvalidFile

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
    steps = asked.get(
        "coding.steps", options.get("steps", max(10, min(MAX_STEPS, round(typical * 70))))
    )
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


def _recordings_in_files(own: Own, options: Mapping[str, Any]) -> None:
    from ...datasets.sources.events.decode import Decoder
    from ...datasets.sources.events.fit import extent
    from ...datasets.sources.events.folder import SUFFIXES
    from ...datasets.sources.sizes import height_and_width

    layout = _layout(options, SUFFIXES, "recording")
    train = layout.train
    decoder = Decoder(train.store, height_and_width(options.get("size")))
    found = [decoder.recording(name) for name in _spaced(train.names, 20)]
    size = max(extent(each)[0] for each in found), max(extent(each)[1] for each in found)
    longest = max(int(each.t.max(initial=0)) for each in found)
    _about(
        own, layout, "recording", f"of up to {longest / 1000:,.0f} ms, {size[0]}x{size[1]} pixels"
    )
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


def _loaded(own: Own, name: str, options: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Choose for data that are read whole: arrays."""
    from ...datasets.load import load_source, spec_of

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
        _series(own, spec, source.train.targets, asked)
        _training(own, counts, 0.5)


def _series(own: Own, spec: SampleSpec, targets: Tensor, asked: Mapping[str, Any]) -> None:
    assert spec.steps is not None
    of_steps = targets.dim() > 1 and targets.shape[1] == spec.steps
    own.choose("coding.name", "given")
    steps = asked.get("coding.steps", spec.steps if of_steps else min(MAX_STEPS, spec.steps))
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
    from ...datasets.sources.class_folders import read_layout
    from ...datasets.sources.tables import Columns

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
