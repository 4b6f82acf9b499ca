"""Which kernels compute: the one place where that is decided."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal

import torch

Kernels = Literal["auto", "reference", "fused"]

NEEDS = {"cpu": "numba", "cuda": "triton"}
LEAST = {"numba": (0, 61), "triton": (3, 3)}
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
    return _unusable(device)


def backend(device: str) -> Any:
    """Return the backend for a device; numba or triton are imported here, at the first use."""
    return import_module(f".{device}.backend", __package__)


def recording() -> bool:
    """Return whether torch writes down what is computed, for which it wants its own operations."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]


@cache
def notice(reason: str) -> None:
    """Say once in a process why the slower reference is used."""
    warnings.warn(
        f"{reason}: the slower reference kernels are used; `train.kernels=reference` asks for them "
        "without this notice",
        stacklevel=2,
    )


@cache
def _unusable(device: str) -> str | None:
    """Return why the backend of a device cannot be used, None if it can."""
    package = NEEDS[device]
    if not _installed(package):
        return f"{package} is not installed (pip install {package})"
    try:
        found = version(package)
        if tuple(int(part) for part in found.split(".")[:2]) < LEAST[package]:
            least = ".".join(str(part) for part in LEAST[package])
            return f"{package} {found} is too old, {least} is needed"
        backend(device)
    except Exception as error:  # whatever the import of a broken installation raises
        return f"{package} does not work here ({type(error).__name__}: {error})"
    return None


def _installed(package: str) -> bool:
    return find_spec(package) is not None
