"""Which backend serves a device and dtype, and when torch must see registered operators."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError

Kernels = Literal["auto", "reference", "fused"]

PACKAGES = {"cpu": "numba", "cuda": "triton"}
MIN_VERSIONS = {"numba": (0, 61), "triton": (3, 3)}
DTYPES = {
    "cpu": (torch.float32,),
    "cuda": (torch.float32, torch.bfloat16, torch.float16),
}

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _constant(function: _Function) -> _Function:
    """Let torch.compile call a function while it traces, and treat the result as a constant.

    This does what `torch.compiler.assume_constant_result` does, without importing torch._dynamo,
    which takes longer than all other imports.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@_constant
def missing_backend(device: str, dtype: torch.dtype) -> str | None:
    """Return why there is no fused kernel for tensors of a device and dtype; None if there is."""
    if device not in PACKAGES:
        return f"there are no fused kernels for {device}"
    if dtype not in DTYPES[device]:
        return f"fused kernels do not compute in {str(dtype).removeprefix('torch.')} on {device}"
    return _unusable(device)


@cache
def backend(device: str) -> Any:
    """Return the backend of a device; the first call imports numba or triton."""
    return import_module(f".{device}.backend", __package__)


def is_traced(x: Tensor) -> bool:
    """Return whether torch records or replaces operators on `x`, rather than only computing them.

    This is true while torch compiles, exports or traces, for fake tensors and other subclasses,
    and under dispatch modes. All of these see registered operators, but not what a kernel reads
    through a pointer.
    """
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined]
        or type(x) not in (Tensor, nn.Parameter)
        or torch._C._len_torch_dispatch_stack() > 0
    )


def needs_aten() -> bool:
    """Return whether torch records a graph that may hold only torch's own operators.

    This is true for `torch.jit.trace`, whose graphs run without asnn, and for ONNX export.
    """
    return torch.jit.is_tracing() or (  # type: ignore[attr-defined]
        torch.compiler.is_compiling() and torch.onnx.is_in_onnx_export()
    )


@_constant
def warn_slow_reference(reason: str) -> None:
    """Warn, once in a process, that the slower reference is used."""
    _warn_once(reason)


@cache
def _warn_once(reason: str) -> None:
    warnings.warn(
        f"{reason}: the slower reference kernels are used; `train.kernels=reference` asks for them "
        "without this notice",
        stacklevel=3,
    )


@cache
def _unusable(device: str) -> str | None:
    """Return why the backend of a device cannot be used, None if it can."""
    package = PACKAGES[device]
    if not _installed(package):
        return f"{package} is not installed (pip install {package})"
    try:
        found = version(package)
        if tuple(int(part) for part in found.split(".")[:2]) < MIN_VERSIONS[package]:
            minimum = ".".join(str(part) for part in MIN_VERSIONS[package])
            return f"{package} {found} is too old, {minimum} is needed"
        backend(device)
    except ConfigError:  # ASNN_CPU_ISA has an invalid value
        raise
    except Exception as error:  # a broken installation may raise anything at its import
        return f"{package} does not work here ({type(error).__name__}: {error})"
    return None


def _installed(package: str) -> bool:
    return find_spec(package) is not None
