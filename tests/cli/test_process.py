"""`asnn` as a process: pipes, closed streams, signals, full disks, packages of the user."""

import fcntl
import json
import os
import pty
import re
import resource
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import TINY

ASNN = [sys.executable, "-m", "asnn.cli"]
SHELL_ASNN = f"{sys.executable} -m asnn.cli"


def asnn(*arguments, cwd, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*ASNN, *map(str, arguments)], cwd=cwd, capture_output=True, timeout=120, **options
    )


@pytest.mark.slow
def test_help_needs_no_torch():
    code = (
        "import sys; from asnn.cli.app import run; code = run(['--help']); "
        "heavy = {'torch', 'numpy', 'pydantic', 'matplotlib'} & set(sys.modules); "
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"train" in done.stdout and b"encode" in done.stdout


@pytest.mark.slow
def test_train_and_eval_without_a_reader_of_stderr(tmp_path):
    """A training continues when nobody reads its progress, and `eval` follows it."""
    tiny = " ".join(f"'{word}'" for word in TINY)
    script = f"{SHELL_ASNN} train {tiny} && {SHELL_ASNN} eval --json"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=write, timeout=120
    )
    os.close(write)
    assert done.returncode == 0
    assert 0 <= json.loads(done.stdout)["accuracy"] <= 1
    (summary,) = tmp_path.glob("runs/*/summary.json")
    assert json.loads(summary.read_text())["finished"] is True


@pytest.mark.slow
def test_from_stdin_to_stdout(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (1, 6, 6), dtype=np.uint8)
    np.save(tmp_path / "x.npy", pixels)
    done = asnn("encode", "-", cwd=tmp_path, input=(tmp_path / "x.npy").read_bytes())
    assert done.returncode == 0, done.stderr
    from asnn.coding import load_spikes

    assert np.array_equal(load_spikes(done.stdout).code[0, 0], pixels / np.float32(255))
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy"}


@pytest.mark.slow
def test_closed_stdin(tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"{SHELL_ASNN} encode - <&-"], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert done.returncode == 4
    assert b"stdin is closed" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["recipes list", "--help", "recipes --help"])
def test_closed_stdout(tmp_path, verb):
    script = f"{SHELL_ASNN} {verb} >&-"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"could not write stdout" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "verb",
    [
        "recipes list",
        pytest.param("encode --dataset digits --limit 9 -o -", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_behind_stdout(tmp_path, verb):
    script = f"{SHELL_ASNN} {verb} > /dev/full"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"could not write stdout" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["recipes", "show", "cifar100"],
        pytest.param(["encode", "--dataset", "digits", "-o", "-"], marks=pytest.mark.slow),
        ["recipes", "list", "--json"],
    ],
)
def test_a_closed_pipe_is_no_error(tmp_path, arguments):
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [*ASNN, *arguments], cwd=tmp_path, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    _, printed = process.communicate(timeout=60)
    # Notes of the command may be there, but none about the pipe.
    assert b"Broken" not in printed and b"Traceback" not in printed and b"error" not in printed
    assert process.returncode == 141


@pytest.mark.slow
def test_a_terminal_shows_a_live_line_and_may_be_closed(tmp_path):
    """The training continues without it; SIGHUP, which a shell then sends, saves and ends it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*ASNN, "train", *TINY, "--set", "train.epochs=2000", "--out", "run"],
        cwd=tmp_path, stderr=slave, env={**os.environ, "TERM": "xterm"},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip
    os.close(slave)
    metrics = tmp_path / "run/metrics.jsonl"

    def epochs() -> int:
        return len(metrics.read_text().splitlines()) if metrics.exists() else 0

    def until(condition) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)

    shown = b""
    while epochs() < 3:
        assert select.select([master], [], [], 60)[0], "nothing is shown"
        shown += os.read(master, 65536)
    plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode()
    lines = [line for line in re.split(r"[\r\n]+", plain)[:-1] if "acc " in line]
    live = [line for line in lines if "/2000" in line]
    assert live and all("loss" in line and "samples/s" in line for line in live)
    assert any(re.search(r"\d:\d\d:\d\d\s*$", line) for line in live), "the time left is cut off"
    os.close(master)
    before = epochs()
    until(lambda: epochs() > before + 3)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=30) == 143
    assert (tmp_path / "run/checkpoints/latest").exists()


def no_space() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "--dataset", "digits", "-o", "a.npz"],
        ["encode", "--dataset", "digits", "--limit", "1", "-o", "a.npz", "--plot", "a.png"],
    ],
)
def test_a_file_that_cannot_be_written_in_full(tmp_path, arguments):
    """The kernel stops writes at 3,000 bytes, as a full disk would."""
    done = asnn(*arguments, cwd=tmp_path, preexec_fn=no_space)
    assert done.returncode == 1
    assert b"could not write a." in done.stderr and b"Traceback" not in done.stderr
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"a.npz"}  # complete, written before the plot failed
    if "--plot" not in arguments:
        assert left == set()


@pytest.mark.slow
def test_a_training_on_a_full_disk_keeps_its_files(tmp_path):
    done = asnn("train", *TINY, "--out", "run", cwd=tmp_path, preexec_fn=no_space)
    assert done.returncode == 1
    assert b"could not write" in done.stderr and b"Traceback" not in done.stderr
    left = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert left == {"config.toml", "environment.json"}


def test_a_folder_without_permission(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    done = asnn("train", *TINY, "--out", tmp_path / "run", cwd="/")
    tmp_path.chmod(0o700)
    assert done.returncode == 1 and b"Permission denied" in done.stderr


@pytest.mark.slow
def test_packages_of_the_user_are_not_imported(tmp_path):
    names = ("models", "exporters", "coding", "learning", "datasets", "measure", "core")
    for folder in (tmp_path, tmp_path / "path"):
        for name in names:
            (folder / name).mkdir(parents=True)
            (folder / name / "__init__.py").write_text("raise RuntimeError('the user\\'s own')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "path")}
    done = asnn("train", *TINY, "--dry-run", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    # Negative control: an import of these names does find the packages of the user.
    control = subprocess.run(
        [sys.executable, "-c", "import models"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert b"the user's own" in control.stderr


@pytest.mark.slow
def test_python_m_from_a_checkout():
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "asnn_cli", "--version"], cwd=root, capture_output=True, timeout=60
    )
    assert done.returncode == 0 and done.stdout.startswith(b"asnn ")


@pytest.mark.slow
def test_a_signal_saves(tmp_path):
    process = subprocess.Popen(
        [*ASNN, "train", *TINY, "--set", "train.epochs=500", "--out", "run"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"saved; resume with" in printed and b"Traceback" not in printed
    assert list((tmp_path / "run/checkpoints").glob("step-*/state.pt"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no groups of processes")
def test_a_signal_to_the_process_group_saves(tmp_path):
    """As from `timeout` or a service manager: it does not end the data workers."""
    generator = np.random.default_rng(0)
    for index in range(120):
        folder = tmp_path / f"images/{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 255, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    data = ["--set", "data.name=folder", "--set", "data.path=images"]
    data += ["--set", "data.memory_limit=0", "--set", "data.limit=100"]
    data += ["--set", "train.workers=2", "--set", "train.epochs=500", "--set", "train.batch_size=8"]
    process = subprocess.Popen(
        [*ASNN, "train", *TINY, *data, "--out", "run"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    while not (tmp_path / "run/metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 143, printed
    assert b"saved; resume with" in printed and b"error" not in printed
    assert b"not writable" not in printed
