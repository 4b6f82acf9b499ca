"""`asnn eval` of regressions, classes for steps and networks without spikes."""

import json
import sys

import pytest
from PIL import Image

from asnn.cli.commands.eval.corrupt import CorruptionProgress, show_robustness
from asnn.core.metric import Metric
from tests.support.series_tasks import regression_file, step_file


@pytest.fixture
def regression(cli, tmp_path):
    assert cli("train", *regression_file(tmp_path / "a.npz"), "--out", "run").code == 0
    return "run"


@pytest.mark.slow
def test_corruptions_of_a_regression_are_measured_by_its_mse(cli, regression):
    shown = cli("eval", regression, "--corrupt", "series-drop=0.5", "--corrupt", "spike-drop=1")
    assert shown.code == 0, shown.err
    assert "series-drop: share of the steps that are set to 0; mse, lower is better" in shown.err
    found = json.loads(cli("eval", regression, "--corrupt", "all", "--json").out)
    assert found["metric"]["name"] == "mse"
    names = list(dict.fromkeys(row["corruption"] for row in found["corruption"]))
    of_series, of_spikes = ["series-drop", "series-shuffle"], ["spike-drop", "spike-jitter"]
    assert names == [*of_series, *of_spikes, "quantize", "dead-neurons"]
    for row in found["corruption"]:
        assert "accuracy" not in row
        assert row["severity"] or row["mse"] == found["mse"]
    with Image.open("run/robustness.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.slow
def test_corruptions_of_step_classes_are_measured_by_their_accuracy(cli, tmp_path):
    assert cli("train", *step_file(tmp_path / "a.npz"), "--out", "run").code == 0
    found = json.loads(cli("eval", "run", "--corrupt", "series-noise=0.1,10", "--json").out)
    clean, mild, hard = (row["accuracy"] for row in found["corruption"])
    assert clean == found["accuracy"] and hard < clean - 0.1 < mild


@pytest.mark.slow
def test_samples_have_the_word_of_their_kind(cli, regression):
    shown = cli("eval", regression, "--energy", "--latency").err
    assert "operations and energy of one series" in shown and "time per series" in shown
    assert "image" not in shown.replace("its samples are not images", "")


@pytest.mark.slow
def test_a_network_without_spikes_has_no_spike_rate(cli, tmp_path):
    options = [each for each in step_file(tmp_path / "a.npz") if "features" not in each]
    options = [each.replace("model.name=mlp", "model.name=lstm") for each in options]
    at = options.index("model.name=lstm") + 1
    del options[at]  # the --set of the features
    trained = cli("train", *options, "--out", "run")
    assert trained.code == 0, trained.err
    assert "spike rate –" in trained.err and "spike rate 0" not in trained.err
    shown = cli("eval", "run", "--corrupt", "series-drop=0.5").err
    assert "spike rate –" in shown and "0.0000" not in shown
    assert "by step" not in shown or "spike rate" not in shown.partition("metrics")[0]
    listed = json.loads(cli("runs", "list", ".", "--json").out)
    assert listed["runs"][0]["best"]["spike_rate"] is None


@pytest.mark.slow
def test_a_limit_without_effect_is_refused(cli, regression):
    for command in ("eval", "report"):
        for split in ("test", "validation"):
            limited = ("--set", "data.limit=5", "--split", split)
            result = cli(command, regression, *limited)
            assert result.code == 2
            assert "--set data.limit has no effect here" in result.err
            assert "validation and test data are never limited" in result.err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the data are not those of the training")
def test_a_limit_of_training_samples_has_its_effect(cli, regression):
    limited = ("--set", "data.limit=5", "--json")
    assert json.loads(cli("eval", regression, "--split", "train", *limited).out)["samples"] == 5
    assert cli("eval", regression, "--recalibrate", *limited).code == 0


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with CorruptionProgress({"quantize": [8, 0, 4], "blur": [1.0]}, batches=4) as progress:
        assert (progress._live is not None) == terminal
        for name, severity in (("quantize", 8), ("quantize", 4), ("blur", 1)):
            progress.evaluation_begins(name, severity)
            for _ in range(4):
                progress.batch_begins()
        if terminal:
            (task,) = progress._live.tasks
            assert (task.completed, task.total) == (12, 12)
            assert task.description == "blur 1"
    said = capsys.readouterr()
    assert said.out == "" and (said.err != "") == terminal


def test_an_unknown_value_is_no_number(capsys):
    r2 = Metric("r2", percent=False)
    rows = [{"corruption": "quantize", "severity": s, "spike_rate": 0.1} for s in (0, 4, 8)]
    for row, value in zip(rows, (0.5, None, 0.25), strict=True):
        row["r2"] = value
    show_robustness(rows, r2)
    said = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert ["r2", "0.5", "–", "0.25"] in said
    assert ["against", "clean", "–", "-0.25"] in said
