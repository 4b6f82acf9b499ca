"""Cases and promises that belong together, by name: `asnn bench --preset NAME`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.registry import unknown
from . import architectures, targets
from .run import Job


@dataclass(frozen=True)
class Preset:
    """What is measured, and what it must show.

    Attributes:
        jobs: returns what has to be measured.
        targets: returns every promise with what was found.
        rounds: interleaved rounds where nobody asks for a number.
    """

    jobs: Callable[[], list[Job]]
    targets: Callable[[list[dict[str, Any]]], list[targets.Target]]
    rounds: int


PRESETS = {
    "paper": Preset(targets.jobs, targets.targets, rounds=7),
    # A step of the largest network takes seconds.
    "architectures": Preset(architectures.jobs, architectures.targets, rounds=3),
}


def preset_of(name: str) -> Preset:
    """Return a preset.

    Raises:
        ConfigError: none has that name.
    """
    if name not in PRESETS:
        raise unknown("preset", name, list(PRESETS))
    return PRESETS[name]
