"""Detection: boxes with a class each, and their average precision."""

from .task import OUTPUTS_BESIDE_CLASSES, Detection

__all__ = ["OUTPUTS_BESIDE_CLASSES", "Detection"]
