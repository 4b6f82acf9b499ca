"""Exports that prove that they compute the same."""

from typing import TYPE_CHECKING

from ..core.lazy import lazy_names

if TYPE_CHECKING:
    from .export import verify
    from .exported import Exported
    from .nir.export import export_nir
    from .onnx.export import export_onnx
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
        "Exported": f"{__name__}.exported",
        "export_nir": f"{__name__}.nir.export",
        "export_onnx": f"{__name__}.onnx.export",
        "verify": f"{__name__}.export",
        **dict.fromkeys(
            ("ExportSource", "Samples", "random_samples", "source_of"), f"{__name__}.source"
        ),
        "source_of_module": f"{__name__}.snntorch.module",
    },
)
