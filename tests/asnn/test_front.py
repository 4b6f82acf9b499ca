"""`import asnn`: it is light, lists its names, and each of them works on a run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import asnn
from asnn.core import ConfigError, DataError
from asnn.exporters import Samples, source_of
from tests.support.command_line import TINY

ROOT = Path(__file__).parents[2]
CHANGES = {"train.epochs": 1, "data.limit": 100, "model.widths": [4, 8], "model.hidden": 16}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return asnn.train("digits", out=tmp_path_factory.mktemp("front") / "run", changes=CHANGES)


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_imports_nothing_heavy():
    heavy = "{'torch', 'numpy', 'numba', 'onnx', 'pydantic', 'typer', 'rich'}"
    code = f"import sys, asnn; print(asnn.__version__, {heavy} & set(sys.modules))"
    assert in_a_fresh_process(code) == f"{asnn.__version__} set()\n"


def test_dir_lists_the_names_and_each_is_there():
    assert dir(asnn) == sorted(asnn.__all__)
    assert set(dir(asnn)) == {
        *("__version__", "create_model", "create_coding", "AdaptiveLeaky", "open_run"),
        *("load_run", "train", "evaluate", "export_onnx", "export_nir", "verify", "import_nir"),
    }
    for name in dir(asnn):
        assert getattr(asnn, name).__doc__
    with pytest.raises(AttributeError, match="module 'asnn' has no attribute 'trian'"):
        asnn.trian  # noqa: B018


def test_typed_names_are_the_lazy_ones():
    """What type checkers are told is what an import gives."""
    text = (ROOT / "asnn/__init__.py").read_text()
    typed = set(re.findall(r"\w+", " ".join(re.findall(r"    from asnn[\w.]+ import (.*)", text))))
    assert typed == {*asnn.__all__} - {"__version__"}
    assert (ROOT / "asnn/py.typed").exists()


def test_python_m_asnn():
    done = subprocess.run(
        [sys.executable, "-m", "asnn", "--version"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"asnn {asnn.__version__}\n"


@pytest.mark.slow
def test_train_gives_the_bytes_of_the_command(tmp_path, monkeypatch):
    from asnn.cli.app import run as command

    monkeypatch.chdir(tmp_path)
    assert command(["train", *TINY, "--out", "a"]) == 0
    words = dict(word.split("=") for word in TINY if "=" in word)
    asnn.train(out="b", changes={key: json.loads(value) for key, value in words.items()})
    for name in ("model.safetensors", "metrics.jsonl", "config.toml"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()


@pytest.mark.slow
def test_a_training_that_is_stopped_is_resumed(run, tmp_path):
    stopped = asnn.train("digits", out=tmp_path / "run", changes=CHANGES, stop=lambda: True)
    assert not stopped.files.finished
    resumed = asnn.train(resume=stopped.path)
    assert resumed.files.model.read_bytes() == run.files.model.read_bytes()
    with pytest.raises(ConfigError, match="is finished already"):
        asnn.train(resume=stopped.path)


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        ("digit", {}, "unknown recipe 'digit'"),
        ("digits", {"train.epoch": 3}, "did you mean train.epochs"),
        ({"data": {"name": "digits"}, "modell": {}}, {}, "modell"),
    ],
)
def test_faults_of_a_recipe_leave_nothing_behind(recipe, changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        asnn.train(recipe, changes=changes, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_evaluate_opened_or_by_folder(run):
    opened, folder = asnn.evaluate(run), asnn.evaluate(run.path, "validation")
    assert opened.accuracy == run.evaluate("test").accuracy
    assert folder.samples == len(run.data.validation)
    assert run.evaluate(steps=1).accuracy == pytest.approx(opened.accuracy_per_step[0])


@pytest.mark.slow
@pytest.mark.parametrize("export", [asnn.export_onnx, asnn.export_nir])
def test_exports_are_verified(export, run, tmp_path):
    suffix = ".onnx" if export is asnn.export_onnx else ".nir"
    file = tmp_path / f"model{suffix}"
    written = export(run, file, samples=16)
    assert written.report.fault is None and len(written.report.samples) == 16
    assert asnn.verify(run.path, file, samples=16).fault is None
    with torch.no_grad():
        weights = run.load_model()
        weights.body.readout.linear.bias[0] += 1
    assert asnn.verify(weights, file).fault is not None


def test_a_network_without_data_is_verified_on_noise(tmp_path):
    model = asnn.create_model(
        "mlp", in_shape=(1, 4, 4), classes=3, coding="hybrid", steps=2, features=[8]
    ).eval()
    written = asnn.export_onnx(model, tmp_path / "model.onnx")
    assert "noise" in written.report.samples.name
    source = source_of(model)
    own = Samples(torch.rand(5, 1, 4, 4).numpy(), None, "own")
    assert len(asnn.export_onnx(source, tmp_path / "model.onnx", samples=own).report.samples) == 5
    assert asnn.export_onnx(model, tmp_path / "model.onnx", samples=None).report is None


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    for function in (asnn.open_run, asnn.evaluate, asnn.load_run):
        with pytest.raises(DataError, match="is not a run"):
            function(tmp_path / "nothing")


@pytest.mark.slow
def test_the_page_about_python_runs(tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs/python.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    tiny = '"data.limit": 100, "model.widths": [4, 8], "model.hidden": 16, "train.epochs": 1'
    assert '"train.epochs": 2' in code
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace('"train.epochs": 2', tiny), "docs/python.md", "exec"), {})
    assert capsys.readouterr().out.endswith("None\n")
    for name in set(dir(asnn)) - {"__version__"}:
        assert f"`{name}" in text, f"the page does not name {name}"


@pytest.mark.parametrize("more", [{"recipe": "digits"}, {"out": "x"}, {"changes": CHANGES}])
def test_a_resumed_run_keeps_its_configuration(run, more):
    with pytest.raises(ConfigError, match="resume goes without recipe, out and changes"):
        asnn.train(resume=run.path, **more)


def test_verifying_without_samples_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match="verify needs samples"):
        asnn.verify(run, tmp_path / "model.onnx", samples=None)


def test_a_checkout_without_an_installation_is_the_package(tmp_path):
    # -S leaves out site-packages, and with it the finder of an editable installation.
    code = "import asnn, asnn.core.units, asnn.cli; print(asnn.cli.__file__)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"{ROOT / 'asnn_cli' / '__init__.py'}\n", done.stderr
    elsewhere = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "No module named 'asnn'" in elsewhere.stderr
