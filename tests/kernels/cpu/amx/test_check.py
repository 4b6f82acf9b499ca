"""The check of the AMX kernels: its verdicts, which of them are kept, and the warning."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.kernels.cpu import isa, tasks
from asnn.kernels.cpu.amx import check, probe
from tests.support.emulated_tiles import address_of, emulate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="AMX is used on Linux only")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    """Nothing is kept from one test to the next."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    check._verdict.cache_clear()
    check._warn_once.cache_clear()
    yield tmp_path / "cache" / "asnn"
    check._verdict.cache_clear()
    check._warn_once.cache_clear()


def results(change=lambda all_results: None):
    """Return the bytes of torch's results, rounded to float32, after a change."""
    found = [
        probe.Results(*(part.astype(np.float32) for part in check.by_torch(case)))
        for case in probe.cases()
    ]
    change(found)
    return b"".join(probe.to_bytes(each) for each in found)


def child(code):
    return [sys.executable, "-c", code]


def writing(path):
    code = f"import shutil, sys; shutil.copyfileobj(open({str(path)!r}, 'rb'), sys.stdout.buffer)"
    return child(code)


@pytest.mark.slow
@pytest.mark.skipif(isa.used() != "amx", reason="this process may not use AMX")
def test_the_kernels_of_this_machine_pass():
    assert check.check() == check.Verdict(True)


@pytest.mark.slow
def test_emulated_kernels_pass(monkeypatch):
    emulate(monkeypatch)
    content = b"".join(probe.to_bytes(probe.compute(case)) for case in probe.cases())
    assert check.compare(content) == check.Verdict(True)


@pytest.mark.skipif(isa.used() != "amx", reason="this process may not use AMX")
def test_emulated_kernels_give_the_bits_of_the_real_ones(monkeypatch):
    for case in probe.cases():
        real = probe.compute(case)
        with monkeypatch.context() as patch:
            patch.setattr(tasks, "address_of", address_of)
            emulated = probe.compute(case)
        for name, a, b in zip(real._fields, real, emulated, strict=True):
            assert np.array_equal(a, b), name


@pytest.mark.slow
def test_the_child_does_not_import_torch():
    code = f"import sys, {probe.__name__}; print('torch' in sys.modules)"
    assert subprocess.run(child(code), capture_output=True, text=True).stdout == "False\n"


def test_correct_results_of_a_child_pass(tmp_path):
    (tmp_path / "results").write_bytes(results())
    assert check.check(writing(tmp_path / "results")) == check.Verdict(True)


def change(name, value):
    def changed(found):
        getattr(found[1], name).flat[5] = value

    return changed


@pytest.mark.parametrize("name", probe.Results._fields)
@pytest.mark.parametrize("value", [99.0, float("nan")])
def test_wrong_numbers_fail(tmp_path, name, value):
    (tmp_path / "results").write_bytes(results(change(name, value)))
    found = check.check(writing(tmp_path / "results"))
    assert not found.passed and found.is_final
    assert found.why.startswith(f"{name} of a known convolution is wrong by ")


def test_an_error_just_above_the_limit_fails():
    def scaled(factor):
        def scale(found):
            found[0].out[...] *= 1 + factor * check.LIMITS.out

        return results(scale)

    assert check.compare(scaled(0.5)).passed
    assert not check.compare(scaled(2.0)).passed


@pytest.mark.parametrize("content", [b"", b"\0" * 8, results() + b"\0\0\0\0"])
def test_too_few_or_too_many_results_fail(content):
    found = check.compare(content)
    why = f"the child process wrote {len(content)} bytes, which are no results"
    assert found == check.Verdict(False, why)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "SIGILL"),
    ],
    ids=["abort", "illegal instruction"],
)
def test_a_child_that_dies_fails(code, name):
    found = check.check(child(code))
    assert found == check.Verdict(False, f"the child process was ended by {name}")


@pytest.mark.slow
def test_a_child_that_hangs_fails():
    found = check.check(child("import time; time.sleep(60)"), timeout=0.5)
    assert found == check.Verdict(False, "the child process did not end within 0.5 s")


def test_a_check_that_cannot_be_made_is_not_final(monkeypatch):
    found = check.check(child("raise ValueError('no such thing')"))
    why = "the child process failed: ValueError: no such thing"
    assert found == check.Verdict(False, why, is_final=False)
    found = check.check(["no-such-program"])
    why = "the child process could not be started: No such file or directory"
    assert found == check.Verdict(False, why, is_final=False)
    monkeypatch.setattr(sys, "executable", "")
    found = check.check()
    why = "there is no Python to start as a child process"
    assert found == check.Verdict(False, why, is_final=False)


@pytest.fixture
def checks(monkeypatch):
    """Verdicts that the next checks give, which are removed when they are made."""
    found = []
    monkeypatch.setattr(check, "check", lambda: found.pop(0))
    return found


FAILED = check.Verdict(False, "the child process was ended by SIGILL")


def new_process():
    check._verdict.cache_clear()


