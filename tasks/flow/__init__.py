"""Optical flow of events, learned without truth."""

from .task import Flow

__all__ = ["Flow"]
