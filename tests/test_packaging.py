"""The wheel holds the package and nothing else, and works where no checkout is."""

import ast
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

import asnn
from studies.architecture import FOLDERS, ORDER, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
ROOMS = {name.split(".")[0]: FOLDERS.get(name.split(".")[0], name.split(".")[0]) for name in ORDER}


def test_every_folder_is_a_package_of_the_wheel():
    found = set()
    for room, folder in ROOMS.items():
        for path in (ROOT / folder).rglob("__init__.py"):
            inner = path.parent.relative_to(ROOT / folder).parts
            found.add(".".join((room if room == "asnn" else f"asnn.{room}", *inner)))
    assert sorted(found) == sorted(PROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.slow
def test_what_is_imported_is_declared():
    """Every package that the code imports is a dependency, or of an extra where it is optional."""
    names = {
        each.split(";")[0].split(">")[0].split("=")[0].split("<")[0].split("[")[0].strip().lower()
        for each in requires("asnn") or []
    }
    optional = {"triton", "loguru"}  # with torch's builds for CUDA, and with SpikingJelly
    of_module = packages_distributions()
    undeclared = {}
    for folder in ROOMS.values():
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                modules = []
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    modules = [node.module or ""]
                for module in modules:
                    top = module.split(".")[0]
                    if top == "asnn" or top in sys.stdlib_module_names or top in optional:
                        continue
                    known = {each.lower().replace("_", "-") for each in of_module.get(top, [])}
                    if top == "google":
                        known = {"protobuf"}
                    if not known & names:
                        undeclared[top] = str(path.relative_to(ROOT))
    assert undeclared == {}


def test_what_is_declared_is_imported():
    """No dependency is installed for nothing."""
    text = "\n".join(
        path.read_text("utf-8") for f in ROOMS.values() for path in (ROOT / f).rglob("*.py")
    )
    # By another name, or used by torch, numba or the command line without an import of ours.
    modules = {
        "scikit-learn": "sklearn",
        "pillow": "PIL",
        "protobuf": "google.protobuf",
        "tomli-w": "tomli_w",
        "onnxruntime-gpu": "onnxruntime",
    }
    for each in PROJECT["project"]["dependencies"]:
        name = each.split(";")[0].split(">")[0].split("=")[0].split("<")[0].strip()
        module = modules.get(name, name)
        assert f"import {module}" in text or f"from {module}" in text or f'"{module}"' in text, name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of the files that the repository knows."""
    copy = tmp_path_factory.mktemp("copy")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git repository to list the files of")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("docs/", "tests/")):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    built = subprocess.run(
        [*command, "--no-index", "-w", "dist", "."], cwd=copy, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    (found,) = (copy / "dist").glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_the_package_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "asnn",
        f"asnn-{asnn.__version__}.dist-info",
    }
    rooms = {name.split("/")[1] for name in names if name.startswith("asnn/")}
    assert not rooms & {"studies", "tests"}
    for name in (
        "asnn/py.typed",
        "asnn/cli/recipe_files/digits.toml",
        "asnn/measure/cost/energy_tables/45nm-fp32.toml",
        "asnn/reports/templates/run.html",
    ):
        assert name in names


@pytest.mark.slow
def test_the_wheel_works_without_a_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import asnn, asnn.core, asnn.api; print(asnn.core.__file__); "
        "m = asnn.create_model('mlp', in_shape=(1, 4, 4), classes=2, features=[4]); "
        "from asnn.cli.app import run; raise SystemExit(run(['recipes', 'list']))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site/asnn/core"))
    assert "digits" in done.stdout + done.stderr
