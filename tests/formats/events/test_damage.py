"""Damaged and hostile files are refused with a reason or read whole: soon, and in little memory."""

import functools
import os
import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest

from asnn.core import DataError
from asnn.formats.events import Recording, decode_recording, read_recordings
from tests.formats.events import encoders

COPIES = 100
MAX_SECONDS = 2
MAX_BYTES = 500_000_000


def damaged_copies(content, count=COPIES):
    """Yield copies with flipped bits, a cut tail, inserted or removed bytes; the same each time."""
    for seed in range(count):
        random = np.random.default_rng(seed)
        changed = bytearray(content)
        at = int(random.integers(len(content)))
        kind = seed % 4
        if kind == 0:
            for position in random.integers(len(content), size=random.integers(1, 9)):
                changed[position] ^= 1 << int(random.integers(8))
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            changed[at:at] = random.bytes(int(random.integers(1, 17)))
        else:
            del changed[at : at + int(random.integers(1, 17))]
        yield bytes(changed)


def processor_seconds():
    """Return what this process and its children have used, however busy the machine is."""
    return sum(os.times()[:4])


def check(name, content):
    """Return whether a file is read; what is read must be a recording, and soon."""
    start = processor_seconds()
    try:
        found = decode_recording(name, content)
    except DataError as error:
        assert str(error).isprintable() and error.why
        found = None
    assert processor_seconds() - start < MAX_SECONDS
    if found is None:
        return False
    assert isinstance(found, Recording)
    count = len(found)
    assert all(len(each) == count for each in (found.x, found.y, found.p))
    assert [each.dtype for each in (found.t, found.x, found.y, found.p)] == ["i8", "i4", "i4", "u1"]
    if count:
        assert found.p.max() <= 1 and found.x.min() >= 0 and found.y.min() >= 0
        height, width = found.size or (1 << 24, 1 << 24)
        assert found.x.max() < width and found.y.max() < height
    return True


def some_events(count=2000, height=128, width=128):
    random = np.random.default_rng(7)
    t = np.cumsum(random.integers(0, 300, count))
    columns = (t, random.integers(0, width, count), random.integers(0, height, count), t % 2)
    return [tuple(int(v) for v in event) for event in zip(*columns, strict=True)]


@functools.cache
def encoded():
    events = some_events()
    return {
        "a.bin": encoders.nmnist(events),
        "a.dat": encoders.dat(events, header=b"% Height 128\n% Width 128\n"),
        "2.raw": encoders.evt2(events, header=b"% format EVT2;height=128;width=128\n% end\n"),
        "3.raw": encoders.evt3(events, header=b"% format EVT3;height=128;width=128\n% end\n"),
        "a.aedat": encoders.aedat2(events),
        "a.es": encoders.event_stream(events, size=(128, 128)),
        "a.npz": encoders.npz(events, offsets=[0, len(events)], size=[128, 128]),
    }


@pytest.mark.parametrize("name", ["a.bin", "a.dat", "2.raw", "3.raw", "a.aedat", "a.es", "a.npz"])
def test_a_damaged_file_is_refused_or_read(name):
    assert check(name, encoded()[name])
    read = [check(name, copy) for copy in damaged_copies(encoded()[name])]
    assert not all(read)  # a cut file, at least, is refused


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["aedat4", "dsec, gzip", "shd"])
def test_a_damaged_file_of_a_library_is_refused_or_read(kind, tmp_path):
    events = some_events()
    path = tmp_path / "a.h5"
    if kind == "aedat4":
        pytest.importorskip("aedat")
        path = tmp_path / "a.aedat4"
        path.write_bytes(encoders.aedat4(events, packet=100))
    elif kind == "shd":
        encoders.shd(path, [[(t / 1e6, x) for t, x, _, _ in events]], [0], [b"zero"])
    else:
        encoders.dsec(path, events, compression="gzip")
    content = path.read_bytes()
    assert check(path.name, content)
    read = [check(path.name, copy) for copy in damaged_copies(content)]
    assert not all(read)


