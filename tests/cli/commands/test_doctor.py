"""`asnn doctor` on the CPU kernels; the rest of it is tested with the recipes."""

import json
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

import asnn
from asnn.cli.commands.plugins import REGISTRIES, _registry, examine_plugins
from asnn.core import ConfigError
from asnn.core.registry import Registry
from asnn.kernels.cpu import isa
from asnn.kernels.cpu.amx import check
from tests.support.installed_package import install

ROOMS = ("tasks", "learning", "coding", "models", "datasets", "exporters", "measure")


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


POINTS = """
[asnn.codings]
good = plugged.good:Code
temporal = plugged.good:Code
broken = plugged.broken:Code
absent = plugged.good:Nothing

[asnn.coding]
wrong = plugged.good:Code

[console_scripts]
other = plugged.good:main
"""
MODULES = {"good": "class Code: ...", "broken": "import not_there"}


def test_plug_ins_are_listed_and_those_that_are_not_used_are_problems(cli, tmp_path, monkeypatch):
    assert json.loads(cli("doctor", "--json").out)["plugins"] == []
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "plugged", MODULES, POINTS)
    monkeypatch.syspath_prepend(tmp_path / "site")
    result = cli("doctor", "--json")
    found = json.loads(result.out)
    states = {each["name"]: each["state"] for each in found["plugins"]}
    assert {each["package"] for each in found["plugins"]} == {"plugged 1.0"}
    assert states["good"] == "loads" and "other" not in states
    assert "No module named 'not_there'" in states["broken"]
    assert "AttributeError" in states["absent"] and "which is taken" in states["temporal"]
    assert result.code == 1 and len(found["problems"]) == 4
    remedies = {each["what"].split("'")[1]: each["remedy"] for each in found["problems"]}
    assert remedies["wrong"] == "its author may mean asnn.codings"
    assert "pip uninstall plugged" in remedies["broken"]
    shown = cli("doctor").err
    assert "plug-ins" in shown and "problem: the plug-in 'broken' (asnn.codings)" in shown


def test_plug_ins_that_exit_or_print_leave_doctor_at_work(cli, tmp_path, monkeypatch):
    points = "[asnn.codings]\nexits = loud.exits:Code\nprints = loud.prints:Code\n"
    modules = {"exits": "import sys; sys.exit(3)", "prints": "print('hello')\nclass Code: ..."}
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "loud", modules, points)
    monkeypatch.syspath_prepend(tmp_path / "site")
    result = cli("doctor", "--json")
    states = {each["name"]: each["state"] for each in json.loads(result.out)["plugins"]}
    assert states == {"exits": "SystemExit: 3", "prints": "loads"}
    assert result.code == 1 and "hello" in result.err


def test_an_interrupt_while_plug_ins_load_stops_doctor(tmp_path, monkeypatch):
    points = "[asnn.codings]\nstops = stopped.stops:Code\n"
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "stopped", {"stops": "raise KeyboardInterrupt"}, points)
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(KeyboardInterrupt):
        examine_plugins()


@pytest.mark.slow
def test_every_registry_is_looked_at():
    """A registry is an object that some module of asnn assigns."""
    root = Path(asnn.__file__).parent.parent
    sources = [p.read_text() for p in root.glob("*/**/*.py") if p.parts[len(root.parts)] in ROOMS]
    made = {kind for text in sources for kind in re.findall(r"= Registry\(\s*\"(\w+)\"", text)}
    assert made == set(REGISTRIES)
    for kind in REGISTRIES:
        assert isinstance(_registry(kind), Registry) and _registry(kind).kind == kind


def test_remedies_presume_no_checkout(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    problem = json.loads(cli("doctor", "--json").out)["problems"][0]
    assert problem["remedy"] == "pip install --force-reinstall nir"


@pytest.mark.parametrize("required", ["torch (==2.12.1)", "torch==2.12.1", "torch==2.12.1; x"])
def test_torchvision_for_another_torch_is_a_problem(cli, monkeypatch, required):
    versions = {"torch": "2.13.0+cpu", "torchvision": "0.27.1+cu130"}
    monkeypatch.setattr("importlib.metadata.requires", lambda name: ["numpy", required])
    monkeypatch.setattr("importlib.metadata.version", lambda name: versions.get(name, "1.0"))
    result = cli("doctor", "--json")
    assert result.code == 1
    assert json.loads(result.out)["problems"] == [
        {
            "what": "torchvision 0.27.1+cu130 does not fit torch 2.13.0+cpu",
            "why": "it is made for torch 2.12.1",
            "remedy": "install both at once: pip install --upgrade torch torchvision",
        }
    ]
    versions["torch"] = "2.12.1"
    assert cli("doctor").code == 0


def test_builds_for_other_devices_are_a_note(cli, monkeypatch):
    module = "asnn.datasets.sources.images.torchvision_import.lacks_operators"
    monkeypatch.setattr(module, lambda: True)
    result = cli("doctor")
    assert result.code == 0
    assert "its compiled operators cannot be loaded" in " ".join(result.err.split())
    monkeypatch.setattr(module, lambda: False)
    assert json.loads(cli("doctor", "--json").out)["notes"] == []
