"""Presets of cases and targets: `asnn bench --preset NAME`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.registry import unknown
from . import architectures, targets, temporal
from .run import Job


@dataclass(frozen=True)
class Preset:
    """Measurements and their targets.

    Attributes:
        jobs: returns the measurements.
        targets: returns every target with its result.
        rounds: default number of interleaved rounds.
    """

    jobs: Callable[[], list[Job]]
    targets: Callable[[list[dict[str, Any]]], list[targets.Target]]
    rounds: int


PRESETS = {
    "paper": Preset(targets.jobs, targets.targets, rounds=7),
    # Few, because a step of the largest network takes seconds.
    "architectures": Preset(architectures.jobs, architectures.targets, rounds=3),
    "temporal": Preset(temporal.jobs, temporal.targets, rounds=7),
}


def preset_of(name: str) -> Preset:
    """Return a preset.

    Raises:
        ConfigError: the name is unknown.
    """
    if name not in PRESETS:
        raise unknown("preset", name, list(PRESETS))
    return PRESETS[name]
