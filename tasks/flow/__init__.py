"""Optical flow of events, learned without truth."""

from .seen import SeenEvents
from .task import Flow

__all__ = ["Flow", "SeenEvents"]
