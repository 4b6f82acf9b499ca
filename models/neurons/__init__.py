"""Spiking neurons: a pure step, one time loop, and a thin module around them."""

from .functional.leaky import LeakyOptions, LeakyParameters, LeakyState, leaky_step
from .leaky import AdaptiveLeaky, FixedLeaky
from .registry import neuron_registry
from .relu import Relu
from .surrogates import spike

__all__ = [
    "AdaptiveLeaky",
    "FixedLeaky",
    "LeakyOptions",
    "LeakyParameters",
    "LeakyState",
    "Relu",
    "leaky_step",
    "neuron_registry",
    "spike",
]
