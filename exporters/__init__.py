"""Exports that prove that they compute the same.

What writes and verifies needs torch and is imported when it is asked for; what reads and inspects
files does without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .export import Exported, export_nir, export_onnx, verify
    from .snntorch.module import source_of_module
    from .source import ExportSource, Samples, random_samples, source_of

__all__ = [
    "ExportSource",
    "Exported",
    "Samples",
    "export_nir",
    "export_onnx",
    "random_samples",
    "source_of",
    "source_of_module",
    "verify",
]


def __getattr__(name: str) -> Any:
    for module in ("export", "source", "snntorch.module"):
        if name in __all__:
            found = import_module(f".{module}", __name__)
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
