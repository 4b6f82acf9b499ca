"""Spike files, the output of `asnn encode`: a NumPy archive that any tool can open.

Arrays of the file:
    spikes  uint8, the spike steps `[Ts, B, ...]` as packed bits (numpy.packbits of the flat array)
    shape   int64, the shape of the full code `[T, B, ...]`
    analog  float32 `[Ta, B, ...]`, the analog steps, if the code has any
    labels  int64 `[B]`, if known
    meta    JSON: format, code, options, steps, analog_steps, thresholds, version, source
"""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..core.documents import read_json
from ..core.errors import DataError
from ..core.files import ARCHIVE_ERRORS
from ..formats.arrays import MAX_RATIO, MAX_UNPACKED, read_npz

FORMAT = 1


@dataclass
class SpikeFile:
    """The contents of a spike file.

    Attributes:
        code: `[T, B, ...]`; uint8 if all steps are spikes, float32 if some are analog.
        meta: code, options and steps.
        labels: `[B]`, or None.
    """

    code: np.ndarray
    meta: dict[str, Any] = field(default_factory=dict)
    labels: np.ndarray | None = None


def save_spikes(target: BinaryIO, file: SpikeFile) -> None:
    """Write a spike file to an open binary stream.

    Raises:
        DataError: a spike step holds values other than 0 and 1.
    """
    analog_steps = int(file.meta.get("analog_steps", 0))
    # The direct code repeats one image, which is stored once.
    stored = 1 if file.meta.get("static") else analog_steps
    spikes = file.code[analog_steps:]
    if not np.isin(spikes, (0, 1)).all():
        raise DataError(
            "the code holds values other than 0 and 1, which packed bits cannot store",
            why="the published embedding counts spikes instead of giving binary digits",
            remedy="write .npy instead",
        )
    arrays: dict[str, Any] = {
        "spikes": np.packbits(spikes.astype(np.uint8).ravel()),
        "shape": np.asarray(file.code.shape, dtype=np.int64),
        "meta": np.asarray(json.dumps({**file.meta, "format": FORMAT})),
    }
    if analog_steps:
        arrays["analog"] = file.code[:stored].astype(np.float32)
    if file.labels is not None:
        arrays["labels"] = np.asarray(file.labels, dtype=np.int64)
    np.savez(target, **arrays)


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
        labels = arrays.get("labels")
        if labels is not None and labels.shape != shape[1:2]:
            raise ValueError(f"{labels.size} labels for {shape[1]} images")
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f"{name} is not a readable spike file",
            why=str(error),
            remedy="make it again with `asnn encode`",
        ) from error
    return SpikeFile(code=code, meta=meta, labels=labels)
