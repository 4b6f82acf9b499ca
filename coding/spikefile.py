"""Spike files, the output of `asnn encode`: a NumPy archive that any tool can open.

Arrays of the file:
    spikes       uint8, the spike steps `[Ts, B, ...]` as packed bits (numpy.packbits of the flat
                 array)
    shape        int64, the shape of the full code `[T, B, ...]`
    analog       float32 `[Ta, B, ...]`, the analog steps, if the code has any
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
from .stored import StoredSteps

FORMAT = 1


@dataclass
class SpikeFile:
    """The contents of a spike file.

    Attributes:
        code: `[T, B, ...]`; uint8 if all steps are spikes, float32 if some are analog.
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
    analog_steps, static = int(file.meta.get("analog_steps", 0)), bool(file.meta.get("static"))
    steps = StoredSteps.of(file.code, analog_steps, static=static)
    save_steps(target, steps, file.meta, {name: getattr(file, name) for name in TARGETS})


def save_steps(
    target: BinaryIO,
    steps: StoredSteps,
    meta: dict[str, Any],
    targets: Mapping[str, np.ndarray | None],
) -> None:
    """Write a spike file of the steps of a code to an open binary stream.

    Args:
        target: the stream.
        steps: of the code.
        meta: of the file; code, options and steps.
        targets: `labels`, `step_labels` or `values`.

    Raises:
        DataError: a spike step holds values other than 0 and 1.
    """
    if not steps.is_binary:
        raise DataError(
            "the code holds values other than 0 and 1, which packed bits cannot store",
            why="the published embedding counts spikes instead of giving binary digits",
            remedy="write .npy instead",
        )
    arrays: dict[str, Any] = {
        "spikes": steps.packed_spikes(),
        "shape": np.asarray(steps.shape, dtype=np.int64),
        "meta": np.asarray(json.dumps({**meta, "format": FORMAT})),
    }
    if steps.analog_steps:
        arrays["analog"] = steps.analog
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
        analog_steps = int(meta["analog_steps"])
        spike_shape = (shape[0] - analog_steps, *shape[1:])
        count = math.prod(spike_shape)
        if min(spike_shape) < 0 or analog_steps < 0 or arrays["spikes"].size != (count + 7) // 8:
            raise ValueError("the number of bits does not fit the shape")
        available = sum(array.nbytes for array in arrays.values())
        if math.prod(shape) * 4 > max(MAX_UNPACKED, MAX_RATIO * available):
            raise ValueError(f"a code of shape {list(shape)} takes too much memory")
        code = np.unpackbits(arrays["spikes"], count=count).reshape(spike_shape)
        if analog_steps:
            analog = np.broadcast_to(arrays["analog"], (analog_steps, *shape[1:]))
            code = np.concatenate([analog, code.astype(np.float32)])
        targets = {name: arrays[name] for name in TARGETS if name in arrays}
        for name, array in targets.items():
            expected = {"labels": shape[1:2], "step_labels": (*shape[1:2], shape[0])}.get(name)
            if array.shape[:1] != shape[1:2] or expected not in (None, array.shape):
                raise ValueError(f"{name} {list(array.shape)} for the code {list(shape)}")
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f"{name} is not a readable spike file",
            why=str(error),
            remedy="make it again with `asnn encode`",
        ) from error
    return SpikeFile(code, meta, **targets)
