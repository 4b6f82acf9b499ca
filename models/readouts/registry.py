"""Readouts by name."""

from __future__ import annotations

from typing import Any

from ...core.registry import Registry, check_options
from .mean import Readout

readout_registry = Registry(
    "readouts",
    {
        "mean": "models.readouts.mean:Readout",
        "last": "models.readouts.last:LastReadout",
        "membrane": "models.readouts.membrane:MembraneReadout",
        "first-crossing": "models.readouts.crossing:FirstCrossingReadout",
        "spikes": "models.readouts.spikes:SpikesReadout",
    },
)


def for_one_step(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a readout for a network of one step, as the ANN counterpart is.

    One step cannot cross a number of counts.
    """
    if name == "first-crossing" and options.get("quantity") == "count":
        return {**options, "level": 0.0}
    return options


def create_readout(
    name: str, features: int, classes: int, *, steps: int, scaled: bool, **options: Any
) -> Readout:
    """Return the readout called `name`.

    Args:
        name: `mean`, `last`, `membrane`, `first-crossing`, `spikes`, or a readout that an installed
            package adds.
        features: F of its input `[T, B, F]`.
        classes: number of outputs K.
        steps: number of time steps T.
        scaled: give each step a learnable scale.
        options: options of the readout.

    Raises:
        ConfigError: an unknown name or an invalid option.
    """
    readout = readout_registry.get(name)
    check_options("readout", name, readout, {**options, "steps": steps, "scaled": scaled})
    return readout(features, classes, steps=steps, scaled=scaled, **options)
