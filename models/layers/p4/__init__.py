"""Layers of the group p4: what they compute of a turned image is turned in the same way."""

from .convolution import P4Conv2d
from .pooling import GroupPool
from .sharing import Shared
from .spiking import P4SpikingLayer

__all__ = ["GroupPool", "P4Conv2d", "P4SpikingLayer", "Shared"]
