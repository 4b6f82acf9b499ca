"""How many samples a file is verified on where nobody says, so that the time is bounded."""

from __future__ import annotations

import math

from ..source import ExportSource

MAX_SAMPLES = 512
MIN_SAMPLES = 16
VALUES = 200_000_000  # of all layers, steps and samples: some ten seconds on one core


def default_samples(source: ExportSource) -> int:
    """Return a number of samples by what a network computes for each: its layers' values, T times.

    It depends on the network alone, so that a second verification takes the same samples.
    """
    graph = getattr(source, "graph", None)
    if graph is None:  # of exact times
        return MAX_SAMPLES
    each = graph.steps * sum(math.prod(shape) for shape in graph.shapes.values())
    return max(MIN_SAMPLES, min(MAX_SAMPLES, VALUES // max(1, each)))
