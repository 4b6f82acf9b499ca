"""Device, precision, random seeds, and the versions and machine of a result."""

from __future__ import annotations

import contextlib
import os
import platform
import random
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.errors import ConfigError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PACKAGES = (
    "asnn",
    "torch",
    "torchvision",
    "numpy",
    "numba",
    "snntorch",
    "safetensors",
    "scikit-learn",
)


def find_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is a CUDA device, else MPS, else the CPU.

    Raises:
        ConfigError: the name is unknown, or the machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(
            f"unknown device {name!r}", why="choose from auto, cpu, cuda, cuda:N, mps"
        ) from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise ConfigError(
                f"device {name!r} is not on this machine",
                why=f"torch {torch.__version__} finds {count} CUDA devices",
                remedy="use --device auto or --device cpu; `asnn doctor` shows more",
            )
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(
            "device 'mps' is not on this machine", remedy="use --device auto or --device cpu"
        )
    elif device.type not in ("cpu", "mps"):
        raise ConfigError(
            f"device {name!r} is not supported", why="choose from auto, cpu, cuda, cuda:N, mps"
        )
    return device


def require_float64(device: torch.device, network: nn.Module) -> None:
    """Refuse a device without float64 for a network with weights of it, as exact times have.

    Raises:
        ConfigError: with what to choose.
    """
    needs = any(each.dtype == torch.float64 for each in network.parameters())
    if needs and device.type == "mps":
        raise ConfigError(
            "device 'mps' cannot compute this network",
            why="exact spike times are float64, which MPS does not have",
            remedy="set train.device=cpu, or --device cpu where a run is read",
        )


def mixed_precision(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Return the autocast context of a precision; membranes stay float32 in all of them.

    Raises:
        ConfigError: the device does not support that precision.
    """
    if precision == "float32":
        return contextlib.nullcontext()
    if precision == "float16" and device.type == "cpu":
        raise ConfigError(
            "precision float16 does not train on a CPU",
            why="its gradients underflow and its convolutions are slow",
            remedy="use --precision bfloat16 or float32",
        )
    return torch.autocast(device.type, dtype=PRECISIONS[precision])


def derived_seed(*parts: int) -> int:
    """Return a seed that is a function of all `parts`, such as seed, epoch and batch.

    Random numbers in training depend on these alone, never on earlier ones, so a resumed training
    draws the same numbers as one that was not interrupted.
    """
    # The length is included because SeedSequence gives the same for (0,) and (0, 0).
    sequence = np.random.SeedSequence((len(parts), *parts))
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1


def seed_all(seed: int) -> None:
    """Seed every generator that a network or a plugin may draw from: Python, numpy, torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def versions_and_machine(device: torch.device) -> dict[str, Any]:
    """Return the versions and the machine of this process, for `environment.json`."""
    return {
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "device_name": (
            torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
        ),
        "processor": processor(),
        "command": " ".join(["asnn", *sys.argv[1:]]),
    }


def processor() -> str:
    """Return the model name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
