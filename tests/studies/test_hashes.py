"""`constraints-hashes.txt` covers `pyproject.toml` and `constraints.txt`, with hashes of files."""

import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from studies.hashes import (
    ALONE,
    EXTRAS,
    FILE,
    OTHER_FILES,
    ROOT,
    chosen,
    name_of,
    read_pins,
    required,
    written,
)

PINS = read_pins(FILE.read_text("utf-8"))
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


def test_hashes_of_other_indexes():
    torch = (PINS["torch"])[0]
    for sha256 in OTHER_FILES["torch"].values():
        assert f"--hash=sha256:{sha256}" in torch
    version = next(iter(OTHER_FILES["torch"])).split("-")[1].partition("+")[0]
    assert f"torch=={version} " in torch


def test_the_file_is_as_it_was_written():
    assert written(PINS) == FILE.read_text("utf-8")


def test_lines_for_pip(tmp_path):
    command = [sys.executable, "-m", "studies.hashes"]
    lines = subprocess.run([*command, "--lines", "pip", "Typing_Extensions"], cwd=ROOT, **TEXT)
    assert lines.stdout.splitlines() == [*PINS["pip"], *PINS["typing-extensions"]]
    report = tmp_path / "report.json"
    report.write_text('{"install": [{"metadata": {"name": "torch", "version": "2.13.0+cpu"}}]}')
    assert chosen(report) == ["torch==2.13.0+cpu"]
    needs = subprocess.run([*command, "--of", "dev", "--as", str(report)], cwd=ROOT, **TEXT)
    assert needs.stdout.splitlines() == [*required(["dev"]), "torch==2.13.0+cpu"]
