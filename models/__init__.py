"""Adaptive neurons and the networks that are built of them."""

from .factory import create_model, model_registry
from .layers import use_kernels
from .network import Blueprint, SpikingNetwork
from .neurons import (
    AdaptiveLeaky,
    FixedLeaky,
    LeakyOptions,
    LeakyParameters,
    LeakyState,
    leaky_step,
    neuron_registry,
)
from .saved import load_run, save_model
from .surrogates import spike

__all__ = [
    "AdaptiveLeaky",
    "Blueprint",
    "FixedLeaky",
    "LeakyOptions",
    "LeakyParameters",
    "LeakyState",
    "SpikingNetwork",
    "create_model",
    "leaky_step",
    "load_run",
    "model_registry",
    "neuron_registry",
    "save_model",
    "spike",
    "use_kernels",
]
