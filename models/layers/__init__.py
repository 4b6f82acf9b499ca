"""Layers of time-major tensors, of which networks are built."""

from .convolution import SpikeConv2d
from .residual import Residual
from .spiking import Readout, SpikingLayer, Stem, use_kernels, used_kernels

__all__ = [
    "Readout",
    "Residual",
    "SpikeConv2d",
    "SpikingLayer",
    "Stem",
    "use_kernels",
    "used_kernels",
]
