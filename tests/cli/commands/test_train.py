"""`asnn train`: the run directory, its options, and what it refuses."""

import json
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.command_line import TINY

# Written by other tests that evaluate the same run.
FIGURES = {"schedules.png", "tradeoff.png", "reliability.png", "robustness.png", "report.html"}
FILES = {
    "config.toml",
    "environment.json",
    "metrics.jsonl",
    "times.jsonl",
    "summary.json",
    "model.safetensors",
    "curves.png",
    "checkpoints",
}


def test_files_of_a_run(trained):
    assert {path.name for path in trained.iterdir()} - FIGURES == FILES
    # 200 samples in batches of 64: 4 steps an epoch, 2 epochs, the last two checkpoints kept.
    assert {path.name for path in (trained / "checkpoints").iterdir()} == {
        "step-4",
        "step-8",
        "latest",
    }
    assert {path.name for path in (trained / "checkpoints/step-8").iterdir()} == {
        "model.safetensors",
        "best.safetensors",
        "state.pt",
        "checksums.json",
    }


def test_metrics_and_summary_agree(trained):
    metrics = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((trained / "summary.json").read_text())
    assert [line["epoch"] for line in metrics] == [1, 2]
    assert summary["finished"] is True
    assert {"format": 2, **summary["last"]} == metrics[-1]
    best = max(metrics, key=lambda m: (m["validation_accuracy"], -m["validation_loss"]))
    assert {"format": 2, **summary["best"]} == best
    environment = json.loads((trained / "environment.json").read_text())
    assert environment["data"]["train"] == 200
    # `+cu126` and the like are not in the metadata of all builds.
    assert environment["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert len(environment["data"]["fingerprint"]) == 64


@pytest.mark.slow
def test_train_prints_nothing_on_stdout_and_one_object_with_json(cli):
    result = cli("train", *TINY, "--out", "a")
    assert (result.code, result.out) == (0, "")
    assert "epoch 2/2" in result.err and "samples/s" in result.err and "spike rate" in result.err
    result = cli("train", *TINY, "--out", "b", "--json")
    assert json.loads(result.out)["run"] == "b"


def test_short_forms_of_keys(cli):
    result = cli("train", "--epochs", "3", "--batch-size", "8", "--lr", "0.5", "--dry-run")
    train = tomllib.loads(result.out)["train"]
    assert (train["epochs"], train["batch_size"], train["lr"]) == (3, 8, 0.5)
    result = cli("train", *TINY, "--resume", "--lr", "0.1")
    assert result.code == 2 and "--resume uses the run's own configuration: " in result.err


def test_how_data_are_read_and_limited_is_told(cli):
    result = cli("train", *TINY, "--epochs", "0", "--set", "train.init=ann", "--dry-run")
    assert "data.limit: 200 of 1,293 training samples; validation and test are not" in result.err


@pytest.mark.slow
def test_the_resolved_configuration_repeats_the_run(cli, trained):
    again = cli("train", trained / "config.toml", "--out", "again")
    assert again.code == 0
    first, second = load_file(trained / "model.safetensors"), load_file("again/model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (trained / "config.toml").read_text() == Path("again/config.toml").read_text()


@pytest.mark.slow
def test_another_seed_trains_other_weights(cli, trained):
    """The negative control of the test above."""
    assert cli("train", trained / "config.toml", "--out", "other", "--seed", "1").code == 0
    first, second = load_file(trained / "model.safetensors"), load_file("other/model.safetensors")
    assert not torch.equal(first["body.conv2.layer.weight"], second["body.conv2.layer.weight"])


@pytest.mark.slow
def test_options_are_written_to_the_configuration(cli):
    result = cli(
        *("train", *TINY, "--out", "a", "--seed", "3", "--device", "cpu"),
        *("--precision", "bfloat16", "--set", "train.loss=tet", "--set", "train.clip_norm=1.0"),
        *("--set", "train.optimizer=sgd", "--set", "train.label_smoothing=0.1"),
        *("--set", "augment.mixup=true", "--set", "train.warmup_epochs=1"),
    )
    assert result.code == 0, result.err
    config = tomllib.loads(Path("a/config.toml").read_text())
    assert config["train"]["seed"] == 3
    assert config["train"]["precision"] == "bfloat16"
    assert config["train"]["optimizer"] == "sgd"
    assert config["augment"]["mixup"] is True


def test_options_of_a_former_component_are_left_out_with_a_notice(cli):
    result = cli("train", *TINY, "--set", "model.name=mlp", "--set", "model.features=[8]",
                 "--set", "model.neuron=fixed", "--out", "a")  # fmt: skip
    # TINY sets model.widths: that is a fault, and not left out silently.
    assert result.code == 2
    assert "model.widths: unknown key" in result.err
    result = cli("train", "--set", "model.name=mlp", "--dry-run")
    assert result.code == 0
    assert "model.widths is left out: 'mlp' has no such option" in result.err
    assert tomllib.loads(result.out)["model"]["name"] == "mlp"


def test_the_published_norm_warns(cli):
    result = cli("train", "--set", "model.norm=shared", "--dry-run")
    assert result.code == 0
    assert "warning: norm 'shared' averages the statistics of steps that differ" in result.err
    assert "UserWarning" not in result.err


def test_dry_run_writes_nothing(cli, tmp_path):
    result = cli("train", "--dry-run", "--json")
    assert result.code == 0
    assert json.loads(result.out)["recipe"]["coding"]["name"] == "hybrid"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_runs_have_names_of_their_own(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda form: "20260101-000000")
    assert cli("train", *TINY).code == 0
    assert cli("train", *TINY).code == 0
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert names == ["digits-20260101-000000", "digits-20260101-000000-2"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fashon-mnist"], ["unknown recipe 'fashon-mnist'", "did you mean 'fashion-mnist'?"]),
        (["nothing.toml"], ["there is no recipe file nothing.toml"]),
        (["--set", "train.epohs=3"], ["train.epohs: unknown key; did you mean train.epochs?"]),
        (["flow-nmnist", "--data-dir", "x"], ["data.dir: a folder (--data-dir) does not place the "
         "files of this data set: they are at data.path and data.test_path (--set data.path=... "
         "and --set data.test_path=...)"]),
        (["--set", "trian.epochs=3"], ["trian: unknown key; did you mean train?"]),
        (["--set", "epochs=3"], ["'epochs=3' is not of the form section.key=value"]),
        (["--set", "coding.name=hybird"], ["unknown coding 'hybird'", "did you mean 'hybrid'?"]),
        (["--set", "model.name=lenett"], ["unknown model 'lenett'", "did you mean 'lenet'?"]),
        (["--set", "model.neuron=adaptve"], ["unknown neuron 'adaptve'", "'adaptive'"]),
        (["--set", "data.name=mnits"], ["unknown dataset 'mnits'", "did you mean 'mnist'?"]),
        (["--set", "coding.steps=0"], ["coding.steps: must be greater than or equal to 1, not 0"]),
        (["--set", "coding.steps=1"], ["the code 'hybrid' needs 2 steps or more, not 1"]),
        (["--set", "train.lr=-1"], ["train.lr: must be greater than 0, not -1"]),
        (["--set", "train.optimizer=adm"], ["'adamax' or 'sgd', not 'adm'"]),
        (["--set", "neuron.reset=softly"], ["must be 'subtract', 'zero' or 'none', not 'softly'"]),
        (["--set", "model.widths=[0]"], ["widths and hidden must be positive"]),
        (["--set", "coding.variant=published", "--set", "coding.thresholds=quantile"],
         ["variant 'published' needs linear thresholds"]),
        (["--set", "train=3"], ["not of the form section.key=value"]),
        (["--device", "cuda:99"], ["device 'cuda:99' is not on this machine"]),
        (["--device", "gpu"], ["unknown device 'gpu'"]),
        (["--precision", "float16", "--device", "cpu"], ["float16 does not train on a CPU"]),
        (["--epoks", "3"], ["No such option: --epoks"]),
        (["--epochs", "-1"], ["train.epochs: must be greater than or equal to 0, not -1"]),
        (["--batch-size", "0"], ["train.batch_size: must be greater than or equal to 1, not 0"]),
        (["--lr", "0"], ["train.lr: must be greater than 0, not 0"]),
        (["--set", "data=digits"], ["not of the form section.key=value"]),
        (["--set", "name=../x"], ["name: must be letters, digits"]),
        (["--set", "train.lr=inf"], ["train.lr: "]),
        (["--set", "neuron.leak=nan"], ["neuron.leak: "]),
        (["--set", "coding.steps=1000000000000"], ["must be less than or equal to 10000"]),
        (["--set", "augment.transforms=['RandomErasng']"], ["unknown transform", "RandomErasing"]),
        (["--set", "augment.transforms=[{name=['x']}]"], ["unknown transform"]),
        (["x" * 300], ["File name too long"]),
    ],
)  # fmt: skip
def test_faults_of_the_configuration(cli, tmp_path, arguments, says):
    result = cli("train", *arguments)
    assert result.code == (1 if "File name" in says[0] else 2)
    for text in says:
        assert text in result.err
    assert "Traceback" not in result.err
    assert result.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_on_a_machine_without_it(cli):
    result = cli("train", "--device", "cuda")
    assert result.code == 2
    assert "device 'cuda' is not on this machine" in result.err
    assert "--device cpu" in result.err


@pytest.mark.parametrize("text", ["data = 'digits'", "model = 'lenet'", "train = 3"])
def test_a_section_that_is_not_a_table(cli, tmp_path, text):
    (tmp_path / "bad.toml").write_text(text)
    result = cli("train", "bad.toml", "--set", "coding.steps=3")
    assert result.code == 2
    assert "must be a table, not" in result.err


def test_all_faults_of_a_file_are_reported_together(cli, tmp_path):
    (tmp_path / "bad.toml").write_text(
        "[coding]\nname = 'temporel'\nsteps = 0\n"
        "[train]\nepochs = 'many'\nbatch = 3\n"
        "[model]\nwidth = [3]\n[spam]\nx = 1\n"
    )
    result = cli("train", "bad.toml")
    assert result.code == 2
    assert "recipe bad.toml has 6 faults" in result.err
    for key in (
        "coding.name",
        "coding.steps",
        "train.epochs",
        "train.batch",
        "model.width",
        "spam",
    ):
        assert f"  {key}: " in result.err


def test_a_file_that_is_not_toml(cli, tmp_path):
    (tmp_path / "bad.toml").write_text("epochs: 3\n")
    result = cli("train", "bad.toml")
    assert result.code == 2
    assert "bad.toml is not a TOML file" in result.err


def test_a_run_does_not_overwrite_another(cli, trained):
    before = (trained / "model.safetensors").read_bytes()
    result = cli("train", "--out", trained)
    assert result.code == 2
    assert "is not empty" in result.err and f"--resume {trained}" in result.err
    assert (trained / "model.safetensors").read_bytes() == before


def test_a_folder_that_cannot_be_created(cli, tmp_path):
    (tmp_path / "file").write_text("")
    result = cli("train", *TINY, "--out", "file/run")
    assert result.code == 1
    assert "could not write file/run" in result.err and "--out" in result.err


def test_a_loss_that_is_not_finite_stops_with_advice(cli):
    result = cli("train", *TINY, "--set", "train.lr=1e30", "--set", "train.optimizer=sgd",
                 "--out", "a")  # fmt: skip
    assert result.code == 1
    assert "training has diverged" in result.err and "lower train.lr" in result.err


def test_debug_shows_the_traceback_and_keeps_the_exit_code(cli):
    result = cli("--debug", "train", "nothing")
    assert result.code == 2
    assert "Traceback" in result.err and "unknown recipe 'nothing'" in result.err


@pytest.mark.parametrize("more", [["train.lr=1e25", "train.optimizer=sgd"], ["train.lr=1e30"]])
def test_a_validation_that_is_not_finite_leaves_no_weights(cli, tmp_path, more):
    """One step an epoch: the first loss is finite, and the weights after the step are not."""
    changes = [word for text in more for word in ("--set", text)]
    result = cli("train", *TINY, "--set", "data.limit=64", *changes, "--out", "a")
    assert result.code == 1
    assert "training has diverged" in result.err and "Traceback" not in result.err
    assert not (tmp_path / "a/model.safetensors").exists()


def test_a_failure_before_training_leaves_no_folder(cli, tmp_path):
    result = cli("train", "--set", "data.name=npz", "--set", "data.path=none.npz", "--out", "a")
    assert result.code == 4
    assert list(tmp_path.iterdir()) == []


def test_one_sample_a_batch_where_batch_norm_needs_two(cli):
    mlp = ("--set", "model.name=mlp", "--set", "coding.steps=1", "--set", "coding.name=temporal")
    result = cli("train", *mlp, "--set", "train.batch_size=1", "--set", "data.limit=20")
    assert result.code == 2
    assert "batches of one sample cannot train this network" in result.err


@pytest.mark.slow
def test_a_last_sample_that_an_epoch_leaves_out_is_said(cli, tmp_path):
    arguments = ("train", *TINY, "--set", "data.limit=50", "--set", "train.epochs=1")
    said = "each epoch leaves out 1 of them"
    assert said in cli(*arguments, "--set", "train.batch_size=7", "--out", "a").err
    assert said not in cli(*arguments, "--set", "train.batch_size=8", "--out", "b").err
