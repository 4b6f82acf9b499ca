"""Interrupted trainings: the state is saved, the exit code tells, and the end is the same."""

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

from asnn.cli.terminal import signals
from asnn.core.folder_lock import folder_lock
from asnn.learning import loop
from asnn.learning.recipe import schema
from tests.support.command_line import TINY

pytestmark = pytest.mark.slow


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
def test_an_interrupted_training_ends_as_one_that_was_not(
    cli, interrupted_at, tmp_path, options, step
):
    """Stopped in the middle of an epoch (2, 6) and before its validation (4): 4 steps an epoch."""
    assert cli("train", *TINY, *options, "--out", "whole").code == 0
    interrupted_at(step)
    stopped = cli("train", *TINY, *options, "--out", "parts")
    assert stopped.code == 130
    assert "saved; resume with: asnn train --resume parts" in stopped.err
    assert cli("train", "--resume", "parts").code == 0
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


def assert_equal_runs(one: Path, other: Path) -> None:
    """Byte for byte, but for what tells of time and place."""
    for name in ("model.safetensors", "metrics.jsonl", "config.toml"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_signal_counts_when_an_epoch_is_one_batch(cli, interrupted_at, tmp_path):
    tiny = [*TINY, "--set", "data.limit=32"]
    assert cli("train", *tiny, "--out", "whole").code == 0
    interrupted_at(1)
    assert cli("train", *tiny, "--out", "parts").code == 130
    assert not (tmp_path / "parts/summary.json").exists()
    assert cli("train", "--resume", "parts").code == 0
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


def test_other_data_are_refused(cli, interrupted_at, tmp_path):
    interrupted_at(1)
    assert cli("train", *TINY, "--out", "a").code == 130
    environment = json.loads((tmp_path / "a/environment.json").read_text())
    environment["data"]["fingerprint"] = "0" * 64
    (tmp_path / "a/environment.json").write_text(json.dumps(environment))
    result = cli("train", "--resume", "a")
    assert result.code == 4
    assert "the data are not those that a began with" in result.err


def test_other_data_are_refused_by_the_state_too(cli, interrupted_at, monkeypatch, tmp_path):
    """`environment.json` may be gone; the state knows which data it was trained with."""
    interrupted_at(1)
    assert cli("train", *TINY, "--out", "a").code == 130
    (tmp_path / "a/environment.json").unlink()
    assert cli("train", "--resume", "a").code == 0
    interrupted_at(1)
    assert cli("train", *TINY, "--out", "b").code == 130
    (tmp_path / "b/environment.json").unlink()
    original = schema.load_dataset
    monkeypatch.setattr(
        schema, "load_dataset", lambda *a, **o: replace(original(*a, **o), fingerprint="0" * 64)
    )
    result = cli("train", "--resume", "b")
    assert result.code == 4
    assert "the data are not those that b began with" in result.err


def test_another_processor_is_warned_of(cli, interrupted_at, tmp_path):
    interrupted_at(1)
    assert cli("train", *TINY, "--out", "a").code == 130
    environment = json.loads((tmp_path / "a/environment.json").read_text())
    environment["processor"] = "another"
    (tmp_path / "a/environment.json").write_text(json.dumps(environment))
    result = cli("train", "--resume", "a")
    assert result.code == 0
    assert "warning: processor differ" in result.err


@pytest.mark.parametrize("error", [OSError(errno.EIO, "it failed"), MemoryError("too much")])
def test_what_cannot_be_read_now_is_not_damaged(cli, interrupted_at, monkeypatch, tmp_path, error):
    """Every state keeps its name, and the training goes on once it can be read."""
    assert cli("train", *TINY, "--out", "whole").code == 0
    interrupted_at(6)
    assert cli("train", *TINY, "--out", "parts").code == 130

    def failing(*arguments, **options):
        raise error

    with pytest.MonkeyPatch.context() as patch:
        if isinstance(error, OSError):
            patch.setattr(Path, "read_bytes", failing)
        else:
            patch.setattr(torch, "load", failing)
        assert cli("train", "--resume", "parts").code == 1
    states = sorted(path.name for path in (tmp_path / "parts/checkpoints").iterdir())
    assert states == ["latest", "step-4", "step-6"]
    assert cli("train", "--resume", "parts").code == 0
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


def test_a_finished_run_whose_newest_state_is_damaged_can_be_trained_for_longer(cli, tmp_path):
    """The state before it is of the first epoch, so there are no results yet."""
    tiny = [*TINY, "--set", "train.schedule=constant"]
    assert cli("train", *tiny, "--out", "whole").code == 0
    short = ["--set", "train.epochs=1", "--set", "train.checkpoint_steps=1"]
    assert cli("train", *tiny, *short, "--out", "parts").code == 0
    newest = tmp_path / "parts/checkpoints/step-4/state.pt"
    newest.write_bytes(newest.read_bytes()[:-9])
    longer = cli("train", "--resume", "parts", "--set", "train.epochs=2")
    assert longer.code == 0 and "resuming from step 3" in longer.err
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()


def test_the_same_signal_twice_at_once_is_one_request(cli, monkeypatch, tmp_path):
    """As from a service manager, which signals a process and its parent, which passes it on."""
    original = loop.loss_of
    monkeypatch.setattr(signals, "SAME_REQUEST_SECONDS", 60.0)

    def counted(*arguments):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)
        return original(*arguments)

    monkeypatch.setattr(loop, "loss_of", counted)
    stopped = cli("train", *TINY, "--out", "a")
    assert stopped.code == 143 and "saved; resume with" in stopped.err


