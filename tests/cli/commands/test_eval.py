"""`asnn eval`: consistent results, and refusals."""

import json
import shutil

import numpy as np
import pytest

from asnn.measure import evaluate
from asnn.models import load_run
from tests.support.command_line import TINY


@pytest.mark.slow
def test_json_is_one_object_and_its_figures_agree(cli, trained):
    result = cli("eval", trained, "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert result.err == ""
    confusion = found["confusion"]
    correct = sum(confusion[k][k] for k in range(10))
    assert sum(map(sum, confusion)) == found["samples"] == 359
    assert found["accuracy"] == correct / 359
    assert found["accuracy"] == pytest.approx(found["accuracy_per_step"][-1], abs=1e-6)
    assert len(found["accuracy_per_step"]) == len(found["accuracy_of_each_step"]) == 4
    first = found["accuracy_per_step"][0]
    assert found["accuracy_of_each_step"][0] == pytest.approx(first, abs=1e-6)
    assert set(found["spike_rates"]) == {"spikes1", "spikes2", "spikes3"}
    assert all(len(rates) == 4 for rates in found["spike_rates"].values())
    assert set(found["schedules"]["spikes1"]) == {"leak", "gain"}
    assert len(found["schedules"]["readout"]["scale"]) == 4


@pytest.mark.slow
def test_it_is_the_evaluation_of_the_loaded_run(cli, trained):
    from asnn.datasets import load_dataset

    data = load_dataset("digits", limit=200)
    mine = evaluate(load_run(trained), data.validation, classes=10, full_scale=16)
    found = json.loads(cli("eval", trained, "--split", "validation", "--json").out)
    assert found["accuracy"] == mine.accuracy
    assert found["loss"] == pytest.approx(mine.loss)
    assert (
        found["accuracy"]
        == json.loads((trained / "summary.json").read_text())["best"]["validation_accuracy"]
    )


@pytest.mark.slow
def test_fewer_steps(cli, trained):
    complete = json.loads(cli("eval", trained, "--json").out)
    early = json.loads(cli("eval", trained, "--steps", "2", "--json").out)
    assert early["steps"] == 2
    assert early["accuracy_per_step"] == complete["accuracy_per_step"][:2]
    shown = cli("eval", trained, "--steps", "2")
    assert shown.code == 0 and "t=2" in shown.err and "t=3" not in shown.err


@pytest.mark.slow
def test_schedules_replaced_by_their_mean(cli, trained, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(trained, run)
    (run / "schedules.png").unlink(missing_ok=True)
    learned = json.loads(cli("eval", trained, "--json").out)
    assert (learned["schedules_held"], learned["recalibrated"]) == ("learned", False)
    frozen = json.loads(cli("eval", run, "--schedules", "mean", "--json").out)
    assert frozen["schedules_held"] == "mean"
    for layer, by_name in frozen["schedules"].items():
        for name, values in by_name.items():
            first = 1 if name == "leak" else 0
            mean = sum(learned["schedules"][layer][name][first:]) / (len(values) - first)
            assert values == pytest.approx([mean] * len(values), abs=1e-6)
    assert not (run / "schedules.png").exists()  # it shows learned schedules
    arguments = ("eval", run, "--schedules", "mean", "--recalibrate", "--json")
    recalibrated = json.loads(cli(*arguments).out)
    assert recalibrated["recalibrated"]
    assert recalibrated["loss"] != frozen["loss"]
    assert recalibrated == {
        **json.loads(cli(*arguments).out),
        "samples_per_second": recalibrated["samples_per_second"],
    }


def test_unknown_schedules(cli, trained):
    result = cli("eval", trained, "--schedules", "means")
    assert result.code == 2
    assert "unknown schedules 'means'" in result.err
    assert "did you mean 'mean'?" in result.err


@pytest.mark.slow
def test_tables_go_to_stderr_and_a_plot_into_the_run(cli, trained, tmp_path):
    run = tmp_path / "runs" / "copy"
    shutil.copytree(trained, run)
    result = cli("eval")
    assert (result.code, result.out) == (0, "")
    for text in (
        "accuracy so far",
        "accuracy alone",
        "leak spikes1",
        "gain spikes3",
        "scale readout",
        "t=4",
    ):
        assert text in result.err
    assert "confusion: true class by row" in result.err
    assert max(map(len, result.err.splitlines())) <= 120
    assert (run / "schedules.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_newest_run_is_evaluated(cli, trained, tmp_path):
    import os

    for name, age in (("b", 10), ("a", 0), ("c", 20)):
        run = tmp_path / "runs" / name
        shutil.copytree(trained, run)
        stamp = os.stat(trained / "config.toml").st_mtime - age
        os.utime(run / "config.toml", (stamp, stamp))
    assert json.loads(cli("eval", "--json").out)["run"] == "runs/a"
    assert json.loads(cli("eval", "runs/latest", "--json").out)["run"] == "runs/a"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 4, ["there is no trained run in runs/", "asnn train"]),
        (["nowhere"], 4, ["nowhere is not a run", "it is missing"]),
        (["RUN", "--split", "tset"], 2, ["unknown split 'tset'", "did you mean 'test'?"]),
        (["RUN", "--steps", "5"], 2, ["--steps must be from 1 to 4", "not 5"]),
        (["RUN", "--steps", "0"], 2, ["--steps must be from 1 to 4"]),
        (["RUN", "--batch-size", "0"], 2, ["--batch-size"]),
        (["RUN", "--device", "cuda:99"], 2, ["is not on this machine"]),
        (
            ["RUN", "--data-dir", "x"],
            2,
            ["this data set: dir is no option of it (leave data.dir (--data-dir) out)"],
        ),
    ],
)
def test_refusals(cli, trained, arguments, code, says):
    result = cli("eval", *[str(trained) if a == "RUN" else a for a in arguments])
    assert result.code == code
    for text in says:
        assert text in result.err
    assert result.out == "" and "Traceback" not in result.err


