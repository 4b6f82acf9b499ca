"""A sweep whose disk is full, and continues when there is space again.

With ASNN_LONG=1 it is resumed while the disk is full, too.
"""

import os
import subprocess
import sys

import pytest

from tests.survival.test_kills import SMALL, same
from tests.survival.test_writing import MOUNTS, may_mount

LONG = os.environ.get("ASNN_LONG") == "1"
OPTIONS = [*SMALL, "--set", "data.limit=160", "--set", "train.epochs=4", "--jobs", "1"]


@pytest.mark.slow
def test_finished_members_are_kept_and_the_others_resume(tmp_path, warm):
    """The disk is filled while the second of two members trains."""
    if not may_mount():
        pytest.skip("may not mount a disk")
    sweep = ["sweep", "digits", *OPTIONS, "--seeds", "2"]
    whole = subprocess.run([warm.asnn, *sweep, "--out", "whole"], cwd=tmp_path, capture_output=True)
    assert whole.returncode == 0, whole.stderr
    asnn = f"{sys.executable} -m asnn.cli"
    words = " ".join(f"'{word}'" for word in sweep)
    again = f"{asnn} sweep --resume disk/sweep 2> said-2; echo $? >> codes"
    script = f"""
        mkdir disk && mount -t tmpfs -o size=2m none disk || exit 99
        {asnn} {words} --out disk/sweep 2> said-0 &
        for i in $(seq 2000); do test -e disk/sweep/seed=1/metrics.jsonl && break; sleep 0.03; done
        head -c 4M /dev/zero > disk/ballast
        wait $!
        echo $? > codes
        cp disk/sweep/seed=0/evaluation.json kept.json
        cp disk/sweep/results.json results-full.json
        {again if LONG else ""}
        rm disk/ballast
        {asnn} sweep --resume disk/sweep 2> said-1
        echo $? >> codes
        cp -r disk/sweep ended
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*MOUNTS, script], cwd=tmp_path, env=environment, capture_output=True, timeout=280
    )
    said = [path.read_text() for path in sorted(tmp_path.glob("said-*"))]
    failed = 2 if LONG else 1
    assert (tmp_path / "codes").read_text().split() == [*["1"] * failed, "0"], said
    for text in (said[0], *said[2:]):
        assert "could not write" in text and "No space left on device" in text, said
        assert "free some space" in text and "Traceback" not in text
    assert "1 training (1 more is finished)" in said[1]
    assert '"missing": [\n    "seed=1"\n  ]' in (tmp_path / "results-full.json").read_text()
    ended = tmp_path / "ended"
    assert (ended / "seed=0/evaluation.json").read_bytes() == (tmp_path / "kept.json").read_bytes()
    for seed in (0, 1):
        assert same(ended / f"seed={seed}", tmp_path / f"whole/seed={seed}")
    assert not [path for path in ended.rglob(".*") if path.suffix == ".part"]
