"""Networks of exact spike times: layers, neurons and their equations."""

from .spike_times import SpikeTimes

__all__ = ["SpikeTimes"]
