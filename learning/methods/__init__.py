"""Methods: how weights are learned, in one stage or several."""

from .base import Method, Stage
from .registry import create_method, method_registry

__all__ = ["Method", "Stage", "create_method", "method_registry"]
