"""The contents of a file or a run, as plain values for JSON."""

from .dispatch import inspect

__all__ = ["inspect"]
