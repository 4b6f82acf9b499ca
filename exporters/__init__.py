"""Exports that prove that they compute the same."""

from .exporting import Exported, export_nir, export_onnx, verify
from .subject import Samples, Subject, random_samples, subject_of

__all__ = [
    "Exported",
    "Samples",
    "Subject",
    "export_nir",
    "export_onnx",
    "random_samples",
    "subject_of",
    "verify",
]
