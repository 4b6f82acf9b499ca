"""The pipelines of docs/ci.md run unchanged.

Substitutes: `pip` logs its arguments; GitHub's `uses:` and GitLab's caches and artifacts are
missing, and `${{ ... }}` occurs only in them. The network is trained once, by GitHub's step, since
the command is the same in all pipelines; the training that is killed is a real process, later
commands are forked from a warm one. In the tests of the checks, and under `make`, a script takes
the place of `asnn` and prints a given result.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from asnn.records.layout import Run
from tests.support.jq import write_jq

PAGE = Path(__file__).parents[2] / "docs" / "ci.md"
BLOCKS = dict(re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", PAGE.read_text("utf-8"), re.S))
GITHUB = yaml.safe_load(BLOCKS[".github/workflows/networks.yml"])["jobs"]["train"]["steps"]
GITLAB = yaml.safe_load(BLOCKS[".gitlab-ci.yml"])["networks"]
STEPS = {step["name"]: step["run"] for step in GITHUB if "run" in step}
SCRIPTS = {
    "ci.sh": [BLOCKS["ci.sh"]],
    "GitHub": list(STEPS.values()),
    "GitLab": ["\n".join(GITLAB["script"])],
}
(BEGIN,) = re.findall(r"asnn (train digits .*)", STEPS["Train"])
GOOD = {
    "accuracy": 0.95,
    "energy": {"picojoules_per_sample": 2e5},
    "exits": [{"steps": 4.0}, {"steps": 1.5}],
    "result": {"validation_accuracy": {"difference": -0.01}},
    "configuration": {},
    "finished": True,
}
PIP = """\
#!/bin/sh
echo "$@" >> pip.log
"""
ASNN = """\
#!/bin/sh
echo "$@" >> asnn.log
case "$1" in
  train) mkdir -p runs/ci; exit "${TRAIN:-0}" ;;
  eval | runs) cat result.json ;;
  export) exit "${EXPORT:-0}" ;;
esac
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def environment(programs: Path, **more: str) -> dict[str, str]:
    """The environment of a job: programs of the test, then those of this Python."""
    executable(programs / "pip", PIP)
    if shutil.which("jq") is None:
        write_jq(programs)
    path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {**os.environ, "PATH": os.pathsep.join(path), **more}


def bash(text: str, folder: Path, **more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{text}"], cwd=folder, timeout=600, text=True,
        capture_output=True, env=environment(folder / ".programs", **more),
    )  # fmt: skip


def ends(name: str, folder: Path, **more: str) -> int:
    """The exit code of a pipeline: that of the first step that fails."""
    codes = (bash(text, folder, **more).returncode for text in SCRIPTS[name])
    return next((code for code in codes if code), 0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, warm):
    """A checkout in which GitHub's step `Train` was killed once, and was finished by a second job.

    The folder of the run existed before, and was empty, as after a job that was killed at once.
    """
    folder = tmp_path_factory.mktemp("job")
    (folder / "runs/ci").mkdir(parents=True)
    step = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", STEPS["Train"]], cwd=folder, start_new_session=True,
        env=environment(folder / ".programs"), stderr=subprocess.PIPE,
    )  # fmt: skip
    start = time.monotonic()
    while not (folder / "runs/ci/checkpoints/latest").exists():
        assert step.poll() is None and time.monotonic() - start < 300
        time.sleep(0.02)
    os.killpg(step.pid, signal.SIGKILL)
    assert step.communicate() and step.returncode == -signal.SIGKILL
    assert not Run(folder / "runs/ci").finished
    (folder / ".programs/asnn").symlink_to(warm.asnn)
    again = bash(STEPS["Train"], folder)
    assert again.returncode == 0, again.stderr
    assert "epoch 10/10" in again.stderr and "epoch 1/10" not in again.stderr
    return folder


