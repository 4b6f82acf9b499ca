"""`asnn sweep`: members are runs, resuming, refusals; as a process, stopped and killed."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from asnn.records.layout import find_run
from asnn.sweeps import pool
from tests.support.warm import WarmProgram

TINY = [
    *("--set", "train.epochs=1", "--set", "data.limit=60"),
    *("--set", "model.widths=[4,8]", "--set", "model.hidden=16"),
]
ASNN = [sys.executable, "-m", "asnn.cli"]
GRID = ["--grid", "coding.name=direct,hybrid"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory, warm):
    """The folder above `runs/s`, a finished sweep of two members; and the ended process."""
    folder = tmp_path_factory.mktemp("swept")
    done = subprocess.run(
        [warm.asnn, "sweep", *GRID, *TINY, "--jobs", "2", "--out", "runs/s", "--json"],
        cwd=folder,
        capture_output=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr.decode()
    return folder, done


def members(sweep: Path) -> list[Path]:
    return sorted(path.parent for path in sweep.glob("*/config.toml"))


def test_members_are_runs(swept):
    folder, _ = swept
    sweep = folder / "runs/s"
    assert {path.name for path in sweep.iterdir()} == {
        "sweep.toml",
        "results.json",
        "results.md",
        "results.png",
        "logs",
        "coding.name=direct,seed=0",
        "coding.name=hybrid,seed=0",
    }
    for member in members(sweep):
        assert {path.name for path in member.iterdir()} == {
            *("config.toml", "environment.json", "metrics.jsonl", "times.jsonl", "summary.json"),
            *("model.safetensors", "curves.png", "checkpoints", "evaluation.json"),
        }
        assert (sweep / "logs" / f"{member.name}.log").exists()


def test_stdout_is_the_results_and_nothing_else(swept):
    folder, done = swept
    results = json.loads(done.stdout)
    assert results == json.loads((folder / "runs/s/results.json").read_text())
    assert results["keys"] == ["coding.name"] and len(results["points"]) == 2
    said = done.stderr.decode()
    assert "2 trainings, 2 at a time" in said and "1 left" in said and "none left" in said
    assert "no p value: fewer than 2 pairs" in said


def test_a_record_has_the_results_of_eval(swept, cli):
    folder, _ = swept
    for member in members(folder / "runs/s"):
        found = json.loads(cli("eval", member, "--json").out)
        record = json.loads((member / "evaluation.json").read_text())
        for key in ("accuracy", "accuracy_per_step", "loss", "spikes_per_sample"):
            assert record[key] == pytest.approx(found[key], rel=1e-6), key
        for key in ("samples", "fingerprint", "split", "data"):
            assert record[key] == found[key], key
        summary = json.loads((member / "summary.json").read_text())
        assert record["training_seconds"] == summary["seconds"]
        assert record["parameters"] == summary["parameters"]
        assert record["validation_accuracy"] == summary["best"]["validation_accuracy"]


def test_a_member_is_the_run_that_train_makes(swept, cli):
    folder, _ = swept
    member = folder / "runs/s/coding.name=direct,seed=0"
    assert cli("train", *TINY, "--set", "coding.name=direct", "--out", "alone").code == 0
    assert Path("alone/config.toml").read_text() == (member / "config.toml").read_text()
    assert cli("train", member / "config.toml", "--out", "again").code == 0


def test_threads_are_counted_by_torch_itself(swept):
    from asnn.sweeps.pool import cores

    folder, _ = swept
    for member in members(folder / "runs/s"):
        found = json.loads((member / "environment.json").read_text())
        assert found["threads"] == min(2, max(1, cores() // 2))


def test_a_finished_sweep_writes_its_results_again(swept, cli, tmp_path, monkeypatch):
    folder, _ = swept
    monkeypatch.chdir(folder)
    before = (folder / "runs/s/results.json").read_bytes()
    (folder / "runs/s/results.json").write_text("{}")
    again = cli("sweep", "--resume")
    assert again.code == 0 and again.out == ""
    assert (folder / "runs/s/results.json").read_bytes() == before
    # The same definition is the same sweep, and another one is refused.
    assert cli("sweep", *GRID, *TINY, "--out", "runs/s").code == 0
    other = cli("sweep", *GRID, *TINY, "--out", "runs/s", "--seeds", "2")
    assert other.code == 2
    assert "runs/s holds another sweep" in other.err and "seeds differs" in other.err


def test_a_sweep_is_not_taken_for_a_run(swept, monkeypatch, cli):
    folder, _ = swept
    monkeypatch.chdir(folder)
    result = cli("eval")
    assert result.code == 4 and "there is no trained run in runs/" in result.err
    assert find_run("runs/s/coding.name=direct,seed=0").finished


def test_the_command_on_the_page_repeats_the_sweep(swept, cli, tmp_path):
    folder, _ = swept
    words = shlex.split(json.loads((folder / "runs/s/results.json").read_text())["command"])
    assert words[0] == "asnn"
    again = cli(*words[1:], "--out", folder / "runs/s")
    assert again.code == 0, again.err


def test_dry_run_lists_the_members_and_writes_nothing(cli, tmp_path):
    grid = ["--grid", "coding.steps=2,3", "--seeds", "0,5"]
    result = cli("sweep", *grid, "--dry-run")
    assert result.code == 0
    assert result.out.splitlines() == [
        "coding.steps=2,seed=0",
        "coding.steps=3,seed=0",
        "coding.steps=2,seed=5",
        "coding.steps=3,seed=5",
    ]
    found = json.loads(cli("sweep", *grid, "--dry-run", "--json").out)
    assert found["members"][3] == {
        "name": "coding.steps=3,seed=5",
        "settings": {"coding.steps": 3},
        "seed": 5,
    }
    assert list(tmp_path.iterdir()) == []


def test_options_of_the_replaced_component_are_left_out_with_a_note(cli):
    result = cli("sweep", "--grid", "model.name=lenet,mlp", "--dry-run")
    assert result.code == 0
    assert "model.widths is left out: 'mlp' has no such option" in result.err


def test_impossible_members(cli, tmp_path):
    grid = ["--grid", "coding.name=direct,hybrid", "--grid", "coding.steps=1,2"]
    result = cli("sweep", *grid)
    assert result.code == 2
    assert "1 of 4 combinations cannot be trained" in result.err
    assert "--skip-impossible leaves them out" in result.err
    assert list(tmp_path.iterdir()) == []
    result = cli("sweep", *grid, "--skip-impossible", "--dry-run")
    assert result.code == 0 and len(result.out.splitlines()) == 3
    assert "left out: coding.name=hybrid, coding.steps=1: " in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--grid", "steps"], 2, "is not of the form section.key=value,value"),
        (["--grid", "coding.steps=2,3", "--set", "coding.steps=4"], 2, "in --grid and in --set"),
        (["--seeds", "x"], 2, "is not valid"),
        (["--seeds", "2", "--set", "train.seed=3"], 2, "train.seed is set beside --seeds"),
        (["--grid", "train.lr=1,1"], 2, "has a value twice"),
        (["--split", "tset"], 2, "did you mean 'test'"),
        (["nothing"], 2, "unknown recipe 'nothing'"),
        (["--resume"], 4, "there is no sweep in runs/"),
        (["--resume", "nowhere"], 4, "nowhere is not a sweep"),
        (["--resume", "--seeds", "3"], 2, "uses the sweep's own definition"),
        ([*GRID, "--set", "data.name=npz", "--set", "data.path=none.npz"], 4, "none.npz"),
        ([], 2, "this sweep has a single training"),
        (["digits", "--set", "train.seed=4", "--dry-run"], 2, "asnn sweep digits --grid train.lr="),
        (["--jobs", "0"], 2, "jobs"),
        (["--trials", "3"], 2, "--trials goes with --search only"),
        (["--search", "train.lr=1..0"], 2, "is empty"),
        (["--search", "train.lr=1..2", "--grid", "coding.steps=2,3"], 2, "neither --grid nor"),
        (["--search", "train.lr=1..2", "--split", "test"], 2, "does not use test data"),
        (["--search", "train.lr=1..2", "--seeds", "2"], 2, "takes a single seed"),
    ],
)
def test_refusals(cli, tmp_path, arguments, code, says):
    result = cli("sweep", *arguments)
    assert (result.code, result.out) == (code, "")
    assert says in result.err and "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_the_seed_of_the_recipe_is_the_default(cli):
    grid = ["--grid", "coding.steps=2,3", "--dry-run"]
    assert cli("sweep", *grid).out.splitlines()[0] == "coding.steps=2,seed=0"
    found = cli("sweep", *grid, "--set", "train.seed=4").out.splitlines()
    assert found == ["coding.steps=2,seed=4", "coding.steps=3,seed=4"]


def test_seeds_alone_are_a_grid(cli):
    assert cli("sweep", "--seeds", "2", "--dry-run").out == "seed=0\nseed=1\n"
    assert cli("sweep", "--seeds", "5,", "--dry-run").out == "seed=5\n"


def test_help_has_examples(cli):
    result = cli("sweep", "--help")
    assert result.code == 0
    assert "asnn sweep --grid coding.name=direct,hybrid" in result.out


def test_search_without_optuna(cli, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = cli("sweep", "--search", "train.lr=1e-4..1e-2:log")
    assert result.code == 2
    assert "--search needs Optuna" in result.err and "pip install 'asnn[search]'" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_search_finds_the_best_trial_on_validation_data(cli, warm, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.setattr(pool, "WORKER", [str(warm.worker)])
    words = ["sweep", *TINY, "--search", "train.lr=1e-4..1e-2:log", "--trials", "2"]
    dry = cli(*words, "--dry-run", "--json")
    assert json.loads(dry.out) == {"trials": 2} and list(tmp_path.iterdir()) == []
    result = cli(*words, "--out", "s", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found == json.loads((tmp_path / "s/results.json").read_text())
    assert [each["state"] for each in found["trials"]] == ["complete"] * 2
    for each in found["trials"]:
        run = tmp_path / "s" / each["name"]
        summary = json.loads((run / "summary.json").read_text())
        assert each["validation_accuracy"] == summary["best"]["validation_accuracy"]
        assert json.loads((run / "evaluation.json").read_text())["split"] == "validation"
    assert found["best"] == found["trials"][0]
    assert "2 left" not in result.err and "0 left" in result.err
    assert f"next: asnn eval s/{found['best']['name']}" in result.err
    again = cli("sweep", "--resume", "s", "--json")
    assert again.code == 0 and json.loads(again.out) == found


def test_a_member_that_fails_is_reported(cli, warm, monkeypatch):
    monkeypatch.setattr(pool, "WORKER", [str(warm.worker)])
    grid = ["--grid", "train.lr=1e-3,1e30", "--set", "train.optimizer=sgd"]
    result = cli("sweep", *grid, *TINY, "--out", "s", "--json")
    assert result.code == 1
    found = json.loads(result.out)
    (failed,) = found["failed"]
    assert failed["name"] == "train.lr=1e+30,seed=0"
    assert "nan" in failed["what"] or "inf" in failed["what"]
    assert "lower train.lr" in failed["remedy"]
    assert [each["n"] for each in found["points"]] == [1, 0]
    assert "failed: train.lr=1e+30,seed=0: the loss is" in result.err
    assert "Traceback" not in result.err


@pytest.mark.slow
def test_a_signal_while_members_are_trained(cli, tmp_path, monkeypatch):
    """With a worker that waits; the signals of members are tested below."""
    waits = "import sys, time; sys.stdin.read(); open(sys.argv[1], 'w'); time.sleep(60)"
    monkeypatch.setattr(pool, "WORKER", [sys.executable, "-c", waits, str(tmp_path / "begun")])

    def stop():
        until((tmp_path / "begun").exists)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop)
    thread.start()
    result = cli("sweep", *TINY, "--seeds", "1", "--out", "s", "--json")
    thread.join()
    assert result.code == 143
    assert "1 of 1 are not trained yet; resume with: asnn sweep --resume s" in result.err
    assert json.loads(result.out)["missing"] == ["seed=0"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


def weights(member: Path) -> bytes:
    return (member / "model.safetensors").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_sweep_is_resumed(tmp_path, warm, number, monkeypatch):
    """Two members are stopped during training, and end as an uninterrupted training."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as many threads as a training alone
    options = ["--set", "train.epochs=15", "--seeds", "2"]
    process = subprocess.Popen(
        [*ASNN, "sweep", *TINY, *options, "--jobs", "2", "--out", "s"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    begun = [tmp_path / f"s/seed={seed}/metrics.jsonl" for seed in (0, 1)]
    until(lambda: all(path.exists() for path in begun))
    os.killpg(process.pid, number)  # as Ctrl-C in a terminal does
    _, said = process.communicate(timeout=120)
    assert process.returncode == {signal.SIGKILL: -signal.SIGKILL}.get(number, 128 + number)
    assert b"Traceback" not in said
    if number != signal.SIGKILL:
        assert b"resume with: asnn sweep --resume s" in said
        assert "seed=1" in json.loads((tmp_path / "s/results.json").read_text())["missing"]
    # Members whose sweep was killed save and stop by themselves; the resumed one waits for them.
    done = resume(warm, tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"resuming from step" in (tmp_path / "s/logs/seed=1.log").read_bytes()
    if number == signal.SIGINT:
        alone = [warm.asnn, "train", *TINY, *options[:2], "--seed", "1", "--out", "alone"]
        assert subprocess.run(alone, cwd=tmp_path, capture_output=True).returncode == 0
        assert weights(tmp_path / "alone") == weights(tmp_path / "s/seed=1")


def resume(warm: WarmProgram, folder: Path) -> subprocess.CompletedProcess:
    """Resume the sweep at once."""
    command = [warm.asnn, "sweep", "--resume", "s", "--jobs", "2"]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=240)


def test_commands_given_a_sweep(swept, cli, monkeypatch):
    """A report compares its runs; the others name a run, and what takes a sweep."""
    monkeypatch.chdir(swept[0])
    found = cli("report", "runs/s", "--json")
    assert found.code == 0, found.err
    assert len(json.loads(found.out)["runs"]) == 2 and Path("runs/s/report.html").is_file()
    for arguments in (
        ("inspect", "runs/s"),
        ("eval", "runs/s"),
        ("export", "runs/s", "-f", "onnx"),
        ("train", "--resume", "runs/s"),
    ):
        refused = cli(*arguments)
        assert refused.code == 4 and "runs/s is a sweep, not a run" in refused.err, arguments
        assert "asnn sweep --resume runs/s" in refused.err
