"""Adaptive neurons and the networks that are built of them."""

import sys

from . import layers
from .factory import create_model, model_registry
from .layers.spiking import use_kernels
from .network import Blueprint, SpikingNetwork
from .networks import blocks
from .neurons.leaky import (
    AdaptiveLeaky,
    FixedLeaky,
    LeakyOptions,
    LeakyParameters,
    LeakyState,
    leaky_step,
    neuron_registry,
)
from .neurons.surrogates import spike
from .saved import load_run, save_model

__all__ = [
    "AdaptiveLeaky",
    "Blueprint",
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

# Where plug-ins written for 0.1.0 import layers from.
sys.modules[f"{__name__}.convolution"] = layers.convolution
sys.modules[f"{__name__}.residual"] = layers.residual
