"""A training that is killed any number of times ends with the same bytes as one that is not.

With ASNN_LONG=1 there are fifty kills, and every system call of a write fails in turn (four minutes
more); without, fifteen, and every third.
"""

import errno
import os
import random
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SMALL = [
    *("--set", "model.widths=[4,8]", "--set", "model.hidden=16"),
    *("--set", "train.epochs=3", "--set", "train.batch_size=32"),  # 5 steps an epoch
    *("--set", "train.checkpoint_steps=2"),
    *("--set", "train.ema=0.9", "--set", "augment.mixup=true"),
    *("--set", "augment.crop=1", "--set", "augment.flip=true"),
]
LONG = os.environ.get("ASNN_LONG") == "1"
KILLS = 50 if LONG else 15
STRIDES = {False: 1, True: 5} if LONG else {False: 3, True: 15}


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A folder of images that workers decode: two classes, 100 images each."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for label in range(2):
        (folder / f"class{label}").mkdir()
        for index in range(100):
            pixels = generator.integers(0, 160, (12, 12), dtype=np.uint8)
            pixels[3 * label : 3 * label + 6] += 90
            Image.fromarray(pixels).save(folder / f"class{label}/{index}.png")
    return folder


def same(one: Path, other: Path) -> bool:
    return all(
        (one / name).read_bytes() == (other / name).read_bytes()
        for name in ("model.safetensors", "metrics.jsonl")
    )


def finish(server, run: Path, *, workers: int = 0, **order) -> str:
    """Resume the training to its end; return its messages."""
    ended = server("train", "--resume", run, "--set", f"train.workers={workers}", **order)
    assert is_finished(ended), ended.err
    return ended.err


def is_finished(ended) -> bool:
    """Return whether the training is finished, in this session or just before a kill."""
    return ended.code == 0 or (ended.code == 2 and "is finished already" in ended.err)


@pytest.fixture(scope="module")
def uninterrupted(server, images) -> Path:
    """The run of an uninterrupted training, with data that workers decode."""
    recipe = ["--set", "data.name=folder", "--set", f"data.path={images}"]
    recipe += ["--set", "data.memory_limit=0"]  # otherwise they are decoded once
    run = server.folder / "uninterrupted"
    ended = server("train", "digits", *recipe, *SMALL, "--out", run)
    assert ended.code == 0, ended.err
    return run


def begun(server, uninterrupted: Path, name: str) -> Path:
    """Return a run of the same configuration before its first step."""
    run = server.folder / name
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    shutil.copy(uninterrupted / "config.toml", run)
    return run


@pytest.mark.slow
def test_kills_at_random_moments(server, uninterrupted):
    """Each session is killed after a random time, with 0 or 2 workers; the last is not."""
    chance = random.Random(0)
    kills = 0
    begin = time.monotonic()
    finish(server, begun(server, uninterrupted, "timed"))
    duration = time.monotonic() - begin
    begun_at = set()
    while kills < KILLS:
        run = begun(server, uninterrupted, "killed")
        ended = None
        while kills < KILLS and (ended is None or ended.signal is not None):
            ended = server(
                "train", "--resume", run,
                "--set", f"train.workers={chance.choice([0, 2])}",
                after=duration * chance.uniform(0.1, 1.1),
            )  # fmt: skip
            assert ended.signal is not None or is_finished(ended), ended.err
            kills += ended.signal is not None
            found = re.search(r"resuming from step (\d+)", ended.err)
            begun_at |= {int(found[1])} if found else set()
        if ended is None or not is_finished(ended):
            finish(server, run, workers=chance.choice([0, 2]))
        assert same(run, uninterrupted)
    # Kills came at different moments: within epochs, and at their ends.
    assert len(begun_at) >= (5 if LONG else 2) and any(step % 5 for step in begun_at), begun_at


@pytest.mark.slow
@pytest.mark.parametrize("seeded", [True, False])
def test_without_the_seeds_of_each_step_the_bytes_differ(server, shim, seeded):
    """The negative control of the comparison; `seeded` is its control."""
    if shim is None:
        pytest.skip("the fault-injection library needs Linux and a C compiler")
    recipe = ["digits", *SMALL, "--set", "data.limit=160", "--set", "coding.name=rate"]
    own = ("asnn.learning.epoch.seed_all", "asnn.learning.epoch.sample_keys")
    how = {} if seeded else {"without": [*own]}
    expected, killed = (server.folder / f"{name}-{seeded}" for name in ("expected", "killed"))
    assert server("train", *recipe, "--out", expected, **how).code == 0
    checkpoint = str(killed / "checkpoints/step-7")
    ended = server("train", *recipe, "--out", killed, folder=checkpoint, at=1, **how)
    assert ended.signal is not None
    finish(server, killed, **how)
    assert same(expected, killed) is seeded


@pytest.mark.slow
@pytest.mark.parametrize("error", [0, errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_a_write_that_fails_at_each_system_call(server, shim, error):
    """A training that is killed (0), or whose write fails, at each change to a file of the run."""
    if shim is None:
        pytest.skip("the fault-injection library needs Linux and a C compiler")
    recipe = ["digits", *SMALL, "--set", "data.limit=160", "--set", "train.epochs=1"]
    uninterrupted, half = server.folder / f"one-{error}", server.folder / f"half-{error}"
    assert server("train", *recipe, "--out", uninterrupted).code == 0
    checkpoint = str(half / "checkpoints/.step-5")  # the last
    assert server("train", *recipe, "--out", half, folder=checkpoint, at=1).signal is not None
    counted = server.folder / "counted"
    shutil.rmtree(counted, ignore_errors=True)
    shutil.copytree(half, counted)
    ended = server("train", "--resume", counted, folder=str(counted))
    assert ended.code == 0 and ended.changes > 40
    assert same(counted, uninterrupted)
    for at in range(1, ended.changes + 1, STRIDES[bool(error)]):
        run = server.folder / "failing"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(half, run)
        failed = server("train", "--resume", run, folder=str(run), at=at, error=error)
        if error == 0:
            assert failed.signal is not None, (at, failed.err)
        else:
            assert failed.code in (0, 1), (at, failed.err)
            assert "Traceback" not in failed.err, (at, failed.err)
            if failed.code:
                assert "could not write" in failed.err or "cannot be" in failed.err, failed.err
        if failed.code != 0:
            err = finish(server, run)
            assert "damaged" not in err, (at, err)
        assert same(run, uninterrupted), at
