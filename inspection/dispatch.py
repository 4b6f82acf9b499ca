"""Inspection of a path by its kind, and of the two kinds without a module of their own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..formats.array_headers import ArrayInfo, read_array_headers, read_text
from ..formats.hdf5 import NoGraph
from ..formats.kinds import detect_kind
from ..formats.safetensors import Weights, read_configuration, read_weights
from ..records.exports import state_of_file


def inspect(path: Path | str) -> dict[str, Any]:
    """Return the contents of a file or a run; its kind is detected from the content.

    Every result has `path`, `kind` (`run`, `nir`, `onnx`, `safetensors`, `npz`, `npy` or
    `events`), `size` in bytes and `warnings`. torch is not imported, and nothing in a file is run.

    Raises:
        DataError: the path is missing, of an unknown kind, damaged or hostile.
    """
    path = Path(path)
    if path.is_dir():
        from .run import inspect_run

        return inspect_run(path)
    kind = detect_kind(path)
    if kind == "nir":
        kind, found = _inspect_hdf5(path)
    elif kind == "onnx":
        from .onnx import inspect_onnx

        found = inspect_onnx(path)
    elif kind == "safetensors":
        found = inspect_weights(read_weights(path))
    elif kind == "events":
        from .events import inspect_events

        found = inspect_events(path)
    else:
        kind, found = _inspect_numpy(path, kind)
    if kind in ("nir", "onnx"):
        found |= _verification(path, found["warnings"])
    return {"path": str(path), "kind": kind, "size": os.path.getsize(path), **found}


def _verification(path: Path, warnings: list[str]) -> dict[str, Any]:
    """Return whether the verification report beside an exported file still holds."""
    state = state_of_file(path)
    if state is None:
        return {"verification": None}
    if state.reason:
        warnings = [*warnings, f"the export {state.reason}"]
    return {"verification": state.state, "warnings": warnings}


def _inspect_hdf5(path: Path) -> tuple[str, dict[str, Any]]:
    from .nir import inspect_nir

    try:
        return "nir", inspect_nir(path)
    except NoGraph as no_graph:
        if path.suffix.lower() == ".nir":
            raise
        from .events import inspect_recorded_hdf5

        return "events", inspect_recorded_hdf5(path, no_graph)


def _inspect_numpy(path: Path, kind: str) -> tuple[str, dict[str, Any]]:
    from .events import are_columns, inspect_events

    arrays = read_array_headers(path)
    if are_columns(arrays):
        return "events", inspect_events(path)
    return kind, inspect_arrays(path, arrays)


def inspect_weights(weights: Weights) -> dict[str, Any]:
    """Return the tensors of a safetensors file, and the network that its header describes."""
    configuration = read_configuration(weights)
    by_asnn = configuration is not None
    warnings = [] if by_asnn else ["asnn did not write it: its header does not describe a network"]
    return {
        "model": configuration["model"] if by_asnn else None,
        "labels": configuration.get("labels") or [] if by_asnn else [],
        "parameters": sum(info.count for info in weights.tensors.values()),
        "tensors": {
            name: {"dtype": info.dtype, "shape": list(info.shape)}
            for name, info in weights.tensors.items()
        },
        "metadata": {k: v for k, v in weights.metadata.items() if k != "asnn" or not by_asnn},
        "warnings": warnings,
    }


def inspect_arrays(path: Path, arrays: list[ArrayInfo]) -> dict[str, Any]:
    """Return the arrays of a NumPy file, and the metadata of a spike file."""
    names = {array.name for array in arrays}
    is_spike_file = {"shape", "meta"} <= names and not names.isdisjoint({"spikes", "times"})
    return {
        "arrays": {
            array.name: {
                "dtype": str(array.dtype),
                "shape": list(array.shape),
                "bytes": array.bytes,
            }
            for array in arrays
        },
        "spikes": read_text(path, "meta") if is_spike_file else None,
        "warnings": [],
    }
