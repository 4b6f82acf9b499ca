"""Layers of time-major tensors, from which networks are built."""

from ..readouts import Readout
from .convolution import SpikeConv2d
from .residual import Residual
from .spiking import SpikingLayer, use_kernels, used_kernels
from .stem import Stem, stem_norm

__all__ = [
    "Readout",
    "Residual",
    "SpikeConv2d",
    "SpikingLayer",
    "Stem",
    "stem_norm",
    "use_kernels",
    "used_kernels",
]
