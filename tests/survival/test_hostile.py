"""Hostile files are refused with exit code 2 or 4, within limits, and nothing else is written."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from tests.support import hostile_files as hostile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS limits the memory")

LIMITS = {"memory": 2**30, "seconds": 20}  # bytes above what the process has; processor time
SMALL = ["--set", "train.epochs=1", "--set", "model.widths=[2]", "--set", "model.hidden=4"]


def refused(server, folder: Path, *arguments: object, codes: tuple[int, ...] = (2, 4)) -> str:
    """Run a command that must refuse its file; return its message."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    siblings = {path.name for path in folder.parent.iterdir()}
    ended = server(*arguments, **LIMITS)
    assert ended.code in codes, (arguments, ended)
    assert "Traceback" not in ended.err and ended.err.startswith("error: "), ended.err
    assert all(line.isprintable() for line in ended.err.splitlines())
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert {path.name for path in folder.parent.iterdir()} == siblings
    assert not list(server.folder.rglob("ESCAPED*"))
    return ended.err


@pytest.fixture
def folder(server):
    made = server.folder / "case" / "inside"
    made.mkdir(parents=True)
    yield made
    shutil.rmtree(made.parent)


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.IMAGES)
def test_an_image(server, folder, name):
    (folder / name).write_bytes(hostile.IMAGES[name])
    refused(server, folder, "encode", folder / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.DATA_SETS)
def test_arrays_of_a_data_set(server, folder, name):
    (folder / name).write_bytes(hostile.DATA_SETS[name])
    data = ["--set", "data.name=npz", "--set", f"data.path={folder / name}"]
    refused(server, folder, "train", *SMALL, *data, "--out", folder / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.FOLDERS)
def test_a_zip_of_images(server, folder, name):
    (folder / name).write_bytes(hostile.FOLDERS[name])
    data = ["--set", "data.name=folder", "--set", f"data.path={folder / name}"]
    refused(server, folder, "train", *SMALL, *data, "--out", folder / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.DIGITS)
def test_idx_files(server, folder, name):
    raw = folder / "MNIST/raw"
    raw.mkdir(parents=True)
    ending = ".gz" if name == "bomb" else ""
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{part}-ubyte{ending}").write_bytes(hostile.DIGITS[name])
    data = ["--set", "data.name=mnist", "--set", f"data.dir={folder}"]
    data += ["--set", "data.download=false"]
    refused(server, folder, "train", *SMALL, *data, "--out", folder / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.NETWORKS)
def test_weights(server, folder, valid_run, name):
    run = Path(shutil.copytree(valid_run, folder / "run"))
    (run / "model.safetensors").write_bytes(hostile.NETWORKS[name])
    refused(server, folder, "eval", run)


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.RECIPES)
def test_a_recipe(server, folder, name):
    (folder / "recipe.toml").write_bytes(hostile.RECIPES[name])
    refused(server, folder, "train", folder / "recipe.toml", "--out", folder / "run")


class Bytes:
    """Pickles as a call of `bytearray`."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __reduce__(self):
        return bytearray, (self.size,)


CHECKPOINTS = {
    # torch's unpickler allows a call of bytearray, which allocates any size.
    "bytes": lambda path: torch.save({"format": 1, "position": Bytes(2**28)}, path),
    "pickle": lambda path: path.write_bytes(hostile.pickle.dumps(hostile.Runs())),
    "torch": lambda path: torch.save({"format": 1, "position": hostile.Runs()}, path),
    "bomb": lambda path: path.write_bytes(hostile.bomb("archive/data.pkl", 2**30, 2**30)),
    "nothing": lambda path: path.write_bytes(b""),
    "no position": lambda path: torch.save({"format": 1, "position": {}, "optimizer": {}}, path),
    "odd": lambda path: torch.save({"format": 1, "position": 5, "optimizer": 6}, path),
    "format": lambda path: torch.save({"format": 99}, path),
    "format of text": lambda path: torch.save({"format": "one"}, path),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint(server, folder, valid_run, name):
    run = Path(shutil.copytree(valid_run, folder / "run"))
    (run / "summary.json").unlink()
    for state in (run / "checkpoints").glob("step-*"):
        (state / "checksums.json").unlink()
        CHECKPOINTS[name](state / "state.pt")
    ended = server("train", "--resume", run, **LIMITS)
    assert ended.code == 4, ended
    assert "Traceback" not in ended.err and "error: " in ended.err
    assert (name == "bytes") == ("it names __builtin__ bytearray" in ended.err)
    assert not list(server.folder.rglob("ESCAPED*"))


@pytest.fixture(scope="module")
def valid_run(server) -> Path:
    run = server.folder / "valid"
    ended = server("train", *SMALL, "--set", "data.limit=60", "--out", run)
    assert ended.code == 0, ended.err
    return run


@pytest.mark.slow
def test_a_hundred_files_are_tried():
    kinds = (hostile.IMAGES, hostile.DATA_SETS, hostile.FOLDERS, hostile.DIGITS)
    assert sum(map(len, (*kinds, hostile.NETWORKS, hostile.RECIPES, CHECKPOINTS))) >= 100
