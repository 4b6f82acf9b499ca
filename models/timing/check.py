"""Exact times and time steps do not mix."""

from __future__ import annotations

from typing import Any

from ...core.errors import ConfigError
from .layer import timing_layers
from .neuron import TimingNeuron


def require_one_kind(model: Any) -> None:
    """Refuse a network of time steps with a neuron, a code or a readout of exact times.

    Raises:
        ConfigError: with what to choose.
    """
    if timing_layers(model):
        return
    found = {
        f"the neuron {type(part).__name__}": "another model.neuron"
        for part in model.modules()
        if isinstance(part, TimingNeuron)
    }
    if model.coding.gives_times:
        found[f"the code {model.coding.name}"] = "another coding.name"
    if model.readout.reads_times:
        found[f"the readout {type(model.readout).__name__}"] = "another readout.name"
    if found:
        what, other = next(iter(found.items()))
        raise ConfigError(
            f"{what} has exact times, this network time steps",
            why="its layers compute one step after another",
            remedy=f"set model.name=timing-mlp or timing-conv, or {other}",
        )