def test_a_later_signal_stops_at_once(cli, monkeypatch, tmp_path):
    original = loop.loss_of
    monkeypatch.setattr(signals, "SAME_REQUEST_SECONDS", -1.0)

    def counted(*arguments):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)  # two at once may count as one, and Python looks for them in between
        return original(*arguments)

    monkeypatch.setattr(loop, "loss_of", counted)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests run in
    try:
        stopped = cli("train", *TINY, "--out", "a")
    finally:
        signal.signal(signal.SIGINT, former)
    assert stopped.code == 130 and "saved" not in stopped.err
    assert not list((tmp_path / "a").glob("checkpoints/step-*"))


def test_a_configuration_that_was_edited_is_refused_with_its_keys(cli, interrupted_at, tmp_path):
    interrupted_at(1)
    assert cli("train", *TINY, "--out", "a").code == 130
    config = (tmp_path / "a/config.toml").read_text()
    edited = config.replace("limit = 200", "limit = 190").replace("hidden = 16", "hidden = 24")
    (tmp_path / "a/config.toml").write_text(edited)
    result = cli("train", "--resume", "a")
    assert result.code == 2
    assert "data.limit: 200 → 190" in result.err and "model.hidden: 16 → 24" in result.err
    (tmp_path / "a/config.toml").write_text(config)
    assert cli("train", "--resume", "a").code == 0


def test_keys_that_may_change(cli, interrupted_at, tmp_path):
    interrupted_at(1)
    assert cli("train", *TINY, "--out", "a").code == 130
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


def test_another_thread_count_is_warned_of(cli, interrupted_at, tmp_path):
    interrupted_at(1)
    assert cli("train", *TINY, "--out", "a").code == 130
    environment = json.loads((tmp_path / "a/environment.json").read_text())
    environment["threads"] += 1
    (tmp_path / "a/environment.json").write_text(json.dumps(environment))
    result = cli("train", "--resume", "a", "--device", "cpu")
    assert result.code == 0
    assert "warning: threads differ from when the run began" in result.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_sighup_exit_with_143(cli, interrupted_at, number):
    former = signal.signal(number, signal.SIG_DFL)  # whatever the tests were started with
    try:
        interrupted_at(1, number)
        assert cli("train", *TINY, "--out", "a").code == 143
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, former)


