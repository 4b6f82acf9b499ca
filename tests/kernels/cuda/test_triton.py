"""The Triton kernels: their cases, and their machine code for a GPU.

The cases, in `triton_cases` and `triton_filter_cases`, run in a process of their own, since Triton
chooses its interpreter at its import. With a GPU they run on it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow  # all of it together; one of them takes a moment

pytest.importorskip("triton", reason="triton is not installed")

SUPPORT = Path(__file__).parents[2] / "support"
CASES = [SUPPORT / "triton_cases.py", SUPPORT / "triton_filter_cases.py"]
COMPILED = """
import re

from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from asnn.kernels.cuda.filters import filter_backward_kernel, filter_forward_kernel
from asnn.kernels.cuda.passes import backward_kernel, forward_kernel
from asnn.kernels.cuda.rows import finish_kernel, moments_kernel
from asnn.kernels.rules import (
    ATAN, LORENTZIAN, SIGMOID, STRAIGHT_THROUGH, SUBTRACT, TRIANGLE, ZERO,
)

TYPES = {"counts_ptr": "*i32", "alpha": "fp32"}
HALF = ("x_ptr", "y_ptr", "spikes_ptr", "grad_ptr", "q_ptr")


def ptx_of(kernel, arch, fused=False, **constants):
    def type_of(name):
        if name in constants:
            return "constexpr"
        return TYPES.get(name, "*bf16" if name in HALF else "*fp32" if "_ptr" in name else "i32")

    names = kernel.arg_names
    source = ASTSource(
        kernel,
        {name: type_of(name) for name in names},
        {(names.index(name),): value for name, value in constants.items()},
    )
    options = {"num_warps": 1, "enable_fp_fusion": fused}
    compiled = compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    assert compiled.asm["cubin"]
    return compiled.asm["ptx"]


def fused_of(ptx):
    return re.findall(r"fma\\.\\S*f32", ptx)


both = {
    "STEPS": 3, "STEP": 2, "STATIC": False, "POOL_H": 2, "POOL_W": 2, "RESET": SUBTRACT,
    "SIZED": False, "SPREAD": False, "ONCE": False, "MOST": 0, "SITES": 4, "WINDOWS": 2,
    "CHANNELS": 32, "VALUES": 2,
}
backward = {**both, "SURROGATE": SIGMOID, "LEARNS": True, "DETACHED": False}
forward = {**both, "COUNT": True}
single = {**both, "channels": 1, "CHANNELS": 1, "VALUES": 1, "WINDOWS": 64, "RESET": ZERO}
for arch in (80, 90):
    assert f".target sm_{arch}" in ptx_of(forward_kernel, arch, **forward)
    assert not fused_of(ptx_of(forward_kernel, arch, **forward))
    assert not fused_of(ptx_of(backward_kernel, arch, **backward))
assert fused_of(ptx_of(forward_kernel, 80, True, **forward)), "the control is not fused either"
assert "div.rn.f32" in ptx_of(forward_kernel, 80, **{**forward, "SIZED": True})
ptx_of(forward_kernel, 80, COUNT=False, **single)
counting, once = {**both, "SIZED": True, "MOST": 3}, {**both, "ONCE": True}
assert "div.rn.f32" in ptx_of(forward_kernel, 80, COUNT=True, **counting)
for kind in (counting, once):
    assert not fused_of(ptx_of(forward_kernel, 80, COUNT=True, **kind))
    assert not fused_of(ptx_of(backward_kernel, 80, **{**backward, **kind, "LEARNS": False}))
for gradient in (TRIANGLE, STRAIGHT_THROUGH):
    one = {**backward, **counting, "SURROGATE": gradient, "LEARNS": False, "MOST": 1}
    ptx_of(backward_kernel, 80, **one)
ptx_of(backward_kernel, 80, **{**backward, **single, "SURROGATE": ATAN, "LEARNS": False})
lif = {"RESET": ZERO, "SPREAD": True}
assert not fused_of(ptx_of(forward_kernel, 80, **{**forward, **lif}))
lif |= {"SURROGATE": LORENTZIAN, "DETACHED": True}
assert not fused_of(ptx_of(backward_kernel, 80, **{**backward, **lif}))
for kernel in (moments_kernel, finish_kernel):
    ptx_of(kernel, 80, ROWS=64, CHANNELS=32)
for count in (1, 2):
    filters = {"COUNT": count, "ROWS": 8, "CHANNELS": 32}
    assert not fused_of(ptx_of(filter_forward_kernel, 80, **filters))
    assert not fused_of(ptx_of(filter_backward_kernel, 80, LEARNS=True, **filters))
    ptx_of(filter_backward_kernel, 90, LEARNS=False, **filters)
"""


def run(*arguments, cache, interpreted=False):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRITON_CACHE_DIR": str(cache)}
    environment.pop("TRITON_INTERPRET", None)
    if interpreted:
        environment["TRITON_INTERPRET"] = "1"
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_kernels(tmp_path):
    """All cases of these files, on a GPU if there is one."""
    pytest_of_cases = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, CASES)]
    assert " passed" in run(
        *pytest_of_cases, cache=tmp_path, interpreted=not torch.cuda.is_available()
    )


def test_kernels_compile_without_contraction(tmp_path):
    """For GPUs of two generations, without a GPU."""
    run("-c", COMPILED, cache=tmp_path)
