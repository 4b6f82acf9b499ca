"""The ANN counterpart of a network, with which its cost is compared."""

from __future__ import annotations

from typing import Any

import torch

from ...core.errors import ConfigError
from ...models.factory import create_model
from ...models.network import SpikingNetwork
from ...models.readouts.registry import of_ann
from .operations import Counts, Operations


def why_no_ann(model: SpikingNetwork) -> str | None:
    """Return why a network has no ANN counterpart, the `without_ann` of a layer; None if it has."""
    reasons = (getattr(layer, "without_ann", None) for layer in model.modules())
    return next((reason for reason in reasons if reason is not None), None)


def ann_config(model: SpikingNetwork) -> dict[str, Any]:
    """Return the arguments of `create_model` for the ANN counterpart: the same architecture with
    ReLU in place of the neurons, and a single step; samples that bring time keep their steps. Where
    an accumulator adds up windows it has a step for each window, if the code has frames of counts:
    values that say at once what the spikes of a window add up to.

    Raises:
        ConfigError: the network has no ANN counterpart.
    """
    why = why_no_ann(model)
    if why is not None:
        name = model.config["name"]
        raise ConfigError(
            f"{name} has no ANN counterpart", why=why, remedy="compare it with another network"
        )
    config = model.config | {"neuron": "relu", "neuron_options": {}, "output_scale": False}
    one_step = "image" in model.coding.takes
    if "readout" in config:
        readout = of_ann(config["readout"], config["readout_options"], one_step=one_step)
        config["readout"], config["readout_options"] = readout
    if not one_step:
        return config | _in_windows(model, config)
    if "windows" in config:
        config["windows"] = 1  # of one step
    options = model.coding.of_counterpart()
    return config | {"coding": "direct", "coding_options": options, "steps": 1}


def _in_windows(model: SpikingNetwork, config: dict[str, Any]) -> dict[str, Any]:
    """Return the steps and the options of the code of a counterpart that has a step a window."""
    windows = len(model.output_steps)
    own = model.coding.of_windows(windows) if model.steps_per_output > 1 else None
    if own is None:
        return {}
    return {"steps": windows, "coding_options": {**config["coding_options"], **own}}


@torch.no_grad()
def dense_ann_counts(model: SpikingNetwork) -> Counts:
    """Return the operations of the ANN counterpart for one sample.

    Only the `dense` counts are meaningful: they follow from shapes. The effective ones would depend
    on weights, and the counterpart is not trained.

    Raises:
        ConfigError: the network has no ANN counterpart.
    """
    config = ann_config(model)
    with torch.random.fork_rng([]):  # its initial weights are random
        ann = create_model(config.pop("name"), **config).eval()
    with Operations(ann) as operations:
        assert ann.step_shape is not None
        ann.run(torch.zeros(ann.coding.steps, 1, *ann.step_shape))
    return operations.counts()
