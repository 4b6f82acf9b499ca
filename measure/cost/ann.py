"""The analog twin of a network, to compare its cost with."""

from __future__ import annotations

from typing import Any

import torch

from ...models.factory import create_model
from ...models.network import SpikingNetwork
from .operations import Counts, Operations


def twin_config(model: SpikingNetwork) -> dict[str, Any]:
    """Return the arguments of `create_model` for the ordinary network (ANN) of the same
    architecture: rectifiers for neurons, one look at the image."""
    config = model.config | {"coding": "direct", "coding_options": {}, "steps": 1}
    return config | {"neuron": "relu", "neuron_options": {}, "output_scale": False}


@torch.no_grad()
def dense_twin(model: SpikingNetwork) -> Counts:
    """Return what the analog twin spends on one image.

    Only its `dense` counts mean something: they follow from shapes, while what is effective would
    depend on weights, which it lacks.
    """
    config = twin_config(model)
    with torch.random.fork_rng([]):  # its first weights are drawn
        twin = create_model(config.pop("name"), **config).eval()
    with Operations(twin) as operations:
        twin(torch.zeros(1, *model.config["in_shape"]))
    return operations.counts()
