"""Layers that read neighbouring steps: convolutions over time, and a gate of spikes."""

from .convolution import TemporalConv
from .gate import GatedSpikes
from .start import StartedSpikes
from .taps import TapConv2d

__all__ = ["GatedSpikes", "StartedSpikes", "TapConv2d", "TemporalConv"]
