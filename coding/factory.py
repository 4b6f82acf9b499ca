"""The registry of codes."""

from __future__ import annotations

from typing import Any

from ..core.registry import Registry, check_options
from .base import Coding

coding_registry = Registry(
    "codings",
    {
        "direct": "coding.direct:Direct",
        "temporal": "coding.slots:Temporal",
        "hybrid": "coding.hybrid:HybridTemporal",
        "embedding": "coding.slots:Embedding",
        "hybrid-embedding": "coding.hybrid:HybridEmbedding",
        "rate": "coding.rate:Rate",
        "latency": "coding.latency:Latency",
        "delta": "coding.delta:Delta",
        "frames": "coding.event_frames:Frames",
        "voxel": "coding.event_frames:Voxel",
        "time-surface": "coding.event_frames:TimeSurface",
        "given": "coding.given:Given",
    },
)


def create_coding(name: str, *, steps: int, **options: Any) -> Coding:
    """Return the code called `name` over `steps` time steps.

    Args:
        name: of images `direct`, `temporal`, `hybrid`, `embedding`, `hybrid-embedding`, `rate`,
            `latency`, `delta`; of events `frames`, `voxel`, `time-surface`; of series `given`; or
            a code that an installed package adds.
        steps: number of time steps T.
        options: options of the code, such as `thresholds="quantile"`.

    Raises:
        ConfigError: an unknown name, or an invalid number of steps or option.
    """
    coding = coding_registry.get(name)
    check_options("coding", name, coding, options)
    return coding(steps=steps, **options)
