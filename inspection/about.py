"""What is in a file or a run, as plain values that go into JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..formats.array_headers import Array, read_arrays, read_text
from ..formats.opening import kind_of
from ..formats.safetensors import Weights, read_configuration, read_weights


def inspect(path: Path | str) -> dict[str, Any]:
    """Return what a file holds, or a run; what it is, is told by its content.

    Every answer has `path`, `kind` (`run`, `nir`, `onnx`, `safetensors`, `npz` or `npy`), `size`
    in bytes and `warnings`. torch is not needed for any of them, and nothing in a file is run.

    Raises:
        DataError: there is no such file or run, it is of no known kind, damaged or hostile.
    """
    path = Path(path)
    if path.is_dir():
        from .run import about_run

        return about_run(path)
    kind = kind_of(path)
    if kind == "nir":
        from .nir import about_nir

        about = about_nir(path)
    elif kind == "onnx":
        from .onnx import about_onnx

        about = about_onnx(path)
    elif kind == "safetensors":
        about = about_weights(read_weights(path))
    else:
        about = about_arrays(path)
    return {"path": str(path), "kind": kind, "size": os.path.getsize(path), **about}


def about_weights(weights: Weights) -> dict[str, Any]:
    """Return the tensors of a safetensors file, and the network that its header describes."""
    found = read_configuration(weights)
    warnings = [] if found else ["it was not written by asnn: no header says what network it is of"]
    return {
        "model": None if found is None else found["model"],
        "labels": [] if found is None else found.get("labels") or [],
        "parameters": sum(stored.count for stored in weights.tensors.values()),
        "tensors": {
            name: {"dtype": stored.dtype, "shape": list(stored.shape)}
            for name, stored in weights.tensors.items()
        },
        "metadata": {k: v for k, v in weights.metadata.items() if k != "asnn" or found is None},
        "warnings": warnings,
    }


def about_arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of a NumPy file, and how a spike file was made."""
    arrays = read_arrays(path)
    names = {array.name for array in arrays}
    spikes = {"spikes", "shape", "meta"} <= names
    return {
        "arrays": {array.name: _array(array) for array in arrays},
        "spikes": read_text(path, "meta") if spikes else None,
        "warnings": [],
    }


def _array(array: Array) -> dict[str, Any]:
    return {"dtype": str(array.dtype), "shape": list(array.shape), "bytes": array.bytes}
