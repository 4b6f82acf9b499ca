"""Whether the AMX kernels compute what torch computes, checked once on each machine.

A wrong instruction could end the process, so the kernels first compute small known cases in a child
process. The verdict is kept in the user's cache folder, for this processor, its microcode, the
system's kernel and the versions of the packages; where nothing can be written, each process checks.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from ....core.errors import AsnnError
from ....core.files import make_folder, write_json
from .. import isa
from ..tasks import checksum
from . import probe

TIMEOUT = 120  # seconds: the child compiles the kernels, and the machine may be busy
# Largest error, relative to the largest value: float32 added up in another order, and gradients
# that are rounded to 2⁻¹⁷ before.
LIMITS = probe.Results(2e-6, 1.5e-5, 1.5e-5)  # type: ignore[arg-type]
_lock = Lock()


class Verdict(NamedTuple):
    """The result of a check.

    Attributes:
        passed: whether the kernels computed the known cases correctly.
        why: what went wrong, empty if nothing.
        is_final: whether it is worth keeping: a check that could not be made is not.
    """

    passed: bool
    why: str = ""
    is_final: bool = True


def has_tiles() -> bool:
    """Return whether the AMX kernels are used; warn once if a failed check is the reason."""
    if isa.used() != "amx":
        return False
    found = verdict()
    if not found.passed:
        _warn_once(found.why)
    return found.passed


@cache
def _warn_once(why: str) -> None:
    path = _file()
    again = f"delete {path} to check again" if path and path.exists() else "start again to retry"
    warnings.warn(
        f"the AMX kernels are not used, AVX-512 is: their check on this machine failed ({why}); "
        f"{again}, or set {isa.VARIABLE}=avx512 to run without AMX and this warning",
        stacklevel=3,
    )


def describe() -> dict[str, Any]:
    """Return which instruction set the CPU kernels use, and why, as `asnn doctor` shows it.

    The AMX kernels are checked if they were not, and would be used.

    Raises:
        ConfigError: `ASNN_CPU_ISA` is not an instruction set.
    """
    used, best, cap = isa.used(), isa.machine(), isa.cap()
    why = [f"this machine has {best}", f"{isa.VARIABLE} is {cap or 'not set'}"]
    if isa.LEVELS.index(used) < min(isa.LEVELS.index(each) for each in (best, cap or best)):
        why.append("numba's own variables (NUMBA_CPU_NAME and others) allow less")
    result = "not run"
    if used == "amx":
        found = verdict()
        result = "passed" if found.passed else f"failed ({found.why})"
        used = used if found.passed else "avx512"
    why.append(f"the check of AMX against torch: {result}")
    return {"used": used, "machine": best, "cap": cap, "amx_check": result, "why": "; ".join(why)}


def verdict() -> Verdict:
    """Return the verdict for this machine: the one that is kept, or that of a new check."""
    with _lock:
        return _verdict()


@cache
def _verdict() -> Verdict:
    path = _file()
    found = _kept(path)
    if found is None:
        found = check()
        if found.is_final:
            _keep(path, found)
    return found


def check(command: list[str] | None = None, timeout: float = TIMEOUT) -> Verdict:
    """Let a child process compute the known cases, and compare its results with torch.

    Args:
        command: that writes the results to stdout, for tests.
        timeout: seconds after which the child is ended.
    """
    if command is None:
        if not sys.executable or getattr(sys, "frozen", False):
            return Verdict(False, "there is no Python to start as a child process", is_final=False)
        start = f"from {probe.__name__} import main; main({TIMEOUT})"
        command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {start}"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
            start_new_session=True,  # Ctrl-C is for the parent
        )
    except subprocess.TimeoutExpired:
        return Verdict(False, f"the child process did not end within {timeout:g} s")
    except OSError as error:
        why = f"the child process could not be started: {error.strerror or error}"
        return Verdict(False, why, is_final=False)
    if done.returncode < 0:
        name = _signal_name(-done.returncode)
        return Verdict(False, f"the child process was ended by {name}")
    if done.returncode > 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        why = f"the child process failed: {lines[-1] if lines else done.returncode}"
        return Verdict(False, why, is_final=False)
    # A thread of its own: the modes of the calling one (fake tensors, inference) do not apply.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(compare, done.stdout).result()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def compare(content: bytes) -> Verdict:
    """Return whether results, as bytes, are those of torch in float64."""
    try:
        found = [*probe.from_bytes(content)]
    except ValueError:
        return Verdict(False, f"the child process wrote {len(content)} bytes, which are no results")
    for case, results in zip(probe.cases(), found, strict=True):
        for name, value, expected, limit in zip(
            probe.Results._fields, results, by_torch(case), LIMITS, strict=True
        ):
            error = np.abs(value - expected).max() / np.abs(expected).max()
            if not error <= limit:  # a NaN is an error too
                return Verdict(
                    False,
                    f"{name} of a known convolution is wrong by {error:.1e} of its largest value, "
                    f"allowed are {limit:.1e}",
                )
    return Verdict(True)


def by_torch(case: probe.Case) -> probe.Results:
    """Return the results in float64, by torch."""
    import torch

    x, grad = (torch.from_numpy(part).double().permute(0, 3, 1, 2) for part in (case.x, case.grad))
    weight, bias = torch.from_numpy(case.weight).double(), torch.from_numpy(case.bias).double()
    stride, padding = case.shape.stride, case.shape.padding
    out = torch.nn.functional.conv2d(x, weight, bias, stride, padding)
    x_grad, weight_grad, _ = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, (1, 1), False, (0, 0), 1, (True, True, False)
    )
    return probe.Results(
        out.permute(0, 2, 3, 1).numpy(),
        x_grad.permute(0, 2, 3, 1).numpy(),
        weight_grad.permute(1, 2, 3, 0).numpy(),
    )


def _key() -> dict[str, Any]:
    """Return what a verdict depends on."""
    return {
        "cpu": _cpu(),
        "system": platform.release(),
        "asnn": _version("asnn"),
        "kernels": checksum(),
        "numba": _version("numba"),
        "llvmlite": _version("llvmlite"),
        "compiled_for": [isa.config.CPU_NAME, isa.config.CPU_FEATURES],
    }


def _cpu() -> dict[str, str]:
    """Return the processor's model and microcode."""
    names = ("vendor_id", "cpu family", "model", "model name", "stepping", "microcode")
    try:
        first, *_ = Path("/proc/cpuinfo").read_text().split("\n\n")
    except OSError:
        return {}
    lines = (re.split(r"\s*:\s*", line, maxsplit=1) for line in first.splitlines() if ":" in line)
    return {name: value for name, value in lines if name in names}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _file() -> Path | None:
    """Return the file of this machine's verdict, None where the user has no folder."""
    digest = hashlib.sha256(json.dumps(_key(), sort_keys=True).encode()).hexdigest()
    folder = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(folder) if Path(folder).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # no home
        return None
    return root / "asnn" / f"amx-{digest[:16]}.json"


def _kept(path: Path | None) -> Verdict | None:
    """Return the verdict in a file, None where there is none that can be used."""
    if path is None:
        return None
    try:
        content = json.loads(path.read_bytes())
        passed, why = content["passed"], content["why"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if content.get("key") != _key() or not isinstance(passed, bool) or not isinstance(why, str):
        return None
    return Verdict(passed, why)


def _keep(path: Path | None, found: Verdict) -> None:
    if path is None:
        return
    try:
        make_folder(path.parent)
        write_json(path, {"passed": found.passed, "why": found.why, "key": _key()})
    except AsnnError:  # nothing can be written there: the next process checks again
        return
