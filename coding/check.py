"""Batches that are not the samples that a code or a network takes, refused with what to do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError
from .samples import EventBatch, SampleSpec

TOLERANCE = 1e-6
"""Rounding beyond [0, 1]."""


def check_batch(x: Any, spec: SampleSpec) -> None:
    """Refuse what is not a batch of such samples.

    Args:
        x: images `[B, C, H, W]` or series `[B, T, ...]`, floats; or an `EventBatch`.
        spec: of the samples. A series may have more or fewer steps; its code knows how many it
            takes.

    Raises:
        DataError: another type or shape.
    """
    if spec.kind == "events":
        if not isinstance(x, EventBatch):
            raise DataError(
                f"recordings of events are expected, not {_kind(x)}",
                remedy="make a batch of them with EventBatch.of(recordings, shape, duration)",
            )
        if tuple(x.shape) != spec.shape:
            raise DataError(
                f"recordings of a sensor {list(spec.shape)} are expected, not {list(x.shape)}",
                remedy="fit them to the sensor, as the data set of the training does (data.size)",
            )
        return
    check_tensor(x, spec.many)
    expected = spec.shape if spec.steps is None else (spec.steps, *spec.shape)
    first = 1 if spec.steps is None else 2
    if x.dim() != len(expected) + 1 or tuple(x.shape[first:]) != spec.shape:
        raise DataError(
            f"{spec.many} [B, {', '.join(map(str, expected))}] are expected, not {list(x.shape)}",
            remedy=_remedy(tuple(x.shape), expected),
        )


def check_tensor(x: Any, many: str) -> None:
    """Refuse what is not a tensor of floats.

    Args:
        x: the samples.
        many: what they are.

    Raises:
        DataError: another type.
    """
    if not isinstance(x, Tensor):
        remedy = "torch.from_numpy(x)" if isinstance(x, np.ndarray) else "torch.tensor(x)"
        raise DataError(f"{many} are a tensor, not {_kind(x)}", remedy=f"convert them: {remedy}")
    if not x.is_floating_point():
        remedy = {
            torch.uint8: "x.float() / 255",
            torch.uint16: "x.float() / 65535",
            torch.bool: "x.float()",
        }.get(x.dtype, "x.float(), divided by the largest possible value")
        raise DataError(f"{many} are floats, not {_kind(x)}", remedy=f"convert them: {remedy}")


def has_values(x: Tensor) -> bool:
    """Return whether there are values: not on the meta device, nor while torch traces."""
    return type(x) is Tensor and not x.is_meta and not torch.compiler.is_compiling()


def check_range(x: Tensor) -> None:
    """Refuse images whose values do not lie in [0, 1].

    Raises:
        DataError: with the range of the values.
    """
    if x.numel() == 0 or not has_values(x):
        return
    low, high = (value.item() for value in torch.aminmax(x.detach()))
    if math.isnan(low) or (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        return  # the code refuses NaN and says how many there are
    raise DataError(
        "images have values in [0, 1]",
        why=f"these go from {low:.6g} to {high:.6g}",
        remedy="divide by the largest possible value: x / 255"
        if low >= 0 and high > 2
        else "scale them as those of the training, or cut them off: x.clamp(0, 1)",
    )


def _kind(x: Any) -> str:
    return f"a tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__


def _remedy(shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """Return what to do about a shape, with its batch axis."""
    if shape == expected:
        return "add the axis of the batch: x.unsqueeze(0)"
    if len(expected) == 3 and expected[0] == 1:
        if shape == expected[1:]:
            return "add the axes of batch and channel: x[None, None]"
        if shape[1:] == expected[1:]:
            return "add the axis of the channel: x.unsqueeze(1)"
    if len(expected) == 3 and shape[1:] == (*expected[1:], expected[0]):
        return "move the channels: x.permute(0, 3, 1, 2)"
    return "resize them, or give those that the network was built for"
