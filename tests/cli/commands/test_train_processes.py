"""Distributed training: several processes, started by `torchrun` or as it starts them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from asnn.core.folder_lock import folder_lock
from tests.support.command_line import TINY

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this torch has no torch.distributed"
)

# Without random numbers and norms that differ between processes.
PLAIN = [
    *TINY,
    "--set",
    "augment.crop=0",
    "--set",
    "train.sync_norm=true",
    "--set",
    "train.kernels=reference",
]


def torchrun(count: int, *arguments: object, cwd: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(count), "-m", "asnn.cli", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def together(warm, tmp_path):
    """Run `asnn ARGUMENTS` in forked processes with the environment that torchrun sets."""

    def run(count: int, *arguments: object) -> tuple[int, str, str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
        processes = [
            subprocess.Popen(
                [warm.asnn, *map(str, arguments)],
                cwd=tmp_path,
                env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank),
                     "WORLD_SIZE": str(count)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(count)
        ]  # fmt: skip
        outputs = [process.communicate(timeout=240) for process in processes]
        code = max(process.returncode for process in processes)
        return code, "".join(out for out, _ in outputs), "".join(err for _, err in outputs)

    return run


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


@pytest.mark.parametrize(
    "options",
    [
        [],
        # 160 samples in batches of 61: the last has 38, and no batch can be halved.
        ["--set", "data.limit=160", "--set", "train.batch_size=61", "--set", "train.accumulate=2"],
        ["--set", "train.ema=0.9", "--set", "train.clip_norm=0.5", "--set", "train.loss=tet"],
    ],
)
def test_two_processes_train_the_weights_of_one(cli, together, tmp_path, options):
    assert cli("train", *PLAIN, *options, "--out", "one").code == 0
    code, out, err = together(2, "train", *PLAIN, *options, "--out", "two", "--json")
    assert code == 0, err
    assert json.loads(out)["finished"] is True  # printed once
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-5, msg=name)
    for mine, theirs in zip(metrics(tmp_path / "two"), metrics(tmp_path / "one"), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    assert json.loads((tmp_path / "two/environment.json").read_text())["processes"] == 2
    assert err.count("epoch 1/2") == 1
    assert "warning" not in err.lower()


def test_two_processes_start_from_the_same_weights(cli, together, tmp_path):
    """Of the same ANN: the calibrated network of one process, bit for bit; then both train it."""
    relu = ["--set", "coding.name=direct", "--set", "coding.steps=1", "--set", "model.neuron=relu"]
    relu += ["--set", "model.output_scale=false"]
    assert cli("train", *PLAIN, *relu, "--out", "ann").code == 0
    start = [*PLAIN, "--set", "coding.name=direct", "--set", "model.neuron=integrate"]
    start += ["--set", "neuron.most=3", "--set", "train.init=ann/", "--set", "train.epochs=0"]
    assert cli("train", *start, "--out", "one").code == 0
    code, out, err = together(2, "train", *start, "--out", "two", "--json")
    assert code == 0, err
    assert json.loads(out)["best"]["epoch"] == 0
    assert err.count("calibrated (mse, 200 samples): the amplitudes of spikes1") == 1
    expected, found = (tmp_path / run / "model.safetensors" for run in ("one", "two"))
    assert expected.read_bytes() == found.read_bytes()
    own = ["--set", "train.init=ann", "--set", "train.epochs=1"]
    code, _, err = together(2, "train", *start, *own, "--out", "trained")
    assert code == 0, err
    assert [line["epoch"] for line in metrics(tmp_path / "trained")] == [0, 1]
    assert (tmp_path / "trained/teacher/model.safetensors").is_file()


LAYERS = {
    "ltl": ["neuron.most=5", "coding.name=direct", "neuron.gradient=straight-through"],
    "tandem": [
        "neuron.gradient=none", "coding.name=impulse", "model.pool=mean",
        "model.output_scale=false", "train.epochs=3",
    ],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("method", LAYERS)
def test_two_processes_teach_layers_by_themselves(cli, together, tmp_path, method):
    """The gradients of all layers are averaged, although none passes from one to another."""
    keys = [
        f"method.name={method}", "model.neuron=integrate", "train.init=ann", "train.loss=mean",
        *LAYERS[method],
    ]  # fmt: skip
    own = [word for key in keys for word in ("--set", key)]
    assert cli("train", *PLAIN, *own, "--out", "one").code == 0
    code, _, err = together(2, "train", *PLAIN, *own, "--out", "two")
    assert code == 0, err
    assert "warning" not in err.lower()
    alone, both = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in alone:
        torch.testing.assert_close(both[name], alone[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
def test_three_processes_resume_exactly(together, tmp_path):
    """With everything that differs between processes: random numbers and statistics of norms.

    With three, sums depend on their order, which must be that of the uninterrupted training.
    """
    own = ["--set", "train.ema=0.9", "--set", "augment.mixup=true", "--set", "coding.name=rate"]
    own += ["--set", "train.epochs=16"]
    code, _, err = together(3, "train", *TINY, *own, "--out", "uninterrupted")
    assert code == 0, err
    process = torchrun(3, "train", *TINY, *own, "--out", "resumed", cwd=tmp_path)
    wait_for(tmp_path / "resumed/metrics.jsonl")
    signal_all(process)
    _, err = process.communicate(timeout=60)
    assert "saved; resume with" in err, err
    code, _, err = together(3, "train", "--resume", "resumed")
    assert code == 0, err
    for name in ("model.safetensors", "metrics.jsonl"):
        expected, found = (tmp_path / run / name for run in ("uninterrupted", "resumed"))
        assert expected.read_bytes() == found.read_bytes(), name


@pytest.mark.slow
def test_a_parameter_that_one_step_does_not_use(cli, together, tmp_path):
    """With T = 1 the leak is not used."""
    one = [*PLAIN, "--set", "coding.name=direct", "--set", "coding.steps=1"]
    assert cli("train", *one, "--out", "one").code == 0
    code, _, err = together(2, "train", *one, "--out", "two")
    assert code == 0, err
    assert "warning" not in err.lower()
    alone, both = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in alone:
        torch.testing.assert_close(both[name], alone[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.slow
def test_norms_that_are_not_synchronised_give_another_result(cli, together, tmp_path):
    """The negative control of the comparison above."""
    local = [*PLAIN, "--set", "train.sync_norm=false"]
    assert cli("train", *local, "--out", "one").code == 0
    code, _, err = together(2, "train", *local, "--out", "two")
    assert code == 0, err
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert any(not torch.allclose(one[n], two[n], rtol=1e-3, atol=1e-5) for n in one)


def test_evaluation_counts_every_sample_once(cli, together, trained):
    alone = json.loads(cli("eval", trained, "--json", "--batch-size", "50").out)
    # 359 samples: the last batch has 9.
    code, out, err = together(2, "eval", trained, "--json", "--batch-size", "50")
    assert code == 0, err
    both = json.loads(out)
    assert both["confusion"] == alone["confusion"] and both["samples"] == 359
    assert both["accuracy_per_step"] == alone["accuracy_per_step"]
    assert both["spike_rates"] == alone["spike_rates"]
    assert both["loss"] == pytest.approx(alone["loss"])


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert path.exists()


def signal_all(process: subprocess.Popen) -> None:
    """Signal every process and torchrun, which forwards it, as a service manager does."""
    ranks = [process_of_rank(rank, process.pid) for rank in range(3)]
    for each in (*ranks, process.pid):
        if each is not None:
            os.kill(each, signal.SIGTERM)


def process_of_rank(rank: int, parent: int) -> int | None:
    """Return the process of a rank among the children of torchrun."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if f"RANK={rank}".encode() in environment and int(fields[1]) == parent:
            return int(folder.name)
    return None


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_when_a_process_is_killed_all_end_and_the_run_can_be_resumed(together, tmp_path, rank):
    options = [*TINY, "--set", "train.epochs=300", "--set", "train.checkpoint_steps=5"]
    process = torchrun(2, "train", *options, "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run/metrics.jsonl")
    victim = process_of_rank(rank, process.pid)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    begin = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - begin < 30
    assert process.returncode != 0
    if rank == 1:
        assert "another process has ended" in err
        assert "train --resume" in err
    done = len(metrics(tmp_path / "run"))
    more = ["--set", f"train.epochs={done + 2}"]
    code, _, err = together(2, "train", "--resume", "run", *more)
    assert code == 0, err
    assert len(metrics(tmp_path / "run")) == done + 2


