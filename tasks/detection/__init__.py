"""Detection: boxes with a class each, and their average precision."""

from .task import Detection

__all__ = ["Detection"]