def test_under_nohup_the_end_of_the_terminal_is_ignored(cli, interrupted_at):
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        interrupted_at(1, signal.SIGHUP)
        assert cli("train", *TINY, "--out", "a").code == 0
    finally:
        signal.signal(signal.SIGHUP, former)


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
    assert "what may change: train.epochs, train.device" in changed.err
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


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["state.pt", "model.safetensors", "checksums.json"])
def test_a_damaged_state_is_set_aside_for_the_one_before(
    cli, interrupted_at, tmp_path, name, damage
):
    assert cli("train", *TINY, "--out", "whole").code == 0
    interrupted_at(6)
    assert cli("train", *TINY, "--out", "parts").code == 130
    states = tmp_path / "parts/checkpoints"
    assert (states / "latest").read_text() == "step-6\n"
    DAMAGE[damage](states / "step-6" / name)
    result = cli("train", "--resume", "parts")
    assert result.code == 0
    assert "step-6 is damaged" in result.err and "kept as damaged-step-6" in result.err
    assert "resuming from step 4" in result.err
    assert (states / "damaged-step-6").is_dir()
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


def test_where_all_states_are_damaged_it_says_so(cli, interrupted_at, tmp_path):
    interrupted_at(6)
    assert cli("train", *TINY, "--out", "a").code == 130
    states = list((tmp_path / "a/checkpoints").glob("step-*/state.pt"))
    assert len(states) == 2
    for state in states:
        state.write_bytes(b"")
    result = cli("train", "--resume", "a")
    assert result.code == 4
    assert "no training state of a is whole" in result.err
    assert "train anew: asnn train a/config.toml" in result.err


def test_best_weights_that_were_lost_come_back(cli, interrupted_at, tmp_path):
    assert cli("train", *TINY, "--out", "whole").code == 0
    for damage in DAMAGE.values():
        interrupted_at(6)
        assert cli("train", *TINY, "--out", "parts").code == 130
        damage(tmp_path / "parts/model.safetensors")
        assert cli("train", "--resume", "parts").code == 0
        assert_equal_runs(tmp_path / "whole", tmp_path / "parts")
        shutil.rmtree(tmp_path / "parts")


