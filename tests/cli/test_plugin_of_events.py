"""A package from outside the tree adds a task, a readout, a code of events and their data set.

It trains, is stopped in the middle of an epoch and resumed to the same bytes, and is evaluated.
"""

import json
from pathlib import Path

import pytest

from asnn.core import ConfigError
from tests.support.eventful_package import findable_eventful, install_eventful

CHOICE = [
    *("--set", "data.name=blinks", "--set", "data.recordings=80"),
    *("--set", "coding.name=halves", "--set", "coding.steps=3", "--set", "coding.shortest=2"),
    *("--set", "task.name=share", "--set", "task.power=2"),
    *("--set", "readout.name=median", "--set", "readout.clip=3"),
    *("--set", "model.name=mlp", "--set", "model.features=[8]"),
    *("--set", "train.epochs=3", "--set", "train.batch_size=16", "--set", "train.lr=0.02"),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    install_eventful(folder)
    return folder


@pytest.fixture
def package(installed):
    with findable_eventful(installed):
        yield


@pytest.mark.slow
def test_it_trains_is_evaluated_and_its_metric_decides(package, cli):
    trained = cli("train", *CHOICE, "--out", "a", "--json")
    assert trained.code == 0, trained.err
    summary = json.loads(trained.out)
    assert summary["metric"] == {"name": "error", "greater_is_better": False, "percent": False}
    lines = [json.loads(line) for line in Path("a/metrics.jsonl").read_text().splitlines()]
    errors = [line["validation_error"] for line in lines]
    assert len(errors) == 3 and summary["best"]["validation_error"] == min(errors)
    assert "validation_accuracy" not in lines[0]
    found = json.loads(cli("eval", "a", "--json").out)
    assert found["task"] == "share" and 0 < found["error"] < 0.2
    assert "confusion" not in found
    shown = cli("eval", "a").err
    assert "error" in shown and "confusion" not in shown
    listed = cli("runs", "list", ".").err
    assert f"error {min(errors):.4g}" in listed
    refused = cli("export", "a", "--format", "onnx")
    assert refused.code == 2 and "the readout Median cannot be exported" in refused.err


@pytest.mark.slow
def test_its_runs_are_compared_corrupted_and_reported(package, installed, cli, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(installed))  # of the processes of the members
    without = CHOICE[: CHOICE.index("train.lr=0.02") - 1]
    grid = ["--grid", "train.lr=1e-4,2e-2", "--seeds", "2"]
    swept = cli("sweep", *without, *grid, "--out", "s", "--json")
    assert swept.code == 0, swept.err
    found = json.loads(swept.out)
    slow, fast = (point["error"]["mean"] for point in found["points"])
    assert found["metric"]["name"] == "error" and fast < slow
    assert [point["rank"] for point in found["points"]] == [2, 1]
    runs = ["s/train.lr=0.0001,seed=0", "s/train.lr=0.02,seed=0"]
    corrupted = json.loads(cli("eval", runs[1], "--corrupt", "event-drop=1", "--json").out)
    clean, empty = (row["error"] for row in corrupted["corruption"])
    assert clean == corrupted["error"] < empty
    assert cli("report", *runs, "-o", "page.html").code == 0
    page = Path("page.html").read_text("utf-8")
    assert "0.02 is best, with the lowest error" in page and "Metrics of the task share" in page


@pytest.mark.slow
def test_a_stopped_training_ends_with_the_same_bytes(package, tmp_path):
    import asnn

    changes = {
        key: value for key, _, value in (each.partition("=") for each in CHOICE if each != "--set")
    }
    changes = {key: _plain(value) for key, value in changes.items()}
    whole = asnn.train(out=tmp_path / "whole", changes=changes)
    asked = iter([False] * 4 + [True] * 1000)
    part = asnn.train(out=tmp_path / "part", changes=changes, stop=lambda: next(asked))
    assert not part.files.finished
    resumed = asnn.train(resume=part.path)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()


def _plain(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def test_options_are_checked_by_their_signatures(package):
    from asnn.learning import check_recipe

    document = {
        "data": {"name": "blinks"},
        "coding": {"name": "halves", "shortst": 2},
        "task": {"name": "share", "power": "two"},
        "readout": {"name": "median", "clp": 3},
    }
    with pytest.raises(ConfigError) as refused:
        check_recipe(document)
    assert "coding.shortst: unknown key; did you mean coding.shortest?" in refused.value.why
    assert "readout.clp: unknown key; did you mean readout.clip?" in refused.value.why
    assert "task.power" in refused.value.why
