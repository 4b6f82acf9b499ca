"""The registry of codes."""

from __future__ import annotations

from typing import Any

from ..core.registry import Registry, check_options
from .base import Coding

coding_registry = Registry(
    "codings",
    {
        "direct": "coding.images.direct:Direct",
        "impulse": "coding.images.impulse:Impulse",
        "temporal": "coding.images.slots:Temporal",
        "hybrid": "coding.images.hybrid:HybridTemporal",
        "embedding": "coding.images.slots:Embedding",
        "hybrid-embedding": "coding.images.hybrid:HybridEmbedding",
        "rate": "coding.images.rate:Rate",
        "latency": "coding.images.latency:Latency",
        "bins": "coding.images.bins:Bins",
        "ttfs": "coding.images.ttfs:Ttfs",
        "delta": "coding.images.delta:Delta",
        "phase": "coding.images.phase:Phase",
        "burst": "coding.images.burst:Burst",
        "frames": "coding.event_frames:Frames",
        "voxel": "coding.event_frames:Voxel",
        "time-surface": "coding.event_frames:TimeSurface",
        "given": "coding.given:Given",
        "times": "coding.times:Times",
    },
)


def create_coding(name: str, *, steps: int, **options: Any) -> Coding:
    """Return the code called `name` over `steps` time steps.

    Args:
        name: one of `coding_registry.names()`: of images, events or series, built in or added by an
            installed package.
        steps: number of time steps T.
        options: options of the code, such as `thresholds="quantile"`.

    Raises:
        ConfigError: an unknown name, or an invalid number of steps or option.
    """
    coding = coding_registry.get(name)
    check_options("coding", name, coding, options)
    return coding(steps=steps, **options)
