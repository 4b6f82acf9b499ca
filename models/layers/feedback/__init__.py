"""Spiking convolutions whose neurons read their own spikes, or the input of their layer."""

from .layer import FeedbackLayer

__all__ = ["FeedbackLayer"]
