"""Runs that are copied, given to another user, or on a disk that cannot be written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.survival.test_kills import SMALL, finish, same
from tests.survival.test_writing import MOUNTS, may_mount

RECIPE = ["digits", *SMALL, "--set", "data.limit=160", "--set", "train.epochs=2"]


@pytest.fixture(scope="module")
def whole(server) -> Path:
    run = server.folder / "whole"
    ended = server("train", *RECIPE, "--out", run)
    assert ended.code == 0, ended.err
    return run


@pytest.fixture(scope="module")
def half(server, shim, whole) -> Path:
    """A run that was killed before its last checkpoint."""
    if shim is None:
        pytest.skip("the fault-injection library needs Linux and a C compiler")
    run = server.folder / "half"
    ended = server("train", *RECIPE, "--out", run, folder=str(run / "checkpoints/.step-10"), at=1)
    assert ended.signal is not None and not same(run, whole)
    return run


@pytest.mark.slow
def test_a_copy_with_another_name_age_and_owner_resumes_to_the_same_bytes(
    server, whole, half, tmp_path
):
    copy = Path(shutil.copytree(half, tmp_path / "a copy [2]"))
    for path in (copy, *copy.rglob("*")):
        os.utime(path, (10**9, 10**9))
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
    before = {path: path.stat().st_mtime_ns for path in half.rglob("*")}
    finish(server, copy)
    assert same(copy, whole)
    assert {path: path.stat().st_mtime_ns for path in half.rglob("*")} == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


READ_ONLY = "Read-only file system"
CALLS = {  # exit code, and what is said, of each command on a run that cannot be written
    "inspect whole": (0, ""),
    "eval whole": (0, f"could not write whole/schedules.png: {READ_ONLY}"),
    "report whole": (1, f"error: could not write whole/report.html\n  {READ_ONLY}\n"),
    "report whole -o page.html": (0, "wrote page.html"),
    "export whole --format nir --samples 2": (
        1,
        f"could not write whole/export/nir\n  {READ_ONLY}",
    ),
    "export whole --format nir --samples 2 -o out": (0, "out/model.nir"),
    "train --resume half": (
        1,
        f"could not write half\n  {READ_ONLY}\n  → give yourself permission",
    ),
}

RUN_EACH = """
import os, shlex
from asnn.cli.app import run
for number, line in enumerate(open("calls").read().splitlines()):
    os.dup2(os.open(f"said-{number}", os.O_WRONLY | os.O_CREAT), 2)
    code = run(shlex.split(line))
    with open("codes", "a") as codes:
        codes.write(f"{code}\\n")
"""


@pytest.mark.slow
def test_commands_on_a_disk_that_cannot_be_written(whole, half, tmp_path):
    """Each works, or says what it could not write; nothing changes in the run."""
    if not may_mount():
        pytest.skip("may not mount a disk")
    for run in (whole, half):
        shutil.copytree(run, tmp_path / "disk" / run.name)
        (tmp_path / run.name).symlink_to(tmp_path / "disk" / run.name)
    before = contents(tmp_path / "disk")
    (tmp_path / "calls").write_text("\n".join(CALLS))
    script = "mount --bind disk disk && mount -o remount,bind,ro disk || exit 99\n"
    script += f"{sys.executable} -c '{RUN_EACH}' > /dev/null"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*MOUNTS, script], cwd=tmp_path, env=environment, timeout=280)
    codes = [int(line) for line in (tmp_path / "codes").read_text().split()]
    assert len(codes) == len(CALLS)
    for number, (call, (code, said)) in enumerate(CALLS.items()):
        err = (tmp_path / f"said-{number}").read_text()
        assert (codes[number], said in err) == (code, True), (call, codes[number], err)
        assert "Traceback" not in err
    assert contents(tmp_path / "disk") == before
