"""Data sets: splits of samples and targets, and a fingerprint of their content."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..coding.samples import EventBatch, EventList, SampleSpec
from ..core.registry import unknown
from .events import Events

MOMENT_SAMPLES = 5_000
"""Samples of a lazy training split for its mean and standard deviation."""

CHUNK = 4_096


@runtime_checkable
class LazyInputs(Protocol):
    """Samples that are decoded at access; picklable, for the workers of a DataLoader.

    A sample is an image or a series (a tensor), or the events of a recording. If an object also
    has `identity(index) -> str` (such as name and size of a file), its fingerprint is computed
    from that instead of the values.
    """

    shape: tuple[int, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Tensor | EventList: ...


Inputs = Tensor | LazyInputs | Events

TargetKind = Literal["boxes", "flow"]
"""Targets that dtype and shape do not tell from values and images; see `Split`."""


@dataclass(frozen=True)
class Split:
    """The samples of a part of a data set, in memory or lazy, with a target each.

    Attributes:
        inputs: images `[N, C, H, W]`, uint8 or float32 in [0, 1]; series `[N, T, ...]` float32; or
            N recordings of events.
        targets: classes `[N]` int64, classes of each step `[N, T]` int64 with -1 for none, or real
            values `[N, ...]` float32, NaN where one is not known. Boxes are float32 `[N, M, 5]`, up
            to M of each sample, see `asnn.datasets.boxes`. Flow is float32 `[N, 2, H, W]`, or
            `[N, 2, 1, 1]` where all pixels move alike: pixels to the right and down over the
            duration of a recording.
        ids: the number of each sample in the collection that it is from, int64 `[N]`, where its
            loader knows it; parts of one recording have the same.
    """

    inputs: Inputs
    targets: Tensor
    ids: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def images(self) -> Inputs:
        """`inputs`, as 0.1.0 called them."""
        return self.inputs

    @property
    def labels(self) -> Tensor:
        """`targets`, as 0.1.0 called them."""
        return self.targets


@dataclass(frozen=True)
class Source:
    """The result of a loader; parts that are None are cut from the training part.

    Attributes:
        train, test, validation: the parts.
        classes: their names; empty if the targets are real values.
        full_scale: the uint8 value of 1.0 in images.
        spec: kind and shape of the samples; images of the training part's shape by default.
        notes: how the files were read, where there was a choice; a line each.
        target: what the targets are, if they are boxes or flow.
    """

    train: Split
    test: Split | None
    classes: list[str]
    full_scale: float = 255.0
    validation: Split | None = None
    spec: SampleSpec | None = None
    notes: Sequence[str] = ()
    target: TargetKind | None = None


@dataclass(frozen=True)
class DataSet:
    """Three disjoint splits of one source.

    `notes` says how it was read and cut, where there was a choice; a line each. `target` says what
    the targets are, if they are boxes or flow.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: list[str]
    full_scale: float
    fingerprint: str
    spec: SampleSpec
    notes: Sequence[str] = ()
    target: TargetKind | None = None

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The shape of one step of a sample, without time: (C, H, W) of an image."""
        return self.spec.shape

    def split(self, name: str) -> Split:
        """Return the split called `train`, `validation` or `test`.

        Raises:
            ConfigError: an unknown name.
        """
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        if name not in splits:
            raise unknown("split", name, list(splits))
        return splits[name]

    def moments(self) -> tuple[list[float], list[float]] | None:
        """Return mean and standard deviation of the training samples, by channel or feature.

        Images are in [0, 1]. A lazy split is sampled at 5,000 equally spaced samples. A constant
        channel has deviation 1, so that division by it is safe. Events have no moments, None: a
        pixel without events stays 0.
        """
        if self.spec.kind == "events":
            return None
        channel = 2 if self.spec.kind == "series" else 1
        total, squares = torch.zeros(2, self.spec.shape[0], dtype=torch.float64)
        seen = 0
        for chunk in _chunks(self.train.inputs):
            values = chunk.double()
            if chunk.dtype == torch.uint8:
                values /= self.full_scale
            axes = [axis for axis in range(values.dim()) if axis != channel]
            total += values.sum(axes)
            squares += values.square().sum(axes)
            seen += values.numel() // values.shape[channel]
        mean = total / seen
        deviation = (squares / seen - mean.square()).clamp(min=0).sqrt()
        # Below 1e-6 is rounding: a step of uint8 is 1/255.
        deviation[deviation < 1e-6] = 1.0
        return mean.tolist(), deviation.tolist()


def fingerprint(*splits: Split) -> str:
    """Return the sha256 over targets and samples of the splits, in order.

    Lazy samples enter by their identity, so that none is decoded.
    """
    digest = hashlib.sha256()
    for split in splits:
        digest.update(split.targets.contiguous().numpy().data)
        if isinstance(split.inputs, Events):
            split.inputs.update(digest)
            continue
        if isinstance(split.inputs, Tensor):
            for chunk in split.inputs.split(CHUNK):
                digest.update(chunk.contiguous().numpy().data)
            continue
        identity = getattr(split.inputs, "identity", None)
        for index in range(len(split)):
            if identity is not None:
                digest.update(f"{identity(index)}\n".encode())
            else:
                digest.update(_tensor(split.inputs[index]).contiguous().numpy().data)
    return digest.hexdigest()


def _chunks(inputs: Inputs) -> Iterator[Tensor]:
    if isinstance(inputs, Tensor):
        yield from inputs.split(CHUNK)
        return
    assert not isinstance(inputs, Events)
    count = min(MOMENT_SAMPLES, len(inputs))
    chosen = [number * len(inputs) // count for number in range(count)]
    for start in range(0, count, 256):
        yield torch.stack([_tensor(inputs[index]) for index in chosen[start : start + 256]])


def _tensor(sample: Any) -> Tensor:
    assert isinstance(sample, Tensor), "lazy events have an identity"
    return sample


def sample_at(split: Split, index: int) -> Any:
    """Return one sample: an image, a series, or a batch of one recording of events."""
    if isinstance(split.inputs, Events):
        return split.inputs.batch(torch.tensor([index]))
    found = split.inputs[index]
    if isinstance(found, Tensor):
        return found
    spec: SampleSpec = split.inputs.spec  # type: ignore[union-attr]
    assert spec.duration is not None
    return EventBatch.of([found], spec.shape, spec.duration)
