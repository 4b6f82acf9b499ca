"""Atomic writes."""

import errno
import os
import stat

import pytest

from asnn.core import folder_lock
from asnn.core.errors import AsnnError
from asnn.core.files import atomic_file, atomic_folder, write_bytes, write_json, write_text


def test_content_and_permissions(tmp_path):
    write_text(tmp_path / "a", "ä")
    assert (tmp_path / "a").read_bytes() == "ä".encode()
    (tmp_path / "plain").touch()
    mode = stat.S_IMODE((tmp_path / "a").stat().st_mode)
    assert mode == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_failure_keeps_the_old_content_and_leaves_no_other_file(tmp_path):
    write_bytes(tmp_path / "a", b"before")
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AsnnError, match="could not write .*: No space left on device") as caught:
        write_bytes(tmp_path / "a", b"x")
    assert "free some space" in caught.value.remedy
    assert os.listdir(tmp_path) == []


def test_a_folder_is_written_atomically(tmp_path):
    with atomic_folder(tmp_path / "deep" / "state") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "deep" / "state").exists()
    assert (tmp_path / "deep/state/a").read_text() == "1"
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "deep/state").stat().st_mode == (tmp_path / "plain").stat().st_mode
    with atomic_folder(tmp_path / "deep" / "state") as folder:
        (folder / "a").write_text("1")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "deep" / "state") as folder:
        (folder / "b").write_text("2")
        raise ZeroDivisionError
    assert os.listdir(tmp_path / "deep") == ["state"]
    assert os.listdir(tmp_path / "deep/state") == ["a"]


@pytest.mark.parametrize("locks", [True, False])
def test_what_a_killed_write_left_is_removed_where_files_can_be_locked(
    tmp_path, monkeypatch, locks
):
    if locks:
        pytest.importorskip("fcntl")
    else:  # as on Windows
        monkeypatch.setattr(folder_lock, "fcntl", None)
    (tmp_path / ".a.killed.part").write_text("half")
    write_text(tmp_path / "a", "whole")
    assert (tmp_path / "a").read_text() == "whole"
    assert sorted(os.listdir(tmp_path)) == (["a"] if locks else [".a.killed.part", "a"])


def test_a_missing_folder(tmp_path):
    with pytest.raises(AsnnError, match="could not write .*: No such file or directory"):
        write_bytes(tmp_path / "no" / "a", b"")


def test_json_without_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a", {"x": float("nan")})
    assert os.listdir(tmp_path) == []
