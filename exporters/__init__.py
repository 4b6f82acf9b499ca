"""Exports that prove that they compute the same."""

from typing import TYPE_CHECKING

from ..core.lazy import lazy_names

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

# What exports and verifies needs torch; what reads files does without.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        **dict.fromkeys(("Exported", "export_nir", "export_onnx", "verify"), f"{__name__}.export"),
        **dict.fromkeys(
            ("ExportSource", "Samples", "random_samples", "source_of"), f"{__name__}.source"
        ),
        "source_of_module": f"{__name__}.snntorch.module",
    },
)
