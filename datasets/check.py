"""What the loader of a data set returns, checked before it is used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError
from .base import LazyInputs, Source, Split
from .boxes import is_boxes, problem_of
from .events import Events

TOLERANCE = 1e-6
"""Rounding beyond [0, 1] that is cut off, as in files of arrays."""

REMEDY = "mend its loader, see CONTRIBUTING"


def check_source(name: str, found: Any) -> Source:
    """Return what a loader has returned, if it is a `Source` of samples with their targets.

    What means the same is converted: images of another float type to float32, classes of another
    integer type to int64, values to float32, names of classes in a tuple to a list.

    Args:
        name: of the data set.
        found: what its loader has returned.

    Raises:
        DataError: it is something else, or its parts do not fit together.
    """
    if not isinstance(found, Source):
        raise _refused(name, f"its loader returns {_kind(found)}, not a Source")
    classes = list(found.classes) if isinstance(found.classes, list | tuple) else None
    if classes is None or not all(isinstance(each, str) for each in classes):
        raise _refused(name, "its classes are not a list of text")
    found = replace(found, classes=classes)
    parts = {}
    for part in ("train", "validation", "test"):
        split = getattr(found, part)
        if split is not None or part == "train":
            parts[part] = _checked_split(name, part, split, found)
    return replace(found, **parts)


def _are_inputs(value: Any) -> bool:
    if isinstance(value, Tensor | Events):
        return True
    return isinstance(value, LazyInputs) and not isinstance(value, np.ndarray)


def _checked_split(name: str, part: str, split: Any, source: Source) -> Split:
    of = f"its {part} part"
    if not isinstance(split, Split):
        raise _refused(name, f"{of} is {_kind(split)}, not a Split")
    inputs, targets = split.inputs, split.targets
    if not _are_inputs(inputs):
        raise _refused(name, f"{of} has inputs of {_kind(inputs)}, not a tensor")
    if not isinstance(targets, Tensor) or targets.is_complex():
        raise _refused(
            name,
            f"{of} has targets of {_kind(targets)}, not of int64 (classes) or float32 (values)",
        )
    targets = targets.to(torch.float32 if targets.is_floating_point() else torch.int64)
    if targets.dim() == 0 or len(inputs) != len(targets):
        count = "one" if targets.dim() == 0 else f"{len(targets):,}"
        raise _refused(name, f"{of} has {len(inputs):,} inputs and {count} targets")
    if len(inputs) == 0:
        raise _refused(name, f"{of} is empty")
    inputs = _checked_inputs(name, of, inputs, source)
    if targets.dtype == torch.int64 and source.classes:
        least = -1 if targets.dim() > 1 else 0  # -1 is a step without a class
        low, high = int(targets.min()), int(targets.max())
        if low < least or high >= len(source.classes):
            raise _refused(
                name,
                f"{of} has classes from {low} to {high}, and {len(source.classes)} names of "
                "classes, which are counted from 0",
            )
    _check_target(name, of, targets, source)
    ids = split.ids
    if ids is not None and (not isinstance(ids, Tensor) or ids.shape != (len(targets),)):
        raise _refused(name, f"{of} has no number for each sample in ids")
    return Split(inputs, targets, None if ids is None else ids.to(torch.int64))


def _check_target(name: str, of: str, targets: Tensor, source: Source) -> None:
    """Refuse boxes and flow of another type or shape, and boxes of classes without a name."""
    shape = list(targets.shape)
    if source.target == "boxes":
        if not is_boxes(targets):
            raise _refused(name, f"{of} has boxes of shape {shape}, not float32 [N, M, 5]")
        problem = problem_of(targets, len(source.classes))
        if problem:
            raise _refused(name, f"{of} has {problem}")
    elif source.target == "flow":
        sensor = [] if source.spec is None else list(source.spec.shape[-2:])
        fits = targets.is_floating_point() and targets.dim() == 4 and shape[1] == 2
        if not fits or (sensor and shape[2:] not in ([1, 1], sensor)):
            needs = f"float32 [N, 2, {', '.join(map(str, sensor)) or 'H, W'}] or [N, 2, 1, 1]"
            raise _refused(name, f"{of} has flow of shape {shape}, not {needs}")


def _checked_inputs(name: str, of: str, inputs: Any, source: Source) -> Any:
    if not isinstance(inputs, Tensor) or (source.spec is not None and source.spec.kind != "image"):
        return inputs
    if inputs.dim() != 4:
        raise _refused(name, f"{of} has images of shape {list(inputs.shape)}, not [N, C, H, W]")
    if inputs.dtype == torch.uint8:
        return inputs
    if not inputs.is_floating_point():
        raise _refused(name, f"{of} has images of {_kind(inputs)}, not of uint8 or float32")
    inputs = inputs.float()
    if inputs.isnan().any():
        raise _refused(name, f"{of} has values that are not a number")
    low, high = map(float, torch.aminmax(inputs))
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise _refused(name, f"{of} has values from {low:.7g} to {high:.7g}, not from 0 to 1")
    return inputs.clamp(0, 1) if low < 0 or high > 1 else inputs


def _kind(value: Any) -> str:
    return f"type {value.dtype}" if isinstance(value, Tensor) else type(value).__name__


def _refused(name: str, why: str) -> DataError:
    return DataError(f"the data set {name} cannot be used", why=why, remedy=REMEDY)