def test_damaged_weights(cli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:500])
    result = cli("eval", run)
    assert result.code == 4 and "model.safetensors has changed since it was trained" in result.err
    (run / "summary.json").unlink()  # nothing states the weights
    result = cli("eval", run)
    assert result.code == 4 and "model.safetensors is damaged" in result.err


def test_data_that_do_not_fit_the_network(cli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    random = np.random.default_rng(0)
    for shape, classes, says in (
        ((60, 6, 6), 10, "the images have the shape (1, 6, 6), the network takes (1, 8, 8)"),
        ((60, 8, 8), 9, "the data have other classes than the network"),
    ):
        x, y = random.integers(0, 256, shape, dtype=np.uint8), np.arange(60) % classes
        np.savez(tmp_path / "other.npz", x_train=x, y_train=y, x_test=x, y_test=y)
        result = cli("eval", run, "--set", "data.name=npz", "--set", "data.path=other.npz")
        assert result.code == 4 and says in result.err
    refused = cli("eval", run, "--set", "model.hidden=3")
    assert refused.code == 2 and "--set takes keys of data only" in refused.err


@pytest.mark.slow
def test_tables_of_many_steps_fit_80_columns(cli):
    from tests.support.command_line import TINY

    assert cli("train", *TINY, "--set", "coding.steps=16", "--out", "a").code == 0
    result = cli("eval", "a")
    assert "t=16" in result.err and "…" not in result.err
    tables = result.err.split("confusion")[0].splitlines()[1:]
    assert max(map(len, tables)) <= 80


@pytest.mark.slow
def test_a_warning_that_the_data_have_changed(cli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("limit = 200", "limit = 150"))
    result = cli("eval", run)
    assert result.code == 0
    assert "the data are not those of the training" in result.err


@pytest.mark.slow
def test_repeats_of_a_code_that_draws(cli, trained, tmp_path):
    refused = cli("eval", trained, "--repeats", "3")
    assert refused.code == 2
    assert "nor a neuron draws random numbers" in refused.err
    run = tmp_path / "rate"
    assert cli("train", *TINY, "--set", "coding.name=rate", "--out", run).code == 0
    found = json.loads(cli("eval", run, "--repeats", "3", "--json").out)
    assert found["draws"] and found["repeats"]["draws"] == 3
    accuracies = found["repeats"]["accuracy"]["each"]
    assert accuracies[0] == found["accuracy"]
    assert found["repeats"]["accuracy"]["mean"] == pytest.approx(sum(accuracies) / 3)
    assert "over 3 draws" in cli("eval", run, "--repeats", "3").err
    shown = cli("eval", run, "--batch-size", "7").err
    assert "of one draw of the random code: --repeats N" in shown
    assert f"accuracy {100 * found['accuracy']:.2f} %" in shown


@pytest.mark.slow
def test_scores_by_class_and_the_likeliest(cli, trained):
    """Precision and recall are those of the confusion matrix; --top 1 is the accuracy."""
    found = json.loads(cli("eval", trained, "--json").out)
    rows, confusion = found["class_scores"]["by_class"], found["confusion"]
    assert [row["class"] for row in rows] == found["classes"]
    for k, row in enumerate(rows):
        assert row["support"] == sum(confusion[k])
        assert row["predicted"] == sum(counts[k] for counts in confusion)
        assert row["recall"] == pytest.approx(confusion[k][k] / row["support"])
    assert found["class_scores"]["weighted"]["recall"] == pytest.approx(found["accuracy"])
    assert found["top_k"] == 5 and found["accuracy"] <= found["top_k_accuracy"] <= 1
    one = json.loads(cli("eval", trained, "--json", "--top", "1").out)
    assert (one["top_k"], one["top_k_accuracy"]) == (1, found["accuracy"])
    every = json.loads(cli("eval", trained, "--json", "--top", "10").out)
    assert every["top_k_accuracy"] == 1
    shown = cli("eval", trained).err
    assert "by class, %" in shown and "mean weighted by support" in shown
    assert f"top-5 accuracy {100 * found['top_k_accuracy']:.2f} %" in shown


@pytest.mark.parametrize("top", ["0", "11"])
def test_more_likeliest_classes_than_there_are(cli, trained, top):
    found = cli("eval", trained, "--top", top)
    assert found.code == 2
    assert f"--top must be from 1 to 10, the number of classes, not {top}" in found.err
