"""Samples of every kind: random images, events and series, and the codes that take them."""

from types import SimpleNamespace

import numpy as np
import torch

from asnn.coding import coding_registry
from asnn.coding.samples import EventBatch, SampleSpec

DURATION = 1_000
CODES = [name for name in coding_registry.builtin if not coding_registry.get(name).gives_times]


def kind_of(coding: str) -> str:
    """Return the kind of samples that a built-in code takes."""
    (kind,) = coding_registry.get(coding).takes
    return kind


IMAGE_CODES = [name for name in CODES if kind_of(name) == "image"]


def spec_for(coding: str, shape: tuple[int, ...], steps: int) -> SampleSpec:
    """Return samples for a code, with steps of about the shape (C, H, W)."""
    kind = kind_of(coding)
    if kind == "events":
        return SampleSpec(kind, (2, *shape[1:]), duration=DURATION)
    return SampleSpec(kind, shape, steps=steps if kind == "series" else None)


def recording(count: int, shape: tuple[int, ...], seed: object = 0, duration: int = DURATION):
    """Return random events of a sensor (P, H, W), sorted by time."""
    random = np.random.default_rng(seed)
    polarities, height, width = shape
    return SimpleNamespace(
        t=np.sort(random.integers(0, duration, count)),
        x=random.integers(0, width, count),
        y=random.integers(0, height, count),
        p=random.integers(0, polarities, count),
    )


def batch_of(spec: SampleSpec, count: int, seed: int = 0):
    """Return a batch of random samples."""
    if spec.kind == "events":
        sizes = [50 + 10 * i for i in range(count)]
        recordings = [recording(n, spec.shape, (seed, i)) for i, n in enumerate(sizes)]
        return EventBatch.of(recordings, spec.shape, spec.duration)
    shape = spec.shape if spec.kind == "image" else (spec.steps, *spec.shape)
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))