@pytest.mark.slow
def test_a_signal_to_all_processes_writes_a_checkpoint(tmp_path):
    process = torchrun(2, "train", *TINY, "--set", "train.epochs=300", "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run/metrics.jsonl")
    process.send_signal(signal.SIGTERM)  # torchrun forwards it
    _, err = process.communicate(timeout=60)
    assert "saved; resume with" in err, err
    assert (tmp_path / "run/checkpoints/latest").exists()


def test_faults_of_a_recipe_are_printed_once(together):
    code, _, err = together(2, "train", "--set", "train.lr=-1")
    assert code != 0
    assert err.count("train.lr") == 1


def test_batches_that_are_too_small_are_refused(together):
    options = [*TINY, "--set", "train.batch_size=3", "--out", "run"]
    code, _, err = together(2, "train", *options)
    assert code != 0
    assert "3 samples are too few for 2 processes" in err


def test_a_folder_in_use_is_refused_in_all_processes(together, tmp_path):
    (tmp_path / "run").mkdir()
    with folder_lock(tmp_path / "run", "a training", "why"):
        code, _, err = together(2, "train", *TINY, "--out", "run")
    assert code == 1 and err.count("a training is already running in run") == 1, err
    assert "another process has ended" not in err and not list((tmp_path / "run").iterdir())
