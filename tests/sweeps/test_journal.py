"""The journal of a search: cut at any place it is resumed; a refused write is no damage."""

import errno
import os
import resource
import signal

import pytest

from asnn.core import AsnnError, DataError
from asnn.sweeps.folder import make_folder
from asnn.sweeps.search import Search
from tests.sweeps.test_search import define, points_of

pytest.importorskip("optuna")
SEARCHES = ("train.lr=1e-4..1e-2:log", "model.hidden=8..32", "coding.steps=1..4")


def searched(folder, trials=3):
    folder.mkdir(exist_ok=True)
    definition = define(*SEARCHES, trials=trials)
    made = make_folder(definition, folder / "s")
    return Search(definition, made), made


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The points of a search that nothing interrupted, and its journal."""
    search, folder = searched(tmp_path_factory.mktemp("whole"))
    return points_of(search, folder), (folder.path / "search.journal").read_bytes()


def cuts(content: bytes) -> list[int]:
    """Return places between two lines, in the middle of a line, and before its end."""
    found, start = [0], 0
    for line in content.splitlines(keepends=True):
        end = start + len(line)
        found += [(start + end) // 2, end - 1, end]
        start = end
    return found


@pytest.mark.slow
def test_a_search_killed_at_any_line_is_resumed_with_the_same_settings(tmp_path, whole):
    points, content = whole
    places = cuts(content)
    assert len(points) == len(set(points)) == 3 and len(places) > 3 * 3 * 4
    for place in places:
        folder = make_folder(define(*SEARCHES, trials=3), tmp_path / f"{place}" / "s")
        (folder.path / "search.journal").write_bytes(content[:place])
        search, folder = searched(tmp_path / f"{place}")
        points_of(search, folder)
        assert [tuple(each["settings"].items()) for each in by_name(search)] == points, place
        again, _ = searched(tmp_path / f"{place}")  # what was appended can be read
        assert [each["settings"] for each in by_name(again)] == [dict(each) for each in points]


def by_name(search):
    return sorted(search.results(), key=lambda each: each["name"])


def test_settings_of_another_search_are_damage(tmp_path, whole):
    _, content = whole
    folder = make_folder(define(*SEARCHES), tmp_path / "s")
    lines = content.splitlines(keepends=True)
    first = [line for line in lines if b'"trial_id":0' in line]
    lines.remove(first[0])  # a finished trial without its first setting
    (folder.path / "search.journal").write_bytes(b"".join(lines))
    with pytest.raises(DataError, match="search.journal is damaged") as caught:
        Search(define(*SEARCHES), folder)
    assert "trial 0 has the settings coding.steps, model.hidden, the search" in caught.value.why


@pytest.mark.parametrize("content", [b"\x89PNG", b"\x89PNG\n{"])
def test_a_file_that_is_no_journal_is_kept(tmp_path, content):
    folder = make_folder(define(*SEARCHES), tmp_path / "s")
    path = folder.path / "search.journal"
    path.write_bytes(content)
    with pytest.raises(DataError, match="search.journal is damaged"):
        Search(define(*SEARCHES), folder)
    assert path.read_bytes() == content


def test_a_write_that_is_refused_is_no_damage(tmp_path):
    search, folder = searched(tmp_path)
    coming = search.members()
    first = next(coming)
    path = folder.path / "search.journal"
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(AsnnError, match="could not write .*search.journal") as later:
            next(coming)  # 20 bytes of a line are written
        with pytest.raises(AsnnError, match="could not write .*search.journal") as opening:
            searched(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    for caught in (later, opening):
        assert caught.value.why == os.strerror(errno.EFBIG)
        assert f"then resume the sweep: asnn sweep --resume {folder.path}" in caught.value.remedy
        assert "--out" not in caught.value.remedy
    assert path.read_bytes() == before
    again, _ = searched(tmp_path)
    assert next(again.members()).point == first.point


def test_a_journal_that_cannot_be_opened_is_no_damage(tmp_path, monkeypatch):
    searched(tmp_path)

    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("asnn.sweeps.journal.read_regular", refuse)
    with pytest.raises(AsnnError, match="could not read .*search.journal") as caught:
        searched(tmp_path)
    assert caught.value.why == "Permission denied" and "--resume" in caught.value.remedy
