"""The analog twin of a network, to compare its cost with."""

from __future__ import annotations

import torch

from ..models.factory import create_model
from ..models.network import SpikingNetwork
from .operations import Counts, Operations


@torch.no_grad()
def dense_twin(model: SpikingNetwork) -> Counts:
    """Return what the ordinary network (ANN) of the same architecture spends on one image.

    It has rectifiers for neurons and sees the image once. Only its `dense` counts mean something:
    they follow from shapes, while what is effective would depend on weights, which it lacks.
    """
    config = model.config | {"coding": "direct", "coding_options": {}, "steps": 1}
    config |= {"neuron": "relu", "neuron_options": {}, "output_scale": False}
    with torch.random.fork_rng([]):  # its first weights are drawn
        twin = create_model(config.pop("name"), **config).eval()
    with Operations(twin) as operations:
        twin(torch.zeros(1, *model.config["in_shape"]))
    return operations.counts()
