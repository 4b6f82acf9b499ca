"""Exports, codes and figures onto a disk that is full, and files above the limit of the system."""

import errno
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asnn.core import files
from asnn.core.errors import AsnnError
from asnn.exporters.paths import discarded_on_failure

TINY = [
    *("--set", "train.epochs=1", "--set", "data.limit=100"),
    *("--set", "model.widths=[4,8]", "--set", "model.hidden=16"),
]
ENCODE = ["encode", "--dataset", "digits", "--coding", "hybrid", "--steps", "8"]
COMMANDS = {
    "nir": ["export", "run", "--format", "nir", "--samples", "2", "-o", "out/m.nir"],
    "onnx": ["export", "run", "--format", "onnx", "--samples", "2", "-o", "out/m.onnx"],
    "npz": [*ENCODE, "--limit", "300", "-o", "out/s.npz"],
    "npy": [*ENCODE, "--limit", "300", "-o", "out/s.npy"],
    "figure": [*ENCODE, "--index", "1", "-o", "out/s.npz", "--plot", "out/s.png"],
    "report": ["report", "run", "-o", "out/r.html"],
}


@pytest.fixture(scope="module")
def run(warm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    subprocess.run([warm.asnn, "train", *TINY, "--out", "run"], cwd=folder, check=True)
    return folder / "run"


def call(folder, verb, limit=0):
    """Run a command in which no file may have more bytes than `limit`."""

    def lower():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    return subprocess.run(
        [sys.executable, "-P", "-m", "asnn", *COMMANDS[verb]],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        preexec_fn=lower if limit else None,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize("verb", COMMANDS)
def test_a_file_that_cannot_be_written_is_absent(run, tmp_path, verb):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "out").mkdir()
    done = call(tmp_path, verb)
    assert done.returncode == 0, done.stderr
    largest = max(path.stat().st_size for path in (tmp_path / "out").iterdir())
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()
    done = call(tmp_path, verb, largest - 1)
    assert done.returncode == 1, done.stderr
    assert re.search(r"could not write .*\n.*File too large", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    whole = {"s.npz"} if verb == "figure" else set()  # it is written before the figure
    assert {path.name for path in (tmp_path / "out").iterdir()} <= whole


def mounted(folder: Path, size: int) -> bool:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
    return (
        os.geteuid() == 0
        and shutil.which("mount") is not None
        and subprocess.run(mount, capture_output=True).returncode == 0
    )


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [8, 40, 200])
def test_an_export_onto_a_full_disk(run, tmp_path, kilobytes):
    out = tmp_path / "out"
    out.mkdir()
    shutil.copytree(run, tmp_path / "run")
    if not mounted(out, kilobytes):
        pytest.skip("no disk can be mounted here")
    try:
        # What is left is less than the file needs: it is the tiny network of the tests.
        (out / "filling").write_bytes(bytes(max(kilobytes - 8, 1) << 10))
        done = call(tmp_path, "nir")
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert "No space left on device" in done.stderr and "free some space" in done.stderr
        assert [path.name for path in out.iterdir()] == ["filling"]
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_an_export_that_fails_later_leaves_no_file(tmp_path):
    """A whole file whose companion cannot be written goes too; one that is not verified stays."""
    written = {"model": tmp_path / "a.unverified", "golden": tmp_path / "b.unverified"}
    written["model"].write_bytes(b"a")
    with pytest.raises(AsnnError, match="could not write"), discarded_on_failure(written):
        raise files.cannot_write(written["golden"], OSError(errno.ENOSPC, "No space left"))
    assert not list(tmp_path.iterdir())
    written["model"].write_bytes(b"a")
    with discarded_on_failure(written):
        pass
    assert written["model"].exists()
