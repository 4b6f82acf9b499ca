"""`run.predict`: the answers of an evaluation, without the data of the training."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import asnn
from asnn.core import ConfigError, DataError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    changes = {"train.epochs": 1, "data.limit": 100, "model.widths": [2], "model.hidden": 8}
    return asnn.train("digits", out=tmp_path_factory.mktemp("p") / "run", changes=changes)


def images(run, count):
    return run.data.test.inputs[:count].float() / run.data.full_scale


def test_answers_are_those_of_the_network(run):
    x = images(run, 20)
    found = run.predict(x, top=3)
    logits = run.model.predict(x)
    assert [each.index for each in found] == logits.argmax(1).tolist()
    assert [each.label for each in found] == [run.labels[k] for k in logits.argmax(1)]
    confidence = logits.softmax(1).amax(1).tolist()
    assert [each.confidence for each in found] == pytest.approx(confidence, abs=1e-6)
    assert all(len(each.top) == 3 and each.top[0].label == each.label for each in found)
    assert found[0].picojoules is None
    assert all(each.picojoules > 0 for each in run.predict(x[:2], energy="45nm-fp32"))
    (one,) = run.predict(x[0])
    assert (one.source, one.label) == ("array", found[0].label)


def test_the_data_of_the_training_are_not_read(run, tmp_path, monkeypatch):
    shutil.copytree(run.path, tmp_path / "run")
    monkeypatch.setattr(
        "asnn.datasets.sources.images.digits.load_digits", lambda: pytest.fail("data are read")
    )
    assert len(asnn.open_run(tmp_path / "run").predict(np.zeros((2, 8, 8)))) == 2


def test_inputs_that_cannot_be_read_raise_or_are_kept(run, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 8)))
    (tmp_path / "b.png").write_text("text")
    with pytest.raises(DataError, match=r"could not decode .*b\.png"):
        run.predict(tmp_path)
    first, second = run.predict(tmp_path, errors="keep")
    assert first.error is None and "could not decode" in second.error.what
    each = run.predict_each([tmp_path / "a.npy", tmp_path / "missing.png"], batch_size=1)
    assert next(each).label in run.labels
    with pytest.raises(DataError, match="is missing"):
        next(each)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"errors": "ignore"}, "unknown errors 'ignore'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"steps": 9}, "from 1 to 4"),
        ({"exit": 2.0}, "cannot be read"),
        ({"device": "cuda:99"}, "is not on this machine"),
        ({"energy": "none"}, "none"),
    ],
)
def test_options_are_checked(run, options, says):
    with pytest.raises((ConfigError, DataError), match=says):
        run.predict(torch.zeros(1, 1, 8, 8), **options)


def test_a_shape_or_a_range_that_does_not_fit_says_what_to_do(run):
    with pytest.raises(DataError, match=r"images \[B, 1, 8, 8\] are expected"):
        run.predict(torch.zeros(2, 28, 28))
    with pytest.raises(DataError, match="values outside") as caught:
        run.predict(torch.full((1, 1, 8, 8), 16.0))
    assert "divide by the largest possible value" in caught.value.remedy


def test_the_page_about_predictions_runs(run, tmp_path, monkeypatch, capsys):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    shutil.copytree(run.path, "runs/a")
    for name in ("pictures/a.png", "a-million-pictures/b.png", "cat.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 30), "red").save(name)
    text = (Path(__file__).parents[2] / "docs/predict.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(code, "docs/predict.md", "exec"), {"asnn": asnn, "x": images(run, 3)})
    assert capsys.readouterr().out.startswith("pictures/a.png ")
