"""Which kernels compute: the one place where that is decided."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import torch

Kernels = Literal["auto", "reference", "fused"]

NEEDS = {"cpu": "numba", "cuda": "triton"}
DTYPES = {
    "cpu": (torch.float32,),
    "cuda": (torch.float32, torch.bfloat16, torch.float16),
}


def missing_backend(device: str, dtype: torch.dtype) -> str | None:
    """Return why there is no fused kernel for tensors of a device and dtype; None if there is."""
    if device not in NEEDS:
        return f"there are no fused kernels for {device}"
    if dtype not in DTYPES[device]:
        return f"fused kernels do not compute in {str(dtype).removeprefix('torch.')} on {device}"
    if not _installed(NEEDS[device]):
        return f"{NEEDS[device]} is not installed"
    return None


def backend(device: str) -> Any:
    """Return the backend for a device; numba or triton are imported here, at the first use."""
    return import_module(f".{device}", __package__)


@cache
def notice(reason: str) -> None:
    """Say once in a process why the slower reference is used."""
    warnings.warn(
        f"{reason}: the slower reference kernels are used (install numba for the fused ones, or "
        "set train.kernels=reference)",
        stacklevel=2,
    )


@cache
def _installed(package: str) -> bool:
    return find_spec(package) is not None