@pytest.mark.parametrize("verdict", [check.Verdict(True), FAILED], ids=["passed", "failed"])
def test_a_final_verdict_is_kept(checks, verdict, cache_folder):
    checks += [verdict, check.Verdict(not verdict.passed)]
    assert check.verdict() == check.verdict() == verdict
    new_process()
    assert check.verdict() == verdict
    assert len(checks) == 1
    (file,) = cache_folder.iterdir()
    file.unlink()
    new_process()
    assert check.verdict() != verdict


def test_a_verdict_that_is_not_final_is_not_kept(checks, cache_folder):
    checks += [FAILED._replace(is_final=False), check.Verdict(True)]
    assert not check.verdict().passed
    assert not cache_folder.exists()
    new_process()
    assert check.verdict().passed


@pytest.mark.parametrize(
    "key", ["cpu", "system", "asnn", "kernels", "numba", "llvmlite", "compiled_for"]
)
def test_another_machine_or_version_is_checked_again(checks, monkeypatch, key):
    checks += [check.Verdict(True), FAILED]
    assert check.verdict().passed
    former = check._key()
    assert former.keys() >= {key}
    monkeypatch.setattr(check, "_key", lambda: {**former, key: "another"})
    new_process()
    assert check.verdict() == FAILED


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"passed": "yes", "why": ""}', '{"passed": true, "why": "", "key": {}}'],
)
def test_a_damaged_file_is_checked_again(checks, cache_folder, content):
    checks += [check.Verdict(True), FAILED]
    assert check.verdict().passed
    (file,) = cache_folder.iterdir()
    file.write_text(content)
    new_process()
    assert check.verdict() == FAILED
    assert json.loads(file.read_text())["passed"] is False


def test_where_nothing_can_be_written_each_process_checks(checks, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    checks += [check.Verdict(True), FAILED]
    assert check.verdict().passed and check.verdict().passed
    new_process()
    assert check.verdict() == FAILED


def test_without_a_home_each_process_checks(checks, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(check.Path, "home", no_home)
    checks += [check.Verdict(True)]
    assert check.verdict().passed


def test_a_failed_check_warns_once(checks, monkeypatch, cache_folder):
    monkeypatch.setattr(isa, "used", lambda: "amx")
    checks += [FAILED]
    with pytest.warns(UserWarning) as caught:
        assert not check.has_tiles()
    (file,) = cache_folder.iterdir()
    assert [str(warning.message) for warning in caught] == [
        "the AMX kernels are not used, AVX-512 is: their check on this machine failed (the child "
        f"process was ended by SIGILL); delete {file} to check again, or set ASNN_CPU_ISA=avx512 "
        "to run without AMX and this warning"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not check.has_tiles()


def test_a_passed_check_is_silent(checks, monkeypatch):
    monkeypatch.setattr(isa, "used", lambda: "amx")
    checks += [check.Verdict(True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check.has_tiles()


def test_without_amx_nothing_is_checked(checks, monkeypatch):
    monkeypatch.setattr(isa, "used", lambda: "avx512")
    assert not check.has_tiles()  # a check would raise IndexError


def test_kernels_without_amx_refuse_to_run(monkeypatch):
    import torch

    from asnn.kernels.contract import Convolution
    from asnn.kernels.cpu import backend

    monkeypatch.setattr(isa, "used", lambda: "avx512")
    shape = Convolution(1, (4, 4), (16, 16), (1, 1), (1, 1), (0, 0))
    images = torch.zeros(1, 4, 4, 16)
    with pytest.raises(RuntimeError, match="this process may not use AMX"):
        backend.convolve_tiles(images, images, None, shape)
    with pytest.raises(RuntimeError, match="this process may not use AMX"):
        backend.weight_grad_tiles(images, images, shape)


@pytest.mark.parametrize(
    ("used", "cap", "verdict", "expected", "why"),
    [
        ("amx", None, check.Verdict(True), ("amx", "passed"), "ASNN_CPU_ISA is not set; "),
        (
            "amx",
            "amx",
            FAILED,
            ("avx512", "failed (the child process was ended by SIGILL)"),
            "ASNN_CPU_ISA is amx; ",
        ),
        ("avx2", "avx2", None, ("avx2", "not run"), "ASNN_CPU_ISA is avx2; "),
        (
            "avx2",
            None,
            None,
            ("avx2", "not run"),
            "ASNN_CPU_ISA is not set; numba's own variables (NUMBA_CPU_NAME and others) allow "
            "less; ",
        ),
    ],
    ids=["passed", "failed", "capped", "limited by numba"],
)
def test_the_description(checks, monkeypatch, used, cap, verdict, expected, why):
    checks += [verdict] if verdict else []
    monkeypatch.setattr(isa, "machine", lambda: "amx")
    monkeypatch.setattr(isa, "used", lambda: used)
    monkeypatch.setattr(isa, "cap", lambda: cap)
    assert check.describe() == {
        "used": expected[0],
        "machine": "amx",
        "cap": cap,
        "amx_check": expected[1],
        "why": f"this machine has amx; {why}the check of AMX against torch: {expected[1]}",
    }
