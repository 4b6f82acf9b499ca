"""Synapses: filters over time in front of a weight."""

from .base import Synapse
from .registry import create_synapse, synapse_registry

__all__ = ["Synapse", "create_synapse", "synapse_registry"]
