"""Adaptive neurons and the networks that are built of them."""

import sys

from . import layers
from .factory import create_model, model_registry
from .layers.spiking import use_kernels
from .network import BuildContext, SpikingNetwork
from .networks import blocks
from .neurons import (
    AdaptiveLeaky,
    FixedLeaky,
    LeakyOptions,
    LeakyParameters,
    LeakyState,
    leaky_step,
    neuron_registry,
    spike,
)
from .saved import load_run, save_model

__all__ = [
    "AdaptiveLeaky",
    "BuildContext",
    "FixedLeaky",
    "LeakyOptions",
    "LeakyParameters",
    "LeakyState",
    "SpikingNetwork",
    "blocks",
    "create_model",
    "leaky_step",
    "load_run",
    "model_registry",
    "neuron_registry",
    "save_model",
    "spike",
    "use_kernels",
]

# Names and module paths by which plug-ins that were written for 0.1.0 import.
Blueprint = BuildContext
sys.modules[f"{__name__}.convolution"] = layers.convolution
sys.modules[f"{__name__}.residual"] = layers.residual
