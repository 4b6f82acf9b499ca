"""`ASNN_CPU_ISA`: which instruction set the kernels use, and that each computes the same."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

import torch

from asnn.core import ConfigError
from asnn.kernels import dispatch
from asnn.kernels.cpu import isa
from asnn.kernels.cpu.amx import check

ROOT = Path(__file__).parents[3]
CASES = "from tests.support import isa_cases; isa_cases.main({path!r})"


@pytest.fixture
def processor(monkeypatch):
    """Return a function that pretends a value of `ASNN_CPU_ISA` and features of the processor."""
    cached = (isa.cap, isa.machine, isa.used, isa.has_wide_registers)

    def pretend(value, *features):
        monkeypatch.setenv("ASNN_CPU_ISA", value)
        monkeypatch.setattr(isa, "_host_features", lambda: set(features))
        monkeypatch.setattr(isa, "may_use_tiles", lambda: True)
        for name in ("CPU_NAME", "CPU_FEATURES"):
            monkeypatch.setattr(isa.config, name, None)
        clear()

    def clear():
        for function in cached:
            function.cache_clear()

    yield pretend
    monkeypatch.undo()
    clear()


AVX2 = ("avx", "avx2", "fma")
AVX512 = (*AVX2, "avx512f", "avx512bw", "avx512vl")
AMX = (*AVX512, "amx-tile", "amx-bf16")


@pytest.mark.parametrize(
    ("features", "best"),
    [
        ((), "generic"),
        (("avx",), "generic"),
        (("neon", "sve"), "generic"),
        (AVX2, "avx2"),
        ((*AVX2, "avx512f"), "avx512"),
        (AVX512, "avx512"),
        ((*AVX512, "amx-tile"), "avx512"),
        (AMX, "amx"),
    ],
    ids=["nothing", "AVX", "ARM", "AVX2", "AVX-512F", "AVX-512", "AMX without bfloat16", "AMX"],
)
@pytest.mark.parametrize("value", ["", *isa.LEVELS])
def test_the_machines_best_or_less(processor, features, best, value):
    processor(value, *features)
    assert isa.machine() == best
    expected = min(best, value or best, key=isa.LEVELS.index)
    assert isa.used() == expected
    assert isa.has_wide_registers() == (expected in ("avx512", "amx"))


def test_tiles_that_the_system_refuses_are_not_used(processor, monkeypatch):
    processor("", *AMX)
    monkeypatch.setattr(isa, "may_use_tiles", lambda: False)
    assert isa.machine() == isa.used() == "avx512"


@pytest.mark.parametrize(
    ("name", "features", "used"),
    [("generic", "", "generic"), ("haswell", "+avx2,+fma,-avx512f", "avx2"), (None, None, "amx")],
)
def test_numbas_own_variables_are_respected(processor, monkeypatch, name, features, used):
    """NUMBA_CPU_NAME=generic and the like; LLVM would abort on tiles that it is not to use."""
    processor("", *AMX)
    monkeypatch.setattr(isa.config, "CPU_NAME", name)
    monkeypatch.setattr(isa.config, "CPU_FEATURES", features)
    assert isa.used() == used
    assert isa.machine() == "amx"


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("avx", "did you mean avx2?"),
        ("AVX512", "did you mean avx512?"),
        ("sse4", "choose one or unset ASNN_CPU_ISA"),
    ],
)
def test_an_unknown_instruction_set_is_refused(processor, value, remedy):
    processor(value, *AMX)
    with pytest.raises(ConfigError) as caught:
        isa.used()
    assert caught.value.what == f"ASNN_CPU_ISA={value} is not an instruction set"
    assert caught.value.why == "allowed are generic, avx2, avx512, amx"
    assert caught.value.remedy == remedy


def test_the_refusal_reaches_the_user(processor, monkeypatch):
    """And is not taken for an installation of numba that is broken."""
    processor("avx")

    def imported(device):
        isa.cap_numba()

    monkeypatch.setattr(dispatch, "backend", imported)
    dispatch._unusable.cache_clear()
    with pytest.raises(ConfigError, match="ASNN_CPU_ISA=avx is not an instruction set"):
        dispatch.missing_backend("cpu", torch.float32)
    dispatch._unusable.cache_clear()


@pytest.mark.slow
def test_a_cap_that_comes_too_late_warns():
    code = """
