"""Truncated, flipped and spliced files: each reader reads or refuses them, within its limits."""

import contextlib
import gzip
import io
import shutil
import struct
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from asnn.cli.app import run
from asnn.coding import SpikeFile, create_coding, load_spikes, save_spikes
from asnn.core.errors import AsnnError
from asnn.core.files import ARCHIVE_ERRORS
from asnn.datasets.sources.events.single import read_events
from asnn.datasets.sources.images.folder import load_folder
from asnn.datasets.sources.images.idx import read_idx
from asnn.datasets.sources.images.npz import load_npz
from asnn.datasets.sources.images.single import read_images
from asnn.formats.arrays import read_npy, read_npz
from asnn.inspection import inspect
from asnn.learning import check_recipe, read_document
from asnn.learning.checkpoints.content import newest_checkpoint
from asnn.models import create_model
from asnn.models.saved import load_model, save_model
from asnn.records.layout import Run, find_run
from asnn.sweeps.definition import read_definition
from tests.formats.events import encoders
from tests.fuzz.conftest import EXAMPLES

FUZZ = settings.get_profile("fuzz")


@st.composite
def mutations(draw):
    """Draw a function that damages bytes: truncation, bit flips, insertions, other numbers."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["cut", "flip", "insert", "double", "zero", "number"]),
                st.floats(0, 1, exclude_max=True),
                st.floats(0, 1, exclude_max=True),
                st.binary(min_size=1, max_size=8),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def damage(content: bytes) -> bytes:
        for kind, share, other, piece in steps:
            size = max(len(content), 1)
            at, to = sorted((int(share * size), int(other * size)))
            if kind == "cut":
                content = content[:at]
            elif kind == "flip":
                flipped = bytes(b ^ 1 << (piece[0] & 7) for b in content[at : at + 1])
                content = content[:at] + flipped + content[at + 1 :]
            elif kind == "insert":
                content = content[:at] + piece + content[at:]
            elif kind == "double":
                content = content[:to] + content[at:]
            elif kind == "zero":
                content = content[:at] + bytes(min(to - at, 64)) + content[at + min(to - at, 64) :]
            else:
                content = content[:at] + struct.pack("<I", 2**31 - 1) + content[at + 4 :]
        return content

    return damage


def spikes() -> bytes:
    code = create_coding("hybrid", steps=3).encode(torch.rand(2, 1, 3, 3))
    stream = io.BytesIO()
    save_spikes(stream, SpikeFile(code.numpy(), {"analog_steps": 1}, np.array([3, 1])))
    return stream.getvalue()


def npz(compressed: bool) -> bytes:
    images = np.random.default_rng(0).integers(0, 255, (12, 4, 4), dtype=np.uint8)
    stream = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(stream, x_train=images, y_train=np.arange(12) % 2, classes=np.array(["a", "b"]))
    return stream.getvalue()


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.random.default_rng(0).random((2, 3, 4, 4)))
    return stream.getvalue()


def picture(form: str) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (9, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def pictures() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(6):
            archive.writestr(f"class{index % 2}/{index}.png", picture("PNG"))
    return stream.getvalue()


def idx(packed: bool) -> bytes:
    values = np.random.default_rng(0).integers(0, 255, (3, 4, 5), dtype=np.uint8)
    content = struct.pack(">BBBBIII", 0, 0, 8, 3, 3, 4, 5) + values.tobytes()
    return gzip.compress(content) if packed else content


def network() -> bytes:
    path = Path("network.safetensors")
    save_model(path, create_model("mlp", in_shape=(1, 2, 2), classes=2, features=[3], steps=2))
    return path.read_bytes()


EVENTS = [(50 * i, i % 30, i % 20, i % 2) for i in range(100)]

RECIPE = b"""
name = "mine"
[data]
name = "digits"
limit = 100
[model]
name = "mlp"
features = [4]
[train]
epochs = 2
lr = 1e-3
"""


def at_path(read, name):
    """Return a reader of bytes that writes them to a file first."""

    def call(content: bytes):
        path = Path(name)
        path.write_bytes(content)
        return read(path)

    return call


READERS = {
    "spikes": (load_spikes, spikes),
    "npz data set": (at_path(lambda path: load_npz(path=str(path)), "x.npz"), lambda: npz(False)),
    "npz, compressed": (at_path(lambda path: load_npz(path=str(path)), "x.npz"), lambda: npz(True)),
    "npy": (lambda content: read_images(content, "x"), npy),
    **{
        form: (lambda content: read_images(content, "x"), lambda form=form: picture(form))
        for form in ("PNG", "JPEG", "BMP", "WEBP")
    },
    "zip of images": (at_path(lambda path: load_folder(path=str(path)), "x.zip"), pictures),
    "idx": (at_path(lambda path: read_idx(path, 3), "x"), lambda: idx(False)),
    "idx, gzipped": (at_path(lambda path: read_idx(path, 3), "x.gz"), lambda: idx(True)),
    "weights": (at_path(load_model, "x.safetensors"), network),
    **{
        f"recording {name}": (lambda content, name=name: read_events(content, name), make)
        for name, make in {
            "a.bin": lambda: encoders.nmnist(EVENTS),
            "a.dat": lambda: encoders.dat(EVENTS),
            "a.raw": lambda: encoders.evt3(EVENTS),
            "a.aedat": lambda: encoders.aedat2(EVENTS),
            "a.es": lambda: encoders.event_stream(EVENTS),
            "a.npz": lambda: encoders.npz(EVENTS, offsets=np.array([0, 30, 100])),
        }.items()
    },
    **{
        f"inspected {name}": (at_path(inspect, name), make)
        for name, make in {
            "a.bin": lambda: encoders.nmnist(EVENTS),
            "a.dat": lambda: encoders.dat(EVENTS),
            "a.es": lambda: encoders.event_stream(EVENTS),
            "a.npz": lambda: encoders.npz(EVENTS, labels=np.array([1])),
        }.items()
    },
    "recipe": (at_path(lambda path: check_recipe(read_document(path)), "x.toml"), lambda: RECIPE),
}


@pytest.mark.slow
@settings(FUZZ, max_examples=EXAMPLES)
@pytest.mark.parametrize("reader", READERS)
@given(damage=mutations())
def test_damage_is_refused_or_harmless(reader, damage):
    read = READERS[reader][0]
    try:
        read(damage(valid_file(reader)))
    except AsnnError as error:
        assert str(error)


@cache
def valid_file(reader: str) -> bytes:
    return READERS[reader][1]()


@pytest.mark.slow
@settings(FUZZ, max_examples=EXAMPLES)
@given(damage=mutations())
def test_numpy_files_raise_documented_errors(damage):
    for read, make in ((read_npy, npy), (lambda content: read_npz(io.BytesIO(content)), spikes)):
        with contextlib.suppress(*ARCHIVE_ERRORS):
            read(damage(make()))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run of one epoch with its checkpoints."""
    folder = tmp_path_factory.mktemp("finished")
    tiny = ["--set", "train.epochs=1", "--set", "data.limit=60", "--set", "model.widths=[2]"]
    tiny += ["--set", "model.hidden=4"]
    assert run(["train", *tiny, "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the checkpoint")
@settings(FUZZ, max_examples=EXAMPLES)
@given(damage=mutations())
def test_a_checkpoint_is_quarantined_or_valid(finished, damage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    shutil.copytree(finished, folder / "run")
    opened = Run(folder / "run")
    state = next(opened.checkpoints.glob("step-*")) / "state.pt"
    # Without checksums, which would find the damage first.
    (state.parent / "checksums.json").unlink()
    state.write_bytes(damage(state.read_bytes()))
    try:
        newest_checkpoint(opened)
    except AsnnError as error:
        assert "is valid" in str(error) or "format" in str(error)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the checkpoint")
@settings(FUZZ, max_examples=max(3, EXAMPLES // 30))
@pytest.mark.parametrize(
    "name",
    ["config.toml", "summary.json", "environment.json", "metrics.jsonl", "model.safetensors"],
)
@given(damage=mutations())
def test_a_damaged_file_of_a_run(finished, name, damage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(finished, folder / "run")
    path = folder / "run" / name
    path.write_bytes(damage(path.read_bytes()))
    found = str(folder / "run")
    find_run(found).finished  # noqa: B018  # does not raise, whatever is in the summary
    assert run(["eval", found]) in (0, 2, 4)
    assert run(["inspect", found]) in (0, 2, 4)
    # If it is resumed it ends with the same weights, whatever was damaged.
    if run(["train", "--resume", found, "--set", "train.epochs=1"]) == 0:
        weights = "model.safetensors"
        assert (folder / "run" / weights).read_bytes() == (finished / weights).read_bytes()


@pytest.mark.slow
@settings(FUZZ, max_examples=EXAMPLES)
@given(damage=mutations())
def test_a_damaged_sweep(damage):
    valid = b"""format = 1
recipe = "digits"
split = "test"
seeds = [0, 1]
[[grid]]
keys = ["train.lr"]
values = [[0.1], [0.2]]
"""
    path = Path("sweep.toml")
    path.write_bytes(damage(valid))
    try:
        read_definition(path)
    except AsnnError as error:
        assert str(error)
