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
        "earliest": "models.readouts.earliest:EarliestReadout",
        "spike-count": "models.readouts.spike_count:SpikeCountReadout",
        "bottleneck": "models.readouts.bottleneck:BottleneckReadout",
    },
)


def of_ann(
    name: str, options: dict[str, Any], *, one_step: bool = False
) -> tuple[str, dict[str, Any]]:
    """Return the readout of the ANN counterpart: its name and its options.

    It is that of the network, but `mean` instead of one that sends spikes, which an ANN has not.
    One step cannot cross a number of counts, but one.

    Args:
        name, options: of the readout of the network.
        one_step: whether the counterpart has a single step.
    """
    if getattr(readout_registry.get(name), "sends_spikes", False):
        return "mean", {}
    if one_step and name == "first-crossing" and options.get("quantity") == "count":
        return name, {**options, "level": 0.0}
    return name, options


def create_readout(
    name: str, features: int, classes: int, *, steps: int, scaled: bool, **options: Any
) -> Readout:
    """Return the readout called `name`.

    Args:
        name: `mean`, `last`, `membrane`, `first-crossing`, `spikes`, `bottleneck`, or a readout
            that an installed package adds.
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
