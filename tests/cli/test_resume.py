"""Interrupted trainings: the state is saved, the exit code tells, and the end is the same."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from asnn.learning import loop

from .conftest import TINY


@pytest.fixture
def interrupted_at(monkeypatch):
    """Send this process a signal after a number of training steps."""

    def arrange(step: int, number: int = signal.SIGINT) -> None:
        made = 0
        original = loop.loss_of

        def counted(*arguments):
            nonlocal made
            made += 1
            if made == step:
                monkeypatch.setattr(loop, "loss_of", original)
                os.kill(os.getpid(), number)
            return original(*arguments)

        monkeypatch.setattr(loop, "loss_of", counted)

    return arrange


@pytest.mark.parametrize("options", [[], ["--set", "coding.name=rate", "--set", "augment.crop=1",
                                          "--set", "train.ema=0.9", "--set", "augment.cutmix=true",
                                          "--set", "augment.randaugment=1",
                                          "--set", "train.weight_decay=0.01",
                                          "--set", "augment.mixup=true"]])  # fmt: skip
@pytest.mark.parametrize("step", [2, 4, 6])
def test_an_interrupted_training_ends_as_one_that_was_not(cli, interrupted_at, options, step):
    """Stopped in the middle of an epoch (2, 6) and at its very end (4), with 4 steps an epoch."""
    assert cli("train", *TINY, *options, "--out", "whole").code == 0
    interrupted_at(step)
    stopped = cli("train", *TINY, *options, "--out", "parts")
    assert stopped.code == 130
    assert "saved; go on with: asnn train --resume parts" in stopped.err
    assert cli("train", "--resume", "parts").code == 0
    whole, parts = load_file("whole/model.safetensors"), load_file("parts/model.safetensors")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)

    def figures(run):
        lines = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in line.items() if "seconds" not in k} for line in lines]

    assert figures("whole") == figures("parts")


def test_a_signal_counts_when_an_epoch_is_one_batch(cli, interrupted_at):
    interrupted_at(1)
    stopped = cli("train", *TINY, "--set", "data.limit=32", "--out", "a")
    assert stopped.code == 130
    assert json.loads(Path("a/summary.json").read_text())["finished"] is False
    assert cli("train", "--resume", "a").code == 0


def test_other_data_are_refused(cli, interrupted_at, tmp_path):
    interrupted_at(1)
    assert cli("train", *TINY, "--out", "a").code == 130
    config = (tmp_path / "a/config.toml").read_text()
    (tmp_path / "a/config.toml").write_text(config.replace("limit = 200", "limit = 190"))
    result = cli("train", "--resume", "a")
    assert result.code == 4
    assert "the data are not those that a began with" in result.err


def test_another_thread_count_is_warned_of(cli, interrupted_at, tmp_path):
    interrupted_at(1)
    assert cli("train", *TINY, "--out", "a").code == 130
    environment = json.loads((tmp_path / "a/environment.json").read_text())
    environment["threads"] += 1
    (tmp_path / "a/environment.json").write_text(json.dumps(environment))
    result = cli("train", "--resume", "a", "--device", "cpu")
    assert result.code == 0
    assert "warning: threads differ from when the run began" in result.err


def test_sigterm_exits_with_143(cli, interrupted_at):
    interrupted_at(1, signal.SIGTERM)
    assert cli("train", *TINY, "--out", "a").code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_resume_alone_takes_the_newest_unfinished_run(cli, interrupted_at, tmp_path):
    interrupted_at(1)
    assert cli("train", *TINY, "--out", "runs/open").code == 130
    assert cli("train", *TINY, "--out", "runs/done").code == 0
    result = cli("train", "--resume")
    assert result.code == 0
    assert json.loads((tmp_path / "runs/open/summary.json").read_text())["finished"] is True
    nothing = cli("train", "--resume")
    assert nothing.code == 4
    assert "there is no unfinished run in runs/" in nothing.err


def test_what_resume_refuses(cli, trained):
    finished = cli("train", "--resume", trained)
    assert finished.code == 2 and "is finished already" in finished.err
    changed = cli("train", "--resume", trained, "--seed", "3")
    assert changed.code == 2 and "goes on with the run's own configuration" in changed.err
    missing = cli("train", "--resume", "nowhere")
    assert missing.code == 4 and "nowhere is not a run" in missing.err


def test_a_damaged_state_is_told_with_the_way_out(cli, interrupted_at, tmp_path):
    interrupted_at(6)
    assert cli("train", *TINY, "--out", "a").code == 130
    state = tmp_path / "a/checkpoints/step-6/state.pt"
    for content in (state.read_bytes()[:100], b""):
        state.write_bytes(content)
        result = cli("train", "--resume", "a")
        assert result.code == 4
        assert "step-6" in result.err and "remove the folder" in result.err


def test_a_run_from_before_decay_all_goes_on_as_it_began(cli, interrupted_at, tmp_path):
    """Its configuration lacks the key, and its optimiser lets all parameters decay."""
    options = [*TINY, "--set", "train.weight_decay=0.1", "--set", "train.decay_all=true"]
    assert cli("train", *options, "--out", "whole").code == 0
    interrupted_at(2)
    assert cli("train", *options, "--out", "parts").code == 130
    config = tmp_path / "parts/config.toml"
    lines = config.read_text().splitlines()
    config.write_text("\n".join(line for line in lines if not line.startswith("decay_all")))
    assert cli("train", "--resume", "parts").code == 0
    whole, parts = load_file("whole/model.safetensors"), load_file("parts/model.safetensors")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 11])
def test_a_training_with_its_twin_goes_on(cli, interrupted_at, tmp_path, step):
    """Stopped in the training of the teacher (8 steps), and in the student's."""
    options = [*TINY, "--set", "train.teacher=ann"]
    whole = cli("train", *options, "--out", "whole")
    assert whole.code == 0 and "lenet with relu neurons" in whole.err
    interrupted_at(step)
    stopped = cli("train", *options, "--out", "parts")
    assert stopped.code == 130
    assert "saved; go on with: asnn train --resume parts" in stopped.err
    assert cli("train", "--resume", "parts").code == 0
    for name in ("model.safetensors", "teacher/model.safetensors"):
        one, other = load_file(Path("whole", name)), load_file(Path("parts", name))
        assert all(torch.equal(one[key], other[key]) for key in one)
    result = cli("eval", "parts/teacher", "--json")
    assert result.code == 0 and json.loads(result.out)["spike_rates"] == {}
