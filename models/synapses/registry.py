"""Synapses by name."""

from __future__ import annotations

from typing import Any

from ...core.registry import Registry, check_options
from .base import Synapse

synapse_registry = Registry(
    "synapses",
    {
        "none": "models.synapses.registry:no_synapse",
        "exp": "models.synapses.exponential:Exp",
        "dual-exp": "models.synapses.exponential:DualExp",
        "traces": "models.synapses.traces:Traces",
    },
)


def no_synapse(channels: int, *, steps: int) -> None:
    """Return None: weights read spikes as they are."""


def create_synapse(name: str, channels: int, *, steps: int, **options: Any) -> Synapse | None:
    """Return the synapse called `name`, None for `none`.

    Args:
        name: `none`, `exp`, `dual-exp`, `traces`, or a synapse that an installed package adds.
        channels: C of its input `[T, B, C, ...]`.
        steps: number of time steps T.
        options: options of the synapse.

    Raises:
        ConfigError: an unknown name or an invalid option.
    """
    synapse = synapse_registry.get(name)
    check_options("synapse", name, synapse, {**options, "steps": steps})
    return synapse(channels, steps=steps, **options)