@pytest.fixture
def job(trained, warm, tmp_path):
    """A checkout in which the network is trained already."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    (tmp_path / ".programs").mkdir()
    (tmp_path / ".programs/asnn").symlink_to(warm.asnn)
    return tmp_path


def test_every_pipeline_trains_the_same_network():
    assert all(f"asnn {BEGIN}\n" in text for text in BLOCKS.values())


def test_a_killed_job_is_resumed(trained):
    lines = (trained / "runs/ci/metrics.jsonl").read_text().splitlines()
    assert [each["epoch"] for each in map(json.loads, lines)] == list(range(1, 11))
    again = bash(STEPS["Train"], trained)
    assert (again.returncode, again.stdout) == (0, "true\ntrained already\n")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_pipeline_runs(job, name):
    shutil.copytree(job / "runs/ci", job / "baseline")
    for text in SCRIPTS[name]:
        done = bash(text, job)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    assert (job / "pip.log").read_text() == "install -c constraints.txt .\n"
    assert json.loads((job / "eval.json").read_text())["accuracy"] >= 0.9
    assert list(job.glob("runs/ci/export/onnx*/*.onnx"))
    if name == "GitHub":
        found = json.loads((job / "diff.json").read_text())
        assert found["result"]["validation_accuracy"]["difference"] == 0
        assert (job / "baseline/model.safetensors").exists()
    for kept in GITLAB["artifacts"]["paths"]:
        assert (job / kept).exists()


@pytest.fixture
def substitute(tmp_path):
    """A checkout with a script in the place of asnn, which prints the results of a good network."""
    executable(tmp_path / ".programs/asnn", ASNN)
    (tmp_path / "result.json").write_text(json.dumps(GOOD))
    (tmp_path / "baseline").mkdir()
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (None, BEGIN),
        ({}, BEGIN),  # killed when only the folder existed
        ({"config.toml": ""}, "train --resume runs/ci"),
        ({"config.toml": "", "summary.json": '{"finished": false}'}, "train --resume runs/ci"),
        ({"config.toml": "", "summary.json": '{"finished": true}'}, None),
    ],
)
def test_a_training_is_started_resumed_or_kept(substitute, name, files, expected):
    if files is not None:
        (substitute / "runs/ci").mkdir(parents=True)
        for file, text in files.items():
            (substitute / "runs/ci" / file).write_text(text)
    assert ends(name, substitute) == 0
    called = (substitute / "asnn.log").read_text().splitlines()
    assert [line for line in called if line.startswith("train")] == ([expected] if expected else [])
    # The job fails if the training is refused, as with an edited configuration.
    assert ends(name, substitute, TRAIN="2") == (2 if expected else 0)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_the_makefile_runs(substitute):
    (substitute / "Makefile").write_text(BLOCKS["Makefile"])
    assert bash("make check", substitute).returncode == 0
    evaluate = "eval runs/ci --json"
    assert (substitute / "asnn.log").read_text().splitlines() == [BEGIN, evaluate]
    shutil.copy(substitute / "result.json", substitute / "runs/ci/summary.json")
    assert bash("make check", substitute).returncode == 0
    assert (substitute / "asnn.log").read_text().splitlines() == [BEGIN, evaluate, evaluate]
    (substitute / "result.json").write_text(json.dumps({**GOOD, "accuracy": 0.85}))
    assert bash("make check", substitute).returncode == 2  # the exit code of make for any failure


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "export", "code"),
    [
        ({}, 0, 0),
        ({"accuracy": 0.85}, 0, 1),
        ({"energy": {"picojoules_per_sample": 5e5}}, 0, 1),
        ({"exits": [{"steps": 1.0}, {"steps": 3.5}]}, 0, 1),
        ({"result": {"validation_accuracy": {"difference": -0.1}}}, 0, 1),
        ({}, 3, 3),
    ],
)
def test_a_failed_check_fails_the_job(substitute, change, export, code):
    """The network passes every check, or fails one."""
    (substitute / "result.json").write_text(json.dumps({**GOOD, **change}))
    ended = {name: ends(name, substitute, EXPORT=str(export)) for name in SCRIPTS}
    everywhere = not change or "accuracy" in change
    assert ended["GitHub"] == code
    assert ended["GitLab"] == (code if everywhere else 0)
    assert ended["ci.sh"] == (code if everywhere or "energy" in change else 0)
