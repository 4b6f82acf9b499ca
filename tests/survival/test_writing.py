"""A training whose folder cannot be written to any more reports it and keeps its checkpoints."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

PROC_IS_THERE = Path("/proc").exists()
PROC = pytest.mark.skipif(not PROC_IS_THERE, reason="looks for a process in /proc")
TINY = [
    *("--set", "train.epochs=400", "--set", "data.limit=200", "--set", "train.checkpoint_steps=3"),
    *("--set", "model.widths=[4,8]", "--set", "model.hidden=16"),
]


@pytest.fixture
def training(warm, tmp_path):
    """A process of a training that has written its first epoch."""
    process = subprocess.Popen(
        [warm.asnn, "train", *TINY, "--out", "run"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/metrics.jsonl").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    yield process
    process.terminate()
    process.communicate()


@pytest.fixture
def resumed(warm, tmp_path):
    """Resume the training for two more epochs."""

    def resume() -> subprocess.CompletedProcess:
        done = len((tmp_path / "run/metrics.jsonl").read_text().splitlines())
        return subprocess.run(
            [warm.asnn, "train", "--resume", "run", "--set", f"train.epochs={done + 2}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return resume


def forked(training: subprocess.Popen, folder: Path) -> int:
    """Return the process that trains: the one in the folder of its client."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            found = int(link.parent.name)
            if link.readlink() == folder and found != training.pid:
                return found
        except OSError:
            continue
    raise AssertionError("the training has ended")


@contextmanager
def between_checkpoints(training: subprocess.Popen, folder: Path) -> Iterator[None]:
    """Hold the training at a moment when it writes no checkpoint, so that the next one fails as it
    begins."""
    trainer = forked(training, folder)
    checkpoints = folder / "run/checkpoints"
    while True:
        os.kill(trainer, signal.SIGSTOP)
        while Path(f"/proc/{trainer}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)
        if not any(each.name.endswith(".part") for each in checkpoints.iterdir()):
            break
        os.kill(trainer, signal.SIGCONT)
        time.sleep(0.005)
    yield
    os.kill(trainer, signal.SIGCONT)


def test_a_folder_that_is_moved_away(training, resumed, tmp_path):
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    _, err = training.communicate(timeout=60)
    assert training.returncode == 1
    assert "could not write" in err and "Traceback" not in err
    assert "the folder is missing or was removed" in err
    (tmp_path / "elsewhere").rename(tmp_path / "run")
    again = resumed()
    assert again.returncode == 0 and "resuming from step" in again.stderr, again.stderr


@pytest.mark.slow
def test_a_folder_that_becomes_read_only(training, resumed, tmp_path):
    run = tmp_path / "run"
    if os.geteuid() == 0:  # permissions do not stop root; a file in the place of a folder does
        with between_checkpoints(training, tmp_path) if PROC_IS_THERE else nullcontext():
            shutil.move(run / "checkpoints", tmp_path / "kept")
            (run / "checkpoints").write_text("in the way")
        reasons = ("File exists", "Not a directory")
    else:
        (run / "checkpoints").chmod(0o500)
        reasons = ("Permission denied",)
    _, err = training.communicate(timeout=60)
    assert training.returncode == 1
    assert "could not write" in err and "Traceback" not in err
    assert any(reason in err for reason in reasons)
    if os.geteuid() == 0:
        (run / "checkpoints").unlink()
        shutil.move(tmp_path / "kept", run / "checkpoints")
    else:
        (run / "checkpoints").chmod(0o700)
    again = resumed()
    assert again.returncode == 0 and "resuming from step" in again.stderr, again.stderr


@pytest.mark.slow
@PROC
def test_a_limit_on_the_size_of_files(training, resumed, tmp_path):
    """As on a full disk: earlier checkpoints are kept, and the run can be resumed afterwards."""
    trainer = forked(training, tmp_path)
    resource.prlimit(trainer, resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
    _, err = training.communicate(timeout=60)
    assert training.returncode == 1
    assert "could not write" in err and "File too large" in err and "Traceback" not in err
    assert len(list((tmp_path / "run/checkpoints").glob("step-*"))) == 2
    again = resumed()
    assert again.returncode == 0 and "resuming from step" in again.stderr, again.stderr


MOUNTS = ["unshare", "--map-root-user", "--mount", "sh", "-c"]  # seen by these processes alone


def may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*MOUNTS, "mount -t tmpfs none /mnt"], capture_output=True)
    return tried.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason", "repair"),
    [
        (
            # Leaves less space than a checkpoint needs.
            "head -c 4M /dev/zero > disk/ballast",
            "No space left on device",
            "rm disk/ballast",
        ),
        (
            "mount -t tmpfs -o ro none disk/run/checkpoints",
            "Read-only file system",
            "umount disk/run/checkpoints",
        ),
    ],
)
def test_a_disk_that_is_full_or_read_only(tmp_path, fault, reason, repair):
    """A separate disk of 2 MB; the training resumes from its checkpoint afterwards."""
    if not may_mount():
        pytest.skip("may not mount a disk")
    asnn = f"{sys.executable} -m asnn.cli"
    tiny = " ".join(f"'{word}'" for word in TINY)
    script = f"""
        mkdir disk && mount -t tmpfs -o size=2m none disk || exit 99
        {asnn} train {tiny} --out disk/run 2> first &
        for i in $(seq 1000); do test -e disk/run/metrics.jsonl && break; sleep 0.1; done
        while kill -STOP $!; do  # at a moment when it writes no checkpoint
            sleep 0.05
            ls -A disk/run/checkpoints | grep -q part || break
            kill -CONT $!
            sleep 0.01
        done
        {fault}
        kill -CONT $!
        wait $!
        echo $? > code
        {repair}
        done=$(wc -l < disk/run/metrics.jsonl)
        {asnn} train --resume disk/run --set train.epochs=$((done + 2)) 2> second
        echo $? >> code
        ls -a disk/run disk/run/checkpoints > left
    """
    subprocess.run([*MOUNTS, script], cwd=tmp_path, capture_output=True, timeout=200)
    first, second = ((tmp_path / name).read_text() for name in ("first", "second"))
    assert (tmp_path / "code").read_text().split() == ["1", "0"], first + second
    assert "could not write" in first and reason in first and "Traceback" not in first
    assert "resuming from step" in second
    assert ".part" not in (tmp_path / "left").read_text()


@pytest.mark.slow
@PROC
def test_no_more_open_files(training, resumed, tmp_path):
    trainer = forked(training, tmp_path)
    free = 10**6
    for _ in range(50):  # the lowest number that is ever free: a file may be open for writing
        opened = {int(name) for name in os.listdir(f"/proc/{trainer}/fd")}
        free = min(free, *({*range(len(opened) + 1)} - opened))
        time.sleep(0.01)
    resource.prlimit(trainer, resource.RLIMIT_NOFILE, (free, free))
    _, err = training.communicate(timeout=60)
    assert training.returncode == 1
    assert "Too many open files" in err and "Traceback" not in err
    again = resumed()
    assert again.returncode == 0 and "resuming from step" in again.stderr, again.stderr
