"""`asnn doctor` on the CPU kernels; the rest of it is tested with the recipes."""

import json

import pytest

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.core import ConfigError
from asnn.kernels.cpu import isa
from asnn.kernels.cpu.amx import check


def test_the_instruction_set_and_why(cli):
    result = cli("doctor", "--json")
    found = json.loads(result.out)
    assert result.code == 0
    assert found["kernels"] == {"cpu": check.describe()}
    assert list(found["devices"]["cpu"]) == ["threads"]
    shown = cli("doctor").err
    described = check.describe()
    line = f"CPU kernels use {described['used']}: {described['why']}"
    assert "".join(line.split()) in "".join(shown.split())  # but for line breaks


def test_an_unknown_instruction_set_is_a_problem(cli, monkeypatch):
    def refuse():
        raise ConfigError("ASNN_CPU_ISA=avx is not an instruction set", remedy="did you mean avx2?")

    monkeypatch.setattr(isa, "cap", refuse)
    monkeypatch.setattr(isa, "used", refuse)
    result = cli("doctor", "--json")
    assert result.code == 1
    found = json.loads(result.out)
    assert found["kernels"] == {"cpu": None}
    assert found["problems"] == [
        {
            "what": "ASNN_CPU_ISA=avx is not an instruction set",
            "why": "",
            "remedy": "did you mean avx2?",
        }
    ]


def test_kernels_that_do_not_work_are_a_problem(cli, monkeypatch):
    def broken():
        raise OSError("libLLVM.so: cannot open shared object file")

    monkeypatch.setattr(check, "describe", broken)
    result = cli("doctor")
    assert result.code == 1
    assert "the CPU kernels do not work: libLLVM.so: cannot open" in result.err
