"""Interrupted trainings: a checkpoint, an exit code, and after resuming the same result."""

import errno
import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from asnn.cli.app import run
from asnn.cli.terminal import signals
from asnn.core.folder_lock import folder_lock
from asnn.learning import loop
from asnn.learning.checkpoints import autosave
from asnn.learning.methods.bptt import Bptt
from asnn.learning.recipe import schema
from tests.support.command_line import TINY


def signal_at(patch: pytest.MonkeyPatch, step: int, number: int = signal.SIGINT) -> None:
    """Send this process a signal in a training step."""
    made = 0
    original = Bptt.backward

    def counted(*arguments):
        nonlocal made
        made += 1
        if made == step:
            patch.setattr(Bptt, "backward", original)
            os.kill(os.getpid(), number)
        return original(*arguments)

    patch.setattr(Bptt, "backward", counted)


@pytest.fixture
def interrupted_at(monkeypatch):
    """Send this process a signal in a training step."""
    return lambda *arguments: signal_at(monkeypatch, *arguments)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, trained):
    """Train with options, once for all tests; return the run."""
    runs = {(): trained}

    def train(*options: str) -> Path:
        if options not in runs:
            path = tmp_path_factory.mktemp("uninterrupted") / "run"
            assert run(["train", *TINY, *options, "--out", str(path)]) == 0
            runs[options] = path
        return runs[options]

    return train


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Train until a signal in a step, once for all tests; return the run."""
    runs: dict[int, Path] = {}

    def train(step: int) -> Path:
        if step not in runs:
            path = tmp_path_factory.mktemp("stopped") / "run"
            with pytest.MonkeyPatch.context() as patch:
                signal_at(patch, step)
                assert run(["train", *TINY, "--out", str(path)]) == 130
            runs[step] = path
        return runs[step]

    return train


@pytest.fixture
def stopped_at(stopped, tmp_path):
    """Copy a run that was stopped in a step into the folder `a`."""
    return lambda step: Path(shutil.copytree(stopped(step), tmp_path / "a"))


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--set", "coding.name=rate", "--set", "augment.crop=1",
                                          "--set", "train.ema=0.9", "--set", "augment.cutmix=true",
                                          "--set", "augment.randaugment=1",
                                          "--set", "train.weight_decay=0.01",
                                          "--set", "augment.mixup=true"]])  # fmt: skip
@pytest.mark.parametrize("step", [2, 4, 6])
def test_an_interrupted_training_ends_with_the_same_bytes(
    cli, interrupted_at, uninterrupted, tmp_path, options, step
):
    """Stopped within an epoch (2, 6) and before its validation (4): 4 steps an epoch."""
    interrupted_at(step)
    result = cli("train", *TINY, *options, "--out", "a")
    assert result.code == 130
    assert "saved; resume with: asnn train --resume a" in result.err
    assert cli("train", "--resume", "a").code == 0
    assert_equal_runs(uninterrupted(*options), tmp_path / "a")


def assert_equal_runs(one: Path, other: Path) -> None:
    """Compare the files that depend on the recipe alone, byte for byte."""
    for name in ("model.safetensors", "metrics.jsonl", "config.toml"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.slow
def test_a_signal_is_heeded_when_an_epoch_is_one_batch(
    cli, interrupted_at, uninterrupted, tmp_path
):
    one_batch = ["--set", "data.limit=32"]
    interrupted_at(1)
    assert cli("train", *TINY, *one_batch, "--out", "a").code == 130
    assert not (tmp_path / "a/summary.json").exists()
    assert cli("train", "--resume", "a").code == 0
    assert_equal_runs(uninterrupted(*one_batch), tmp_path / "a")


def test_other_data_are_refused(cli, stopped_at, tmp_path):
    stopped_at(1)
    environment = json.loads((tmp_path / "a/environment.json").read_text())
    environment["data"]["fingerprint"] = "0" * 64
    (tmp_path / "a/environment.json").write_text(json.dumps(environment))
    result = cli("train", "--resume", "a")
    assert result.code == 4
    assert "the data are not those that a began with" in result.err


@pytest.mark.slow
def test_other_data_are_refused_without_environment_json_too(
    cli, stopped_at, monkeypatch, tmp_path
):
    """The checkpoint has the fingerprint of the data as well."""
    (stopped_at(1) / "environment.json").unlink()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert cli("train", "--resume", "a").code == 0
    original = schema.load_dataset
    monkeypatch.setattr(
        schema, "load_dataset", lambda *a, **o: replace(original(*a, **o), fingerprint="0" * 64)
    )
    result = cli("train", "--resume", "b")
    assert result.code == 4
    assert "the data are not those that b began with" in result.err


@pytest.mark.slow
def test_another_processor_is_warned_of(cli, stopped_at, tmp_path):
    stopped_at(1)
    environment = json.loads((tmp_path / "a/environment.json").read_text())
    environment["processor"] = "another"
    (tmp_path / "a/environment.json").write_text(json.dumps(environment))
    result = cli("train", "--resume", "a")
    assert result.code == 0
    assert "warning: processor differ" in result.err


@pytest.mark.slow
@pytest.mark.parametrize("error", [OSError(errno.EIO, "it failed"), MemoryError("too much")])
def test_a_checkpoint_that_cannot_be_read_now_is_not_damaged(
    cli, stopped_at, trained, tmp_path, error
):
    """Every checkpoint keeps its name, and the training resumes once they can be read."""
    stopped_at(6)

    def failing(*arguments, **options):
        raise error

    with pytest.MonkeyPatch.context() as patch:
        if isinstance(error, OSError):
            patch.setattr("asnn.learning.checkpoints.storage.read_regular", failing)
        else:
            patch.setattr(torch, "load", failing)
        assert cli("train", "--resume", "a").code == 1
    names = sorted(path.name for path in (tmp_path / "a/checkpoints").iterdir())
    assert names == ["latest", "step-4", "step-6"]
    assert cli("train", "--resume", "a").code == 0
    assert_equal_runs(trained, tmp_path / "a")


@pytest.mark.slow
def test_a_finished_run_whose_newest_checkpoint_is_damaged_can_be_trained_for_longer(
    cli, uninterrupted, tmp_path
):
    """The checkpoint before it is in the first epoch, without results."""
    constant = ["--set", "train.schedule=constant"]
    short = ["--set", "train.epochs=1", "--set", "train.checkpoint_steps=1"]
    assert cli("train", *TINY, *constant, *short, "--out", "a").code == 0
    newest = tmp_path / "a/checkpoints/step-4/state.pt"
    newest.write_bytes(newest.read_bytes()[:-9])
    longer = cli("train", "--resume", "a", "--set", "train.epochs=2")
    assert longer.code == 0 and "resuming from step 3" in longer.err
    for name in ("model.safetensors", "metrics.jsonl"):
        expected = (uninterrupted(*constant) / name).read_bytes()
        assert (tmp_path / "a" / name).read_bytes() == expected


@pytest.mark.slow
def test_the_same_signal_twice_at_once_is_one_request(cli, monkeypatch, tmp_path):
    """As from a service manager, which signals a process and its parent, which passes it on."""
    original = Bptt.backward
    monkeypatch.setattr(signals, "SAME_REQUEST_SECONDS", 60.0)

    def counted(*arguments):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)
        return original(*arguments)

    monkeypatch.setattr(Bptt, "backward", counted)
    result = cli("train", *TINY, "--out", "a")
    assert result.code == 143 and "saved; resume with" in result.err


@pytest.mark.slow
def test_a_later_signal_stops_at_once(cli, monkeypatch, tmp_path):
    original = Bptt.backward
    monkeypatch.setattr(signals, "SAME_REQUEST_SECONDS", -1.0)

    def counted(*arguments):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)  # two at once may count as one, and Python handles them in between
        return original(*arguments)

    monkeypatch.setattr(Bptt, "backward", counted)
    former = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # independent of how the tests run
    try:
        result = cli("train", *TINY, "--out", "a")
    finally:
        signal.signal(signal.SIGINT, former)
    assert result.code == 130 and "saved" not in result.err
    assert not list((tmp_path / "a").glob("checkpoints/step-*"))


@pytest.mark.slow
def test_a_configuration_that_was_edited_is_refused_with_its_keys(cli, stopped_at, tmp_path):
    stopped_at(1)
    config = (tmp_path / "a/config.toml").read_text()
    edited = config.replace("limit = 200", "limit = 190").replace("hidden = 16", "hidden = 24")
    (tmp_path / "a/config.toml").write_text(edited)
    result = cli("train", "--resume", "a")
    assert result.code == 2
    assert "data.limit: 200 → 190" in result.err and "model.hidden: 16 → 24" in result.err
    (tmp_path / "a/config.toml").write_text(config)
    assert cli("train", "--resume", "a").code == 0


@pytest.mark.slow
def test_keys_that_may_change(cli, stopped_at, tmp_path):
    stopped_at(1)
    changes = ["--set", "train.epochs=3", "--set", "train.checkpoint_steps=2", "--device", "cpu"]
    result = cli("train", "--resume", "a", *changes)
    assert result.code == 0
    assert "changed since the run began: train.epochs 2 → 3: the learning rate now" in result.err
    assert len((tmp_path / "a/metrics.jsonl").read_text().splitlines()) == 3
    assert "epochs = 3" in (tmp_path / "a/config.toml").read_text()
    longer = cli("train", "--resume", "a", "--set", "train.epochs=4")
    assert longer.code == 0
    assert len((tmp_path / "a/metrics.jsonl").read_text().splitlines()) == 4
    shorter = cli("train", "--resume", "a", "--set", "train.epochs=2")
    assert shorter.code == 2 and "a is in its epoch 4 already" in shorter.err


@pytest.mark.slow
def test_another_thread_count_is_warned_of(cli, stopped_at, tmp_path):
    stopped_at(1)
    environment = json.loads((tmp_path / "a/environment.json").read_text())
    environment["threads"] += 1
    (tmp_path / "a/environment.json").write_text(json.dumps(environment))
    result = cli("train", "--resume", "a", "--device", "cpu")
    assert result.code == 0
    assert "warning: threads differ from when the run began" in result.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_sighup_exit_with_143(cli, interrupted_at, number):
    former = signal.signal(number, signal.SIG_DFL)  # independent of how the tests run
    try:
        interrupted_at(1, number)
        assert cli("train", *TINY, "--out", "a").code == 143
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, former)


@pytest.mark.slow
def test_under_nohup_the_end_of_the_terminal_is_ignored(cli, interrupted_at):
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        interrupted_at(1, signal.SIGHUP)
        assert cli("train", *TINY, "--out", "a").code == 0
    finally:
        signal.signal(signal.SIGHUP, former)


@pytest.mark.slow
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
    changed = cli("train", "--resume", trained, "--seed", "3", "--set", "train.lr=1")
    assert changed.code == 2
    assert "uses the run's own configuration: train.lr, train.seed" in changed.err
    assert "what may change: train.epochs, train.patience" in changed.err
    elsewhere = cli("train", "--resume", trained, "--out", "b")
    assert elsewhere.code == 2 and "--out would make it another training" in elsewhere.err
    missing = cli("train", "--resume", "nowhere")
    assert missing.code == 4 and "nowhere is not a run" in missing.err


DAMAGE = {
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "empty": lambda path: path.write_bytes(b""),
    "a bit flipped": lambda path: path.write_bytes(flipped(path.read_bytes())),
    "missing": lambda path: path.unlink(),
}


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["state.pt", "model.safetensors", "checksums.json"])
def test_a_damaged_checkpoint_is_quarantined_and_the_one_before_restored(
    cli, stopped_at, trained, tmp_path, name, damage
):
    checkpoints = stopped_at(6) / "checkpoints"
    assert (checkpoints / "latest").read_text() == "step-6\n"
    DAMAGE[damage](checkpoints / "step-6" / name)
    result = cli("train", "--resume", "a")
    assert result.code == 0
    assert "step-6 is damaged" in result.err and "kept as damaged-step-6" in result.err
    assert "resuming from step 4" in result.err
    assert (checkpoints / "damaged-step-6").is_dir()
    assert_equal_runs(trained, tmp_path / "a")


def test_a_run_whose_checkpoints_are_all_damaged_is_refused(cli, stopped_at):
    files = list((stopped_at(6) / "checkpoints").glob("step-*/state.pt"))
    assert len(files) == 2
    for file in files:
        file.write_bytes(b"")
    result = cli("train", "--resume", "a")
    assert result.code == 4
    assert "no checkpoint of a is valid" in result.err
    assert "train anew: asnn train a/config.toml" in result.err


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_best_weights_are_restored_from_the_checkpoint(
    cli, stopped_at, trained, tmp_path, damage
):
    DAMAGE[damage](stopped_at(6) / "model.safetensors")
    assert cli("train", "--resume", "a").code == 0
    assert_equal_runs(trained, tmp_path / "a")


@pytest.mark.slow
def test_checkpoints_within_an_epoch(cli, trained, tmp_path):
    """Every third step, the last two kept; the training is the same."""
    made = []
    original = autosave.save_checkpoint

    def record(training):
        made.append(training.progress.step)
        original(training)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autosave, "save_checkpoint", record)
        options = ["--set", "train.checkpoint_steps=3"]
        assert cli("train", *TINY, *options, "--out", "some").code == 0
        assert made == [3, 4, 7, 8]
        made.clear()
        options = ["--set", "train.checkpoint_minutes=1e-9"]
        assert cli("train", *TINY, *options, "--out", "often").code == 0
        assert made == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]  # and in validation
    names = sorted(path.name for path in (tmp_path / "some/checkpoints").iterdir())
    assert names == ["latest", "step-7", "step-8"]
    for name in ("model.safetensors", "metrics.jsonl"):
        expected = (trained / name).read_bytes()
        assert expected == (tmp_path / "some" / name).read_bytes()
        assert expected == (tmp_path / "often" / name).read_bytes()


@pytest.mark.slow
def test_a_slow_disk_is_warned_of(cli, monkeypatch):
    monkeypatch.setattr(autosave, "SLOW_SECONDS", -1)
    result = cli("train", *TINY, "--out", "a")
    assert result.code == 0 and "the disk is slow; raise train.checkpoint_minutes" in result.err


def test_a_run_that_lost_its_checkpoints_does_not_begin_anew(cli, stopped_at, tmp_path):
    stopped_at(6)
    before = (tmp_path / "a/model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "a/checkpoints")
    result = cli("train", "--resume", "a")
    assert result.code == 4 and "a has lost its checkpoints" in result.err
    assert (tmp_path / "a/model.safetensors").read_bytes() == before


@pytest.mark.slow
def test_an_interrupted_longer_training_can_be_resumed(cli, interrupted_at, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "runs/a")
    interrupted_at(2)
    longer = ["--set", "train.epochs=4"]
    assert cli("train", "--resume", "runs/a", *longer).code == 130
    assert cli("train", "--resume").code == 0
    assert len((tmp_path / "runs/a/metrics.jsonl").read_text().splitlines()) == 4


@pytest.mark.slow
def test_partial_files_of_a_killed_training_are_removed(cli, stopped_at, trained, tmp_path):
    """Half-written files of the run, and a checkpoint that was being replaced."""
    checkpoints = stopped_at(6) / "checkpoints"
    (checkpoints / "step-6").rename(checkpoints / ".step-6.abc.former")
    (checkpoints / ".step-6.abc.part").mkdir()
    (tmp_path / "a/.model.safetensors.xyz.part").write_bytes(b"half")
    result = cli("train", "--resume", "a")
    assert result.code == 0 and "resuming from step 6" in result.err
    assert_equal_runs(trained, tmp_path / "a")
    assert not list((tmp_path / "a").rglob(".*"))


@pytest.mark.slow
def test_a_folder_with_partial_files_only_is_empty(cli, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/.config.toml.xyz.part").write_text("half")
    assert cli("train", *TINY, "--out", "a").code == 0


def test_a_refused_training_keeps_the_folder_of_the_running_one(cli, tmp_path):
    (tmp_path / "a").mkdir()
    with folder_lock(tmp_path / "a", "a training", "why"):
        assert cli("train", *TINY, "--out", "a").code == 1
    assert (tmp_path / "a").is_dir()


@pytest.mark.slow
def test_two_trainings_do_not_share_a_folder(cli, stopped_at, tmp_path):
    stopped_at(1)
    with folder_lock(tmp_path / "a", "a training", "why"):
        result = cli("train", "--resume", "a")
    assert result.code == 1 and "a training is already running in a" in result.err
    assert cli("train", "--resume", "a").code == 0


def test_a_signal_before_the_first_step(cli, monkeypatch, tmp_path):
    original = loop.prepare

    def slow(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(loop, "prepare", slow)
    assert cli("train", *TINY, "--out", "a").code == 143
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_a_signal_in_validation_stops_before_its_end(cli, trained, tmp_path):
    original = loop.validate

    def signalled(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "validate", signalled)
        assert cli("train", *TINY, "--out", "a").code == 130
    assert not (tmp_path / "a/metrics.jsonl").exists()
    assert cli("train", "--resume", "a").code == 0
    assert_equal_runs(trained, tmp_path / "a")


@pytest.mark.slow
def test_a_run_without_the_key_decay_all_resumes_with_it_on(
    cli, interrupted_at, uninterrupted, tmp_path
):
    """Before the key existed, all parameters decayed."""
    options = ["--set", "train.weight_decay=0.1", "--set", "train.decay_all=true"]
    interrupted_at(2)
    assert cli("train", *TINY, *options, "--out", "a").code == 130
    config = tmp_path / "a/config.toml"
    lines = config.read_text().splitlines()
    config.write_text("\n".join(line for line in lines if not line.startswith("decay_all")))
    assert cli("train", "--resume", "a").code == 0
    expected = load_file(uninterrupted(*options) / "model.safetensors")
    resumed = load_file("a/model.safetensors")
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 11])
def test_a_training_with_its_ann_counterpart_resumes(cli, interrupted_at, uninterrupted, step):
    """Stopped in the training of the teacher (8 steps), and in that of the student."""
    options = ["--set", "train.teacher=ann"]
    interrupted_at(step)
    result = cli("train", *TINY, *options, "--out", "a")
    assert result.code == 130 and "lenet with relu neurons" in result.err
    assert "saved; resume with: asnn train --resume a" in result.err
    assert cli("train", "--resume", "a").code == 0
    for name in ("model.safetensors", "teacher/model.safetensors"):
        one, other = load_file(uninterrupted(*options) / name), load_file(Path("a", name))
        assert all(torch.equal(one[key], other[key]) for key in one)
    result = cli("eval", "a/teacher", "--json")
    assert result.code == 0 and json.loads(result.out)["spike_rates"] == {}


@pytest.mark.slow
def test_a_run_that_stopped_early_is_resumed_with_more_patience(cli):
    stopped = cli("train", *TINY, "--set", "train.epochs=9", "--set", "train.patience=1",
                  "--set", "train.lr=1e-9", "--out", "run")  # fmt: skip
    assert stopped.code == 0 and "stopped early: no epoch after" in stopped.err
    refused = cli("train", "--resume", "run")
    assert refused.code == 2 and "train it for longer with --set train.patience=N" in refused.err
    more = cli("train", "--resume", "run", "--set", "train.epochs=12")
    assert more.code == 2 and "train.patience is 1: more epochs change nothing" in more.err
    assert "set train.patience to a greater number too" in more.err
    longer = cli("train", "--resume", "run", "--set", "train.patience=50", "--json")
    assert longer.code == 0 and json.loads(longer.out)["last"]["epoch"] == 9
    assert json.loads(longer.out)["stopped_early"] is None