def test_states_within_an_epoch(cli, tmp_path):
    """Every third step, the last two kept; the training is the same."""
    assert cli("train", *TINY, "--out", "whole").code == 0
    made = []
    original = loop.save_checkpoint

    def watched(training):
        made.append(training.progress.step)
        original(training)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", watched)
        options = ["--set", "train.checkpoint_steps=3"]
        assert cli("train", *TINY, *options, "--out", "parts").code == 0
        assert made == [3, 4, 7, 8]
        made.clear()
        options = ["--set", "train.checkpoint_minutes=1e-9"]
        assert cli("train", *TINY, *options, "--out", "often").code == 0
        assert made == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]  # and in validation
    left = sorted(path.name for path in (tmp_path / "parts/checkpoints").iterdir())
    assert left == ["latest", "step-7", "step-8"]
    for name in ("model.safetensors", "metrics.jsonl"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert whole == (tmp_path / "parts" / name).read_bytes()
        assert whole == (tmp_path / "often" / name).read_bytes()


def test_a_slow_disk_is_told(cli, monkeypatch):
    monkeypatch.setattr(loop, "SLOW", -1)
    result = cli("train", *TINY, "--out", "a")
    assert result.code == 0 and "the disk is slow; raise train.checkpoint_minutes" in result.err


def test_a_run_that_lost_its_states_does_not_begin_anew(cli, interrupted_at, tmp_path):
    interrupted_at(6)
    assert cli("train", *TINY, "--out", "a").code == 130
    before = (tmp_path / "a/model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "a/checkpoints")
    result = cli("train", "--resume", "a")
    assert result.code == 4 and "a has no training state any more" in result.err
    assert (tmp_path / "a/model.safetensors").read_bytes() == before


def test_a_longer_training_that_is_interrupted_can_be_taken_up(cli, interrupted_at, tmp_path):
    assert cli("train", *TINY, "--out", "runs/a").code == 0
    interrupted_at(2)
    longer = ["--set", "train.epochs=4"]
    assert cli("train", "--resume", "runs/a", *longer).code == 130
    assert cli("train", "--resume").code == 0
    assert len((tmp_path / "runs/a/metrics.jsonl").read_text().splitlines()) == 4


def test_what_a_kill_has_left_behind_is_cleared(cli, interrupted_at, tmp_path):
    """Half-written files of the run, and a state that was being replaced."""
    assert cli("train", *TINY, "--out", "whole").code == 0
    interrupted_at(6)
    assert cli("train", *TINY, "--out", "parts").code == 130
    states = tmp_path / "parts/checkpoints"
    (states / "step-6").rename(states / ".step-6.abc.former")
    (states / ".step-6.abc.part").mkdir()
    (tmp_path / "parts/.model.safetensors.xyz.part").write_bytes(b"half")
    result = cli("train", "--resume", "parts")
    assert result.code == 0 and "resuming from step 6" in result.err
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")
    assert not list((tmp_path / "parts").rglob(".*"))


def test_a_folder_with_nothing_but_leftovers_is_empty(cli, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/.config.toml.xyz.part").write_text("half")
    assert cli("train", *TINY, "--out", "a").code == 0


def test_a_refused_training_leaves_the_folder_of_the_other(cli, tmp_path):
    (tmp_path / "a").mkdir()
    with folder_lock(tmp_path / "a", "a training", "why"):
        assert cli("train", *TINY, "--out", "a").code == 1
    assert (tmp_path / "a").is_dir()


def test_two_trainings_do_not_share_a_folder(cli, interrupted_at, tmp_path):
    interrupted_at(1)
    assert cli("train", *TINY, "--out", "a").code == 130
    with folder_lock(tmp_path / "a", "a training", "why"):
        result = cli("train", "--resume", "a")
    assert result.code == 1 and "a training is already running in a" in result.err
    assert cli("train", "--resume", "a").code == 0


def test_a_signal_before_there_is_anything_to_save(cli, monkeypatch, tmp_path):
    original = loop.prepare

    def slow(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(loop, "prepare", slow)
    assert cli("train", *TINY, "--out", "a").code == 143
    assert not (tmp_path / "a").exists()


def test_a_signal_in_validation(cli, monkeypatch, tmp_path):
    """It does not wait for the end of it."""
    assert cli("train", *TINY, "--out", "whole").code == 0
    original = loop.validate

    def signalled(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "validate", signalled)
        assert cli("train", *TINY, "--out", "parts").code == 130
    assert not (tmp_path / "parts/metrics.jsonl").exists()
    assert cli("train", "--resume", "parts").code == 0
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


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


@pytest.mark.parametrize("step", [3, 11])
def test_a_training_with_its_twin_goes_on(cli, interrupted_at, tmp_path, step):
    """Stopped in the training of the teacher (8 steps), and in the student's."""
    options = [*TINY, "--set", "train.teacher=ann"]
    whole = cli("train", *options, "--out", "whole")
    assert whole.code == 0 and "lenet with relu neurons" in whole.err
    interrupted_at(step)
    stopped = cli("train", *options, "--out", "parts")
    assert stopped.code == 130
    assert "saved; resume with: asnn train --resume parts" in stopped.err
    assert cli("train", "--resume", "parts").code == 0
    for name in ("model.safetensors", "teacher/model.safetensors"):
        one, other = load_file(Path("whole", name)), load_file(Path("parts", name))
        assert all(torch.equal(one[key], other[key]) for key in one)
    result = cli("eval", "parts/teacher", "--json")
    assert result.code == 0 and json.loads(result.out)["spike_rates"] == {}
