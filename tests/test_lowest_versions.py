"""lowest.txt holds the lower bounds of pyproject.toml, with which `make lowest` runs the tests."""

import copy
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from asnn.kernels import dispatch

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOWEST = (ROOT / "lowest.txt").read_text("utf-8").splitlines()
UNTESTED = {"dev"}  # ruff and basedpyright report other things with each version


def requirements(project):
    """Yield what the project, its extras and its build declare."""
    extras = project["project"]["optional-dependencies"]
    lists = [lines for name, lines in extras.items() if name not in UNTESTED]
    for lines in (project["build-system"]["requires"], project["project"]["dependencies"], *lists):
        yield from map(Requirement, lines)


def bounds(project):
    """Return the lower bounds of each package that is declared."""
    found = {}
    for each in requirements(project):
        lowest = [Version(part.version) for part in each.specifier if part.operator in (">=", "==")]
        found.setdefault(canonicalize_name(each.name), set()).add(max(lowest, default=None))
    return found


def pins(lines):
    """Return the versions of a file of constraints; those that are not exact are None."""
    found = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            each = Requirement(line)
            exact = [Version(part.version) for part in each.specifier if part.operator == "=="]
            found[canonicalize_name(each.name)] = exact[0] if exact else None
    return found


def disagreements(project, lines):
    """Return the packages whose lower bound is missing, not one, or not that of lowest.txt."""
    declared, lowest = bounds(project), pins(lines)
    return {
        name
        for name in declared.keys() | lowest.keys()
        if lowest.get(name) is None or declared.get(name) != {lowest[name]}
    }


def test_lowest_versions_are_the_declared_bounds():
    assert disagreements(PROJECT, LOWEST) == set()
    assert len(pins(LOWEST)) > 30


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda project, lines: project["project"]["dependencies"].append("numpy>=2"), "numpy"),
        (lambda project, lines: project["project"]["dependencies"].append("tqdm"), "tqdm"),
        (lambda project, lines: project["project"]["dependencies"].append("tqdm>=4"), "tqdm"),
        (lambda project, lines: project["build-system"].update(requires=[]), "setuptools"),
        (
            lambda project, lines: project["project"]["optional-dependencies"].update(
                search=["optuna>=4.1"]
            ),
            "optuna",
        ),
        (lambda project, lines: lines.remove("torch==2.7.0"), "torch"),
        (lambda project, lines: lines.append("torch==2.7.1"), "torch"),
        (lambda project, lines: lines.append("torch>=2.7.0"), "torch"),
        (lambda project, lines: lines.append("tqdm==4.0"), "tqdm"),
    ],
)
def test_negative_control_a_change_of_one_file_is_found(change, found):
    project, lines = copy.deepcopy(PROJECT), list(LOWEST)
    change(project, lines)
    assert disagreements(project, lines) == {found}


def test_tested_versions_are_allowed():
    """constraints.txt pins a version within the declared bounds; each torch brings its triton."""
    tested = pins((ROOT / "constraints.txt").read_text("utf-8").splitlines())
    for each in requirements(PROJECT):
        name = canonicalize_name(each.name)
        if name not in ("triton", "onnxruntime", "setuptools") or name in tested:
            assert each.specifier.contains(tested[name]), name


def test_kernels_ask_for_the_declared_versions():
    declared = bounds(PROJECT)
    for name, version in dispatch.MIN_VERSIONS.items():
        assert declared[name] == {Version(".".join(map(str, version)))}
