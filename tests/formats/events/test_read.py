"""Which format a file has, what an unknown one is told, and errors that users see."""

import subprocess
import sys

import pytest

from asnn.core import DataError
from asnn.formats.events import aedat4, decode_recording, isolated, nmnist, read_recording
from tests.formats.events import encoders
from tests.formats.events.test_formulas import rows

EVENT = [(100, 5, 4, 1)]


@pytest.mark.parametrize(
    "content",
    [
        encoders.dat(EVENT),
        encoders.evt2(EVENT),
        encoders.evt3(EVENT),
        encoders.aedat2(EVENT),
        encoders.event_stream(EVENT),
        encoders.npz(EVENT),
    ],
    ids=["dat", "evt2", "evt3", "aedat2", "es", "npz"],
)
def test_the_content_counts_more_than_the_name(content, tmp_path):
    path = tmp_path / "recording.bin"
    path.write_bytes(content)
    assert rows(read_recording(path)) == rows(decode_recording("any", content)) == EVENT


@pytest.mark.parametrize("name", ["a.bin", "A.BIN", "folder/a.bs2"])
def test_the_suffix_counts_where_the_content_does_not_tell(name):
    assert rows(decode_recording(name, encoders.nmnist(EVENT))) == EVENT


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.txt", b"1 2 3", "neither its first bytes nor its suffix tell a format"),
        ("a.raw", bytes(8), "it does not begin as EVT 2 or EVT 3 does"),
        ("a.raw", b"% evt 2.1\n", "its header states EVT21"),
        ("a.aedat", b"#!AER-DAT3.1\r\n", "it is AEDAT 3.1"),
    ],
)
def test_an_unknown_file_is_told_what_can_be_read(name, content, why):
    with pytest.raises(DataError) as caught:
        decode_recording(name, content)
    assert caught.value.what == f"{name} is in no format of events that is read"
    assert caught.value.why == why
    for each in ("AEDAT 2 (.aedat", "EVT 3 (.raw)", "N-MNIST (.bin, .bs2)", "HDF5 (.h5, .hdf5)"):
        assert each in caught.value.remedy


def test_a_damaged_file_says_what_and_why():
    with pytest.raises(DataError) as caught:
        decode_recording("a.bin", bytes(7))
    assert caught.value.what == "a.bin is not a readable N-MNIST file"
    assert caught.value.why == "it ends too early: the last of its events has 2 of 5 bytes"
    with pytest.raises(DataError, match="a.bin is empty"):
        decode_recording("a.bin", b"")
    with pytest.raises(DataError, match="there is no "):
        read_recording("missing.es")


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(aedat4, "find_spec", lambda name: None)
    with pytest.raises(DataError) as caught:
        decode_recording("a.aedat4", encoders.aedat4(EVENT))
    assert caught.value.why == "the package aedat is not installed"
    assert caught.value.remedy == "pip install 'asnn[events]'"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (MemoryError(), "its events need more memory than there is"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_the_machine_may_fail_too(error, why, monkeypatch):
    def fail(content):
        raise error

    monkeypatch.setattr(nmnist, "decode", fail)
    with pytest.raises(DataError) as caught:
        decode_recording("a.bin", bytes(5))
    assert caught.value.why == why


def test_a_header_without_an_end_is_no_format():
    with pytest.raises(DataError, match="header does not end within 65,536 bytes"):
        decode_recording("a.raw", b"% " + bytes(1 << 17))


@pytest.mark.slow
def test_libraries_load_when_they_are_needed():
    code = (
        "import sys, asnn.formats.events; "
        "print(sorted({'h5py', 'aedat', 'torch', 'zipfile'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_library_that_hangs_or_crashes_is_stopped(tmp_path, monkeypatch):
    path = tmp_path / "a.aedat4"
    path.write_bytes(encoders.aedat4(EVENT))
    parent = isolated.parent
    monkeypatch.setattr(parent, "MAX_SECONDS", 0.2)
    package = tmp_path / "hostile"
    package.mkdir()
    limits = "from asnn.formats.events.isolated.limits import limit_time\nimport sys\n"
    (package / "child.py").write_text(limits + "limit_time(float(sys.argv[4]))\nwhile True: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(parent, "__package__", "hostile")
    with pytest.raises(DataError, match="the AEDAT 4 library did not finish within 0.2 s"):
        read_recording(path)
    (package / "child.py").write_text("import os\nos.abort()\n")
    with pytest.raises(DataError, match="the AEDAT 4 library failed on it"):
        read_recording(path)
    (package / "child.py").write_text("print('{')\n")
    with pytest.raises(DataError, match="the AEDAT 4 library failed on it"):
        read_recording(path)