import warnings
from numba import njit
njit(lambda x: x)(1)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import asnn.kernels.cpu.simd
print(*[warning.message for warning in caught])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ASNN_CPU_ISA": "generic"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        "ASNN_CPU_ISA=generic limits the fused layer's vectors and AMX only: numba had compiled "
        "other functions before asnn's kernels were imported; import asnn.kernels.cpu.simd first, "
        "or set NUMBA_CPU_NAME and NUMBA_CPU_FEATURES\n"
    )


HERE = isa.LEVELS[: isa.LEVELS.index(isa.machine()) + 1]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What a process for each instruction set of this machine has computed."""
    folder = tmp_path_factory.mktemp("isa")

    def compute(level):
        path = folder / f"{level}.npz"
        done = subprocess.run(
            [sys.executable, "-c", CASES.format(path=str(path))],
            env={**os.environ, "ASNN_CPU_ISA": level},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return dict(np.load(path))

    with ThreadPoolExecutor(2) as threads:
        return dict(zip(HERE, threads.map(compute, HERE), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("level", HERE)
def test_each_instruction_set_computes_the_same(results, level):
    from tests.support import isa_cases

    found = results[level]
    for reset in ("subtract", "zero", "none"):
        expected = isa_cases.layer("reference", reset)
        assert expected["spikes"].any()
        for name, value in expected.items():
            if name == "spikes":  # bit for bit
                assert np.array_equal(found[f"layer.{reset}.spikes"], value)
            else:
                np.testing.assert_allclose(
                    found[f"layer.{reset}.{name}"], value, rtol=1e-4, atol=1e-5
                )
    for way in ("events", "tiles") if found["tiles"] else ("events",):
        expected = isa_cases.convolution(None, torch.float64)
        for name, value in expected.items():
            error = np.abs(found[f"{way}.{name}"] - value).max() / np.abs(value).max()
            assert error < (1.5e-5 if way == "tiles" else 2e-6), f"{way} {name}"


@pytest.mark.slow
@pytest.mark.parametrize("level", HERE)
def test_each_instruction_set_is_what_it_says(results, level):
    """And the vectors that numba compiles go into no larger registers."""
    found = results[level]
    assert found["used"] == level
    assert found["wide"] == (level in ("avx512", "amx"))
    assert found["tiles"] == (level == "amx" and check.verdict().passed)
    if re.fullmatch("x86_64|AMD64", os.uname().machine):
        largest = {"generic": "xmm", "avx2": "ymm", "avx512": "zmm", "amx": "zmm"}[level]
        assert max(found["registers"]) == largest


@pytest.mark.slow
def test_the_default_is_the_machines_best(results):
    """Bit for bit, in this process."""
    from tests.support import isa_cases

    if os.environ.get("ASNN_CPU_ISA"):
        pytest.skip("ASNN_CPU_ISA is set")
    best = results[HERE[-1]]
    for name, value in isa_cases.layer("fused", "subtract").items():
        assert np.array_equal(best[f"layer.subtract.{name}"], value), name
    for name, value in isa_cases.convolution("events").items():
        if name != "x":  # torch's own
            assert np.array_equal(best[f"events.{name}"], value), name


@pytest.mark.slow
def test_code_of_different_instruction_sets_is_not_mixed(tmp_path):
    """numba's cache, filled for one, holds nothing for the other."""
    code = "from asnn.kernels.cpu.tasks import address_of; address_of('moments')"

    def files(level):
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "ASNN_CPU_ISA": level, "NUMBA_CACHE_DIR": str(tmp_path)},
            check=True,
        )
        return len([*tmp_path.rglob("*.nbc")])

    assert [files("generic"), files("generic")] == [1, 1]
    if isa.machine() != "generic":
        assert [files(isa.machine()), files("generic"), files(isa.machine())] == [2, 2, 2]
