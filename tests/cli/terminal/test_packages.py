"""A missing package ends in one line, before the work; no picture costs a training."""

import json
import sys
from pathlib import Path

import pytest

from asnn.core.errors import AsnnError
from asnn.core.packages import missing_package, require_package
from tests.support.command_line import TINY


@pytest.fixture
def without(monkeypatch):
    """Make modules impossible to import, with what they hold."""

    def block(name):
        loaded = [module for module in sys.modules if module.partition(".")[0] == name]
        for module in [name, *loaded]:
            monkeypatch.setitem(sys.modules, module, None)

    return block


def test_an_installed_package_is_taken_and_a_missing_one_refused(without):
    require_package("matplotlib", "a picture")
    without("matplotlib")
    with pytest.raises(AsnnError) as caught:
        require_package("matplotlib", "a picture", otherwise="--no-plot")
    error = caught.value
    assert (error.what, error.why) == ("the package matplotlib is missing", "a picture needs it")
    assert error.remedy == "pip install matplotlib, or --no-plot"


@pytest.mark.parametrize(
    ("error", "what", "remedy"),
    [
        (ModuleNotFoundError("x", name="sklearn.datasets"), "scikit-learn is missing", "pip inst"),
        (ModuleNotFoundError("x", name="nir"), "the package nir is missing", "pip install nir"),
        (ModuleNotFoundError("x", name="tomli_w"), "package tomli_w is missing", "pip install tom"),
        (ModuleNotFoundError("x", name="optuna"), "the package optuna is missing", "pip install o"),
        (ImportError("libcudart.so: none", name="onnxruntime"), "cannot be imported", "doctor"),
        (ImportError("DLL load failed"), "a package cannot be imported", "doctor"),
    ],
)
def test_the_error_of_an_import(error, what, remedy):
    found = missing_package(error)
    assert what in found.what and remedy in found.remedy


@pytest.mark.parametrize("name", ["nmpyy", "numpy_x", "test", "extra"])
def test_no_pip_command_for_a_module_that_asnn_does_not_declare(name):
    """Its name may be a slip of the pen, and the package of that name anybody's."""
    found = missing_package(ModuleNotFoundError(f"No module named '{name}'", name=name))
    assert found.what == f"the module {name} is missing"
    assert "the package that imports it (a plug-in or your module) needs it" in found.why
    assert "pip" not in found.why + found.remedy and "correct that import" in found.remedy


@pytest.mark.slow
def test_a_training_without_matplotlib_comes_to_its_end(cli, without):
    without("matplotlib")
    result = cli("train", *TINY, "--out", "a")
    assert result.code == 0
    assert "warning: curves.png is not drawn: the package matplotlib is missing" in result.err
    assert json.loads(Path("a/summary.json").read_text())["finished"] is True
    assert not Path("a/curves.png").exists()
    result = cli("eval", "a")
    assert result.code == 0 and "schedules.png is not drawn" in result.err


def test_a_picture_that_fails_costs_no_training(cli, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no font was found")

    monkeypatch.setattr("asnn.learning.loop.draw_curves", broken)
    result = cli("train", *TINY, "--out", "a")
    assert result.code == 0 and "curves.png is not drawn: no font was found" in result.err
    assert json.loads(Path("a/summary.json").read_text())["finished"] is True


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("matplotlib", ["encode", "--dataset", "digits", "--limit", "2", "--plot", "a.png"]),
        ("matplotlib", ["encode", "--dataset", "digits", "--compare", "direct,temporal"]),
        ("matplotlib", ["report", "{run}", "-o", "a.html"]),
        ("matplotlib", ["bench", "--quick", "--plot", "a.png"]),
        ("onnxruntime", ["export", "{run}", "-f", "onnx", "-o", "a"]),
    ],
)
def test_it_is_refused_before_the_work(cli, trained, without, package, arguments):
    without(package)
    result = cli(*(text.format(run=trained) for text in arguments))
    assert result.code == 1 and "Traceback" not in result.err
    assert f"the package {package} is missing" in result.err
    assert f"pip install {package}" in result.err
    assert not list(Path().glob("*.png")) and not Path("a").exists() and not Path("a.html").exists()


def test_an_export_without_verification_needs_no_onnxruntime(cli, trained, without):
    without("onnxruntime")
    result = cli("export", trained, "-f", "onnx", "-o", "a", "--no-verify")
    assert result.code == 0 and Path("a/model.onnx").is_file()