SAMPLES = [
    *("evt2_sample.raw", "evt3_sample.raw", "faery_dvs.es", "tonic_sample.aedat4"),
    *("tonic_sample_ncars.dat", "tonic_sample_nmnist.bin", "VowelSounds.aedat"),
    "MovingDarkBox.aedat",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_damaged_recording_is_refused_or_read(name, sample):
    content = sample(f"events/{name}").read_bytes()
    read = [check(name, copy) for copy in damaged_copies(content)]
    assert not all(read)


def hostile_hdf5(kind, path):
    """Write a file that wants memory, or leads elsewhere."""
    values = np.zeros(1 << 20, "f4")
    with h5py.File(path, "w") as file:
        if kind == "a tebibyte":
            for name in "txyp":
                file.create_dataset(f"events/{name}", (1 << 40,), "u1", chunks=(1 << 16,))
        elif kind == "zeros, zipped":
            for name in "txyp":
                zeros = np.zeros(1 << 25, "u1")
                file.create_dataset(f"events/{name}", data=zeros, compression="gzip")
        elif kind == "rows that share their values":
            vlen = h5py.vlen_dtype(np.dtype("f4"))
            for name in ("times", "units"):
                file.create_dataset(f"spikes/{name}", (2000,), vlen)[0] = values
        elif kind == "a link to another file":
            file.create_group("events")
            for name in "txyp":
                file["events"][name] = h5py.ExternalLink("/etc/passwd", "t")
        elif kind == "a soft link":
            file["t"] = [1]
            file.create_group("events")
            for name in "txyp":
                file["events"][name] = h5py.SoftLink("/t")
        elif kind == "values in another file":
            for name in "txyp":
                options = {"external": [("/etc/passwd", 0, 8)]}
                file.create_dataset(f"events/{name}", (8,), "u1", **options)
        elif kind == "a group in place of an array":
            for name in "txyp":
                file.create_group(f"events/{name}")
        elif kind == "text":
            for name in "txyp":
                file[f"events/{name}"] = np.array([b"1"])
        elif kind == "a link to a pipe":
            os.mkfifo(path.with_suffix(".pipe"))
            for name in ("times", "units"):
                file.create_dataset(f"spikes/{name}", (1,), h5py.vlen_dtype(np.dtype("f4")))
            file["extra"] = h5py.ExternalLink(str(path.with_suffix(".pipe")), "/")
        elif kind == "another layout":
            file["data/spikes"] = [1]
    if kind == "rows that share their values":
        share_rows(path)
    return path


def share_rows(path):
    """Let all rows of both datasets refer to the values of their first row."""
    with h5py.File(path, "r") as file:
        offsets = [file[f"spikes/{name}"].id.get_offset() for name in ("times", "units")]
    content = bytearray(path.read_bytes())
    for offset in offsets:
        content[offset : offset + 2000 * 16] = bytes(content[offset : offset + 16]) * 2000
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("a tebibyte", "events are too many for a file of this size"),
        ("zeros, zipped", "events are too many for a file of this size"),
        ("rows that share their values", "memory allocation failed|too large for a file"),
        ("a link to another file", "events/t is a link to elsewhere"),
        ("a link to a pipe", "extra/keys is a link to elsewhere"),
        ("a soft link", "events/t is a link to elsewhere"),
        ("values in another file", "events/t keeps its values in other files"),
        ("a group in place of an array", "events/t is no dataset"),
        ("text", "holds no numbers"),
        (
            "another layout",
            r"no `spikes` \(SHD\), `events` \(DSEC\) or `davis` \(MVSEC\), but data",
        ),
    ],
)
def test_hostile_hdf5_is_refused(kind, why, tmp_path):
    path = hostile_hdf5(kind, tmp_path / "a.h5")
    start = processor_seconds()
    with pytest.raises(DataError, match=why):
        read_recordings(path)
    assert processor_seconds() - start < MAX_SECONDS


MEASURED = """
import resource, sys
from asnn.core import DataError
from asnn.formats.events import read_recordings
try:
    read_recordings(sys.argv[1])
except DataError as error:
    print(error)
# ru_maxrss of a new process starts with that of its parent; VmHWM does not.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
of_children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(max(int(status["VmHWM"].split()[0]), of_children))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
@pytest.mark.parametrize("kind", ["rows that share their values", "zeros, zipped", "npz", "evt3"])
def test_the_costliest_files_take_little_memory(kind, tmp_path):
    path = tmp_path / "a.bin"
    if kind == "npz":
        zeros = np.zeros(1 << 23, np.uint8)
        with open(path, "wb") as file:
            np.savez_compressed(file, t=zeros, x=zeros, y=zeros, p=zeros)
    elif kind == "evt3":  # nearly six events a byte
        words = [0x8000, 0x6000, 0, *[0x3000, *[0x4FFF] * 170] * 2000]
        path.write_bytes(encoders.raw(b"% evt 3.0\n", words))
    else:
        hostile_hdf5(kind, path)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path)],
        capture_output=True, text=True, check=True, timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (20, 20)),
    )  # fmt: skip
    assert int(done.stdout.split()[-1]) * 1024 < MAX_BYTES
