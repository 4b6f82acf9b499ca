"""`constraints-hashes.txt` covers `pyproject.toml` and `constraints.txt`, with hashes of files."""

import json
import re
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from studies.hashes import (
    ALONE,
    CPU_FILE,
    CPU_FILES,
    CPU_HEAD,
    EXTRAS,
    FILE,
    ROOT,
    name_of,
    read_pins,
    required,
    torch_version,
    written,
)

PINS = read_pins(FILE.read_text("utf-8"))
CPU_PINS = read_pins(CPU_FILE.read_text("utf-8"))
TEXT = {"check": True, "capture_output": True, "text": True}


def uncovered(pins) -> list[str]:
    """Return the requirements that no pin meets."""
    constraints = read_pins((ROOT / "constraints.txt").read_text("utf-8"))
    found = [
        each
        for each in (*required(list(EXTRAS)), *ALONE)
        if not any(
            Requirement(each).specifier.contains(line.split()[0].partition("==")[2])
            for line in pins.get(name_of(each), [])
        )
    ]
    for name, (line,) in constraints.items():
        version = line.partition("==")[2]
        if not any(re.search(rf"=={re.escape(version)}( |$)", each) for each in pins.get(name, [])):
            found.append(line)
    return found


def unhashed(pins) -> list[str]:
    """Return the lines without a version, or without a SHA-256."""
    line_form = re.compile(r"\S+==\S+( ; .+?)?( --hash=sha256:[0-9a-f]{64})+")
    return [line for lines in pins.values() for line in lines if not line_form.fullmatch(line)]


def test_every_requirement_is_pinned_with_hashes():
    assert uncovered(PINS) == []
    assert unhashed(PINS) == []
    assert "://" not in FILE.read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("numpy", None),
        ("setuptools", None),
        ("numpy", "numpy==1.0 --hash=sha256:" + 64 * "0"),
        ("h5py", None),
    ],
)
def test_a_missing_or_other_version_is_found(name, change):
    pins = {key: lines for key, lines in PINS.items() if key != name}
    pins |= {} if change is None else {name: [change]}
    assert [name_of(each) for each in uncovered(pins)].count(name) >= 1


@pytest.mark.parametrize("line", ["numpy==2.4.6", "numpy --hash=sha256:" + 64 * "0", "numpy>=2"])
def test_a_line_without_version_or_hash_is_found(line):
    assert unhashed({**PINS, "numpy": [line]}) == [line]


def test_the_file_for_cpus():
    """It has the same version of torch, and other lines for packages of the main file alone."""
    assert unhashed(CPU_PINS) == []
    assert set(CPU_PINS) == {"torch", "triton"} and set(CPU_PINS) <= set(PINS)
    (line,) = CPU_PINS["torch"]
    assert PINS["torch"][0].split()[0] == line.split()[0].removesuffix("+cpu")
    (files,) = CPU_FILES.values()
    assert line.split()[1:] == [f"--hash=sha256:{sha256}" for sha256 in files.values()]
    assert uncovered(PINS | {"triton": CPU_PINS["triton"]}) == []


def test_the_files_are_as_they_were_written():
    assert written(PINS) == FILE.read_text("utf-8")
    assert written(CPU_PINS, CPU_HEAD) == CPU_FILE.read_text("utf-8")


def test_lines_for_pip():
    command = [sys.executable, "-m", "studies.hashes"]
    lines = subprocess.run([*command, "--lines", "pip", "Typing_Extensions"], cwd=ROOT, **TEXT)
    assert lines.stdout.splitlines() == [*PINS["pip"], *PINS["typing-extensions"]]
    needs = subprocess.run([*command, "--of", "dev"], cwd=ROOT, **TEXT)
    assert needs.stdout.splitlines() == required(["dev"])


@pytest.mark.parametrize("version", ["2.13.0", "2.13.0+cpu", "2.13.0+cu130"])
def test_the_lines_for_a_build_of_torch(tmp_path, version):
    report = tmp_path / "report.json"
    found = [{"metadata": {"name": "torch", "version": version}}]
    report.write_text(json.dumps({"install": found}))
    command = [sys.executable, "-m", "studies.hashes", "--with", str(report)]
    pins = read_pins(subprocess.run(command, cwd=ROOT, **TEXT).stdout)
    assert pins == (PINS | CPU_PINS if version == "2.13.0+cpu" else PINS)
    report.write_text('{"install": []}')  # torch is installed already
    assert torch_version(report) == metadata.version("torch")
