"""Spike files, the output of `asnn encode`: a NumPy archive that any tool can open.

Arrays of a file of time steps, format 1:
    spikes       uint8, the spike steps `[Ts, B, ...]` as packed bits (numpy.packbits of the flat
                 array)
    shape        int64, the shape of the full code `[T, B, ...]`
    analog       float32 `[Ta, B, ...]`, the analog steps, if the code has any
Arrays of a file of exact times, format 2:
    times        float64 `[E]`, the time of each spike; those of a sample are ascending
    address      int64 `[E]`, which value of the flat sample fires
    offsets      int64 `[B + 1]`: sample b has the spikes offsets[b] to offsets[b + 1]
    shape        int64, the shape of the dense code `[1, B, ..., S]`, at most S spikes an address
Arrays of both:
    labels       int64 `[B]`, the class of each sample, if known
    step_labels  int64 `[B, T]`, the class of each step, -1 for none, if known
    values       float32 `[B, ...]`, real values to predict, if known
    meta         JSON: format, code, options, steps, analog_steps, thresholds, version, source; the
                 kind and shape of the samples, and the names of the axes
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..core.documents import read_json
from ..core.errors import DataError
from ..core.files import ARCHIVE_ERRORS
from ..formats.arrays import MAX_RATIO, MAX_UNPACKED, read_npz
from . import stored_times
from .stored import StoredSteps
from .stored_times import StoredTimes

FORMAT = stored_times.FORMAT
"""The greatest number of a format that is read."""


@dataclass
class SpikeFile:
    """The contents of a spike file.

    Attributes:
        code: `[T, B, ...]`; uint8 if all steps are spikes, float32 if some are analog. Of exact
            times `[1, B, ..., S]`, float64, +inf for no spike; `meta["gives_times"]` says so.
        meta: code, options and steps.
        labels: classes `[B]`, or None.
        step_labels: classes of steps `[B, T]`, -1 for none, or None.
        values: real values `[B, ...]`, or None.
    """

    code: np.ndarray
    meta: dict[str, Any] = field(default_factory=dict)
    labels: np.ndarray | None = None
    step_labels: np.ndarray | None = None
    values: np.ndarray | None = None


TARGETS = {"labels": np.int64, "step_labels": np.int64, "values": np.float32}


def save_spikes(target: BinaryIO, file: SpikeFile) -> None:
    """Write a spike file to an open binary stream.

    Raises:
        DataError: a spike step holds values other than 0 and 1.
    """
    targets = {name: getattr(file, name) for name in TARGETS}
    if file.meta.get("gives_times"):
        save_code(target, StoredTimes.of(file.code), file.meta, targets)
        return
    analog_steps, static = int(file.meta.get("analog_steps", 0)), bool(file.meta.get("static"))
    steps = StoredSteps.of(file.code, analog_steps, static=static)
    save_code(target, steps, file.meta, targets)


def save_code(
    target: BinaryIO,
    code: StoredSteps | StoredTimes,
    meta: dict[str, Any],
    targets: Mapping[str, np.ndarray | None],
) -> None:
    """Write a spike file of a code to an open binary stream.

    Args:
        target: the stream.
        code: time steps, or exact times.
        meta: of the file; code, options and steps.
        targets: `labels`, `step_labels` or `values`.

    Raises:
        DataError: a spike step holds values other than 0 and 1.
    """
    arrays = code.arrays()
    about = {**meta, "format": arrays.pop("format")}
    arrays["meta"] = np.asarray(json.dumps(about))
    for name, dtype in TARGETS.items():
        found = targets.get(name)
        if found is not None:
            arrays[name] = np.asarray(found, dtype=dtype)
    np.savez(target, **arrays)


def targets_by_name(targets: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return targets by the name of their array: classes, classes of steps, or real values."""
    if targets is None:
        return {}
    if targets.dtype.kind == "f":
        return {"values": targets}
    return {"labels" if targets.ndim == 1 else "step_labels": targets}


def load_spikes(source: Path | str | bytes) -> SpikeFile:
    """Return the contents of a spike file, from a path or from bytes.

    Raises:
        DataError: it is not a spike file, or it is damaged.
    """
    name = "spike file" if isinstance(source, bytes) else str(source)
    stream = io.BytesIO(source) if isinstance(source, bytes) else Path(source)
    try:
        arrays = read_npz(stream)
        meta = read_json(str(arrays["meta"]))
        if int(meta["format"]) > FORMAT:
            raise ValueError(f"it has format {meta['format']}, this asnn reads up to {FORMAT}")
        shape = tuple(int(n) for n in arrays["shape"])
        read = _times if int(meta["format"]) == stored_times.FORMAT else _steps
        code = read(arrays, meta, shape)
        targets = {name: arrays[name] for name in TARGETS if name in arrays}
        for key, array in targets.items():
            expected = {"labels": shape[1:2], "step_labels": (*shape[1:2], shape[0])}.get(key)
            if array.shape[:1] != shape[1:2] or expected not in (None, array.shape):
                raise ValueError(f"{key} {list(array.shape)} for the code {list(shape)}")
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f"{name} is not a readable spike file",
            why=str(error),
            remedy="make it again with `asnn encode`",
        ) from error
    return SpikeFile(code, meta, **targets)


def _steps(
    arrays: dict[str, np.ndarray], meta: dict[str, Any], shape: tuple[int, ...]
) -> np.ndarray:
    analog_steps = int(meta["analog_steps"])
    spike_shape = (shape[0] - analog_steps, *shape[1:])
    count = math.prod(spike_shape)
    if min(spike_shape) < 0 or analog_steps < 0 or arrays["spikes"].size != (count + 7) // 8:
        raise ValueError("the number of bits does not fit the shape")
    _check_memory(arrays, shape, 4)
    code = np.unpackbits(arrays["spikes"], count=count).reshape(spike_shape)
    if not analog_steps:
        return code
    analog = np.broadcast_to(arrays["analog"], (analog_steps, *shape[1:]))
    return np.concatenate([analog, code.astype(np.float32)])


def _times(
    arrays: dict[str, np.ndarray], meta: dict[str, Any], shape: tuple[int, ...]
) -> np.ndarray:
    stored = StoredTimes.from_arrays(arrays)
    _check_memory(arrays, shape, 8)
    return stored.dense()


def _check_memory(arrays: dict[str, np.ndarray], shape: tuple[int, ...], size: int) -> None:
    """Refuse a code that takes far more memory than its file."""
    available = sum(array.nbytes for array in arrays.values())
    if math.prod(shape) * size > max(MAX_UNPACKED, MAX_RATIO * available):
        raise ValueError(f"a code of shape {list(shape)} takes too much memory")
