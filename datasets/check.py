"""What the loader of a data set returns, checked before it is used."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError
from .base import LazyInputs, Source, Split
from .events import Events

TARGET_TYPES = (torch.int64, torch.float32)
REMEDY = "mend its loader, see CONTRIBUTING"


def check_source(name: str, found: Any) -> Source:
    """Return what a loader has returned, if it is a `Source` of samples with their targets.

    Args:
        name: of the data set.
        found: what its loader has returned.

    Raises:
        DataError: it is something else, or its parts do not fit together.
    """
    if not isinstance(found, Source):
        raise _refused(name, f"its loader returns {_kind(found)}, not a Source")
    for part in ("train", "validation", "test"):
        split = getattr(found, part)
        if split is not None or part == "train":
            _check_split(name, part, split, found)
    classes = found.classes
    if not isinstance(classes, list) or not all(isinstance(each, str) for each in classes):
        raise _refused(name, "its classes are not a list of text")
    return found


def _are_inputs(value: Any) -> bool:
    if isinstance(value, Tensor | Events):
        return True
    return isinstance(value, LazyInputs) and not isinstance(value, np.ndarray)


def _check_split(name: str, part: str, split: Any, source: Source) -> None:
    of = f"its {part} part"
    if not isinstance(split, Split):
        raise _refused(name, f"{of} is {_kind(split)}, not a Split")
    inputs, targets = split.inputs, split.targets
    if not _are_inputs(inputs):
        raise _refused(name, f"{of} has inputs of {_kind(inputs)}, not a tensor")
    if not isinstance(targets, Tensor) or targets.dtype not in TARGET_TYPES:
        raise _refused(
            name,
            f"{of} has targets of {_kind(targets)}, not of int64 (classes) or float32 (values)",
        )
    if targets.dim() == 0 or len(inputs) != len(targets):
        count = "one" if targets.dim() == 0 else f"{len(targets):,}"
        raise _refused(name, f"{of} has {len(inputs):,} inputs and {count} targets")
    if len(inputs) == 0:
        raise _refused(name, f"{of} is empty")
    _check_inputs(name, of, inputs, source)
    if targets.dtype == torch.int64 and source.classes:
        least = -1 if targets.dim() > 1 else 0  # -1 is a step without a class
        low, high = int(targets.min()), int(targets.max())
        if low < least or high >= len(source.classes):
            raise _refused(
                name,
                f"{of} has classes from {low} to {high}, and {len(source.classes)} names of "
                "classes, which are counted from 0",
            )


def _check_inputs(name: str, of: str, inputs: Any, source: Source) -> None:
    if not isinstance(inputs, Tensor) or (source.spec is not None and source.spec.kind != "image"):
        return
    if inputs.dim() != 4:
        raise _refused(name, f"{of} has images of shape {list(inputs.shape)}, not [N, C, H, W]")
    if inputs.dtype not in (torch.uint8, torch.float32):
        raise _refused(name, f"{of} has images of {_kind(inputs)}, not of uint8 or float32")
    if inputs.dtype == torch.float32:
        low, high = float(inputs.min()), float(inputs.max())
        if not (low >= 0 and high <= 1):
            raise _refused(name, f"{of} has values from {low:g} to {high:g}, not from 0 to 1")


def _kind(value: Any) -> str:
    return f"type {value.dtype}" if isinstance(value, Tensor) else type(value).__name__


def _refused(name: str, why: str) -> DataError:
    return DataError(f"the data set {name} cannot be used", why=why, remedy=REMEDY)
