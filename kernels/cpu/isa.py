"""The instruction set of the CPU kernels: the machine's best, or less by `ASNN_CPU_ISA`.

| value     | vectors of the fused layer | numba compiles for                      | AMX tiles |
|-----------|----------------------------|-----------------------------------------|-----------|
| `generic` | 8 values                   | the baseline of the architecture (SSE2) | no        |
| `avx2`    | 8 values                   | this machine without AVX-512            | no        |
| `avx512`  | 16 values                  | this machine                            | no        |
| `amx`     | 16 values                  | this machine                            | yes       |

LLVM splits vectors that are longer than the registers.

A value above the machine's best is no error. As with oneDNN's `ONEDNN_MAX_CPU_ISA`, the environment
is read once, when the kernels are first imported. torch's own operations are not affected.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import warnings
from functools import cache
from typing import Any

from llvmlite import binding
from numba.core import config as numba_config

from ...core.errors import ConfigError
from ...core.registry import nearest

VARIABLE = "ASNN_CPU_ISA"
LEVELS = ("generic", "avx2", "avx512", "amx")
FEATURES = {
    "avx2": ("avx2", "fma"),
    "avx512": ("avx512f",),
    "amx": ("avx512f", "avx512bw", "avx512vl", "amx-tile", "amx-bf16"),
}
ABOVE_AVX2 = ("avx512", "avx10", "amx", "evex512")  # beginnings of LLVM's names

config: Any = numba_config  # its attributes are made at run time

_ARCH_PRCTL = 158  # of Linux on x86-64
_REQUEST_PERMISSION = 0x1023
_TILE_DATA = 18


@cache
def cap() -> str | None:
    """Return the value of `ASNN_CPU_ISA`, None where it is not set or empty.

    Raises:
        ConfigError: it is not an instruction set.
    """
    value = os.environ.get(VARIABLE, "")
    if not value:
        return None
    if value not in LEVELS:
        close = nearest(value, LEVELS)
        raise ConfigError(
            f"{VARIABLE}={value} is not an instruction set",
            why=f"allowed are {', '.join(LEVELS)}",
            remedy=f"did you mean {close}?" if close else f"choose one or unset {VARIABLE}",
        )
    return value


@cache
def machine() -> str:
    """Return the best instruction set of this machine that this process may use."""
    return _best(_host_features())


@cache
def used() -> str:
    """Return the instruction set of the kernels; whether tiles are used, `amx.check` decides."""
    allowed = LEVELS[: LEVELS.index(cap() or "amx") + 1]
    return min(machine(), _best(target_features()), allowed[-1], key=LEVELS.index)


@cache
def has_wide_registers() -> bool:
    """Return whether there are 32 registers of 16 float32, and `ASNN_CPU_ISA` allows them."""
    return cap() not in ("generic", "avx2") and target_features().issuperset(FEATURES["avx512"])


def _best(features: set[str]) -> str:
    found = "generic"
    for level, needed in FEATURES.items():
        if features.issuperset(needed) and (level != "amx" or may_use_tiles()):
            found = level
    return found


def _host_features() -> set[str]:
    try:
        return {name for name, has in binding.get_host_cpu_features().items() if has}
    except RuntimeError:  # LLVM does not know this machine
        return set()


@cache
def may_use_tiles() -> bool:
    """Ask the system for AMX's tiles; return whether this process may use them."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    try:
        return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0
    except (OSError, AttributeError):
        return False


def target_features() -> set[str]:
    """Return the features that numba compiles for, by LLVM's names."""
    if config.CPU_FEATURES is not None:
        return {name[1:] for name in config.CPU_FEATURES.split(",") if name.startswith("+")}
    features = _host_features()
    return features if config.ENABLE_AVX else {f for f in features if not f.startswith("avx")}


def cap_numba() -> None:
    """Let numba compile for no more than `ASNN_CPU_ISA`; leave it alone where that changes nothing.

    It works before numba has compiled anything in this process, and warns otherwise.
    """
    if cap() == "generic":
        name, features = "generic", ""
    elif cap() == "avx2" and any(name.startswith(ABOVE_AVX2) for name in target_features()):
        name, features = config.CPU_NAME, _without(ABOVE_AVX2)
    else:
        return
    config.CPU_NAME, config.CPU_FEATURES = name, features
    if _compiled_for() != features:
        warnings.warn(
            f"{VARIABLE}={cap()} limits the fused layer's vectors and AMX only: numba had "
            "compiled other functions before asnn's kernels were imported; import "
            "asnn.kernels.cpu.simd first, or set NUMBA_CPU_NAME and NUMBA_CPU_FEATURES",
            stacklevel=2,
        )


def _without(beginnings: tuple[str, ...]) -> str:
    """Return numba's target features, with those that begin so switched off."""
    current = config.CPU_FEATURES
    if current is None:
        current = binding.get_host_cpu_features().flatten()
    return ",".join(
        f"-{each[1:]}" if each[1:].startswith(beginnings) else each for each in current.split(",")
    )


def _compiled_for() -> str:
    """Return the features of numba's code generator, which it keeps from its beginning."""
    from numba.core.registry import cpu_target

    context: Any = cpu_target.target_context
    return context.codegen().magic_tuple()[2]
