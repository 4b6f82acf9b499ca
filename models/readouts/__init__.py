"""Readouts: from the features of the last layer to outputs of each step, and what they answer."""

from .decision import Decision, first_crossing
from .mean import Readout
from .registry import create_readout, readout_registry

__all__ = ["Decision", "Readout", "create_readout", "first_crossing", "readout_registry"]
