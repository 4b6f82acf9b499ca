"""A locked folder refuses a second process; the lock ends with its process."""

import os

import pytest

from asnn.core.errors import AsnnError
from asnn.core.folder_lock import folder_lock

pytest.importorskip("fcntl")


def test_a_second_lock_is_refused_until_the_first_ends(tmp_path):
    with folder_lock(tmp_path, "a training", "two at once would write over each other") as held:
        assert held is not None
        with (
            pytest.raises(AsnnError, match="a sweep is already running in") as caught,
            folder_lock(tmp_path, "a sweep", "one at a time"),
        ):
            pass
        assert (caught.value.why, caught.value.remedy) == (
            "one at a time",
            "wait for it, or stop it",
        )
    with folder_lock(tmp_path, "a training", "one at a time") as held:
        assert held is not None


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    with folder_lock(tmp_path, "a training", "one at a time") as held:
        child = os.fork()
        if child == 0:
            try:
                os.fstat(held)
            except OSError:
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_missing_folder_is_not_locked(tmp_path):
    with folder_lock(tmp_path / "missing", "a training", "one at a time") as held:
        assert held is None
