"""A run, opened: recipe, network and data are those of the training, or it is refused."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError, DataError
from asnn.measure import evaluate
from asnn.models import load_run
from asnn.records.create import create_run
from asnn.records.layout import Run
from asnn.records.open_run import open_run
from asnn.records.record import read_exports


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    import asnn

    changes = {"train.epochs": 1, "data.limit": 100, "model.widths": [2], "model.hidden": 8}
    folder = tmp_path_factory.mktemp("opened") / "run"
    return asnn.train("digits", out=folder, changes=changes).path


def test_it_gives_recipe_network_and_data(trained):
    run = open_run(trained)
    assert (run.recipe.name, run.recipe.train.epochs) == ("digits", 1)
    assert run.data.name == "digits" and len(run.data.train) == 100
    assert not run.model.training
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(run.model.predict(x), load_run(trained).predict(x))
    assert run.labels == run.data.classes
    assert run.record.state == "finished"
    assert repr(run) == f"OpenRun({str(trained)!r})"


def test_it_evaluates_as_the_function_does(trained):
    run = open_run(trained)
    found = evaluate(run.model, run.data.test, classes=10, full_scale=run.data.full_scale)
    assert run.evaluate("test").confusion == found.confusion
    with pytest.raises(ConfigError):
        run.evaluate("tset")
    with pytest.raises(ConfigError, match="steps must be from 1 to 4"):
        run.evaluate(steps=5)


def test_nothing_is_read_before_it_is_asked_for(trained, tmp_path):
    """A run on another disk opens at once; a damaged file counts only where it is used."""
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run/model.safetensors").write_bytes(b"damaged")
    run = open_run(tmp_path / "run")
    assert run.recipe.name == "digits"
    with pytest.raises(DataError, match="has changed since it was trained"):
        run.model  # noqa: B018
    with pytest.raises(DataError, match="has changed since it was trained"):
        run.load()


def test_a_recipe_of_another_machine_opens(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    config = tmp_path / "run/config.toml"
    config.write_text(config.read_text().replace('device = "auto"', 'device = "cuda:7"'))
    assert 'device = "cuda:7"' in config.read_text()
    assert open_run(tmp_path / "run").model is not None


def test_changed_data_are_warned_of(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    environment = tmp_path / "run/environment.json"
    text = environment.read_text()
    fingerprint = open_run(trained).data.fingerprint
    assert fingerprint in text
    environment.write_text(text.replace(fingerprint, "0" * 64))
    with pytest.warns(UserWarning, match=f"{fingerprint[:12]} now, 0{{12}} in the training"):
        open_run(tmp_path / "run").data  # noqa: B018
    with warnings.catch_warnings():  # the negative control: unchanged data say nothing
        warnings.simplefilter("error")
        open_run(trained).data  # noqa: B018


def test_data_of_another_shape_or_other_classes_are_refused(trained):
    import dataclasses

    run = open_run(trained)
    data = run.data
    run.require_fit(data)
    with pytest.raises(DataError, match="other classes"):
        run.require_fit(dataclasses.replace(data, classes=data.classes[::-1]))
    wide = dataclasses.replace(data, spec=SampleSpec("image", (1, 9, 8)))
    with pytest.raises(DataError, match="shape"):
        run.require_fit(wide)


@pytest.mark.filterwarnings("ignore:the data are not those of the training")
def test_only_keys_of_data_may_change(trained):
    assert len(open_run(trained, changes=["data.limit=50"]).data.train) == 50
    moved = open_run(trained, data_dir="elsewhere")
    with pytest.raises(ConfigError, match=r"data\.dir: a folder .* does not place"):  # of digits
        moved.recipe  # noqa: B018
    with pytest.raises(ConfigError, match="--set takes keys of data only"):
        open_run(trained, changes=["train.epochs=3"])


def test_a_run_folder_is_never_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = create_run(None, "x"), create_run(None, "x")
    assert first.path != second.path and first.path.name.startswith("x-")
    (first.path / "config.toml").write_text("")
    with pytest.raises(ConfigError, match="is not empty"):
        create_run(first.path, "x")
    assert create_run(tmp_path / "new", "x").path.is_dir()


def test_exports_that_cannot_be_read_are_empty(tmp_path):
    for name, text in (("onnx", '{"verified": true}'), ("nir", "{"), ("other", "[1]")):
        folder = tmp_path / "export" / name
        folder.mkdir(parents=True)
        (folder / "parity.json").write_text(text)
    found = read_exports(Run(tmp_path))
    assert found == {"nir": {}, "onnx": {"verified": True}, "other": {}}
