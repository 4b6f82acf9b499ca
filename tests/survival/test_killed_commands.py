"""A command that is killed at a change to its files leaves them whole, as they were, or absent.

With ASNN_LONG=1 each command is killed at each system call of its writes (eight minutes); without,
two of them at four.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

from asnn.core import files
from asnn.core.errors import ConfigError
from asnn.core.files import atomic_file, write_bytes
from asnn.sweeps.definition import Definition
from asnn.sweeps.folder import make_folder

LONG = os.environ.get("ASNN_LONG") == "1"
TINY = [
    *("--set", "train.epochs=1", "--set", "data.limit=100"),
    *("--set", "model.widths=[2,2]", "--set", "model.hidden=4"),
]
ENCODE = ["encode", "--dataset", "digits", "--coding", "hybrid", "--steps", "8"]
COMMANDS = {
    "npz": [*ENCODE, "--limit", "20", "-o", "{at}/s.npz"],
    "onnx": ["export", "{at}/run", "--format", "onnx", "--samples", "2"],
    "nir": ["export", "{at}/run", "--format", "nir", "--samples", "2"],
    "eval": ["eval", "{at}/run", "--exit", "confidence=0.9", "--calibration"],
    "figure": [*ENCODE, "--index", "1", "-o", "{at}/s.npz", "--plot", "{at}/s.png"],
    "report": ["report", "{at}/run", "-o", "{at}/r.html"],
}
CASES = [(verb, former) for verb in COMMANDS for former in (False, True)]
if not LONG:
    CASES = [("npz", False), ("npz", True), ("onnx", True)]
FORMER = b'{"former": true}\n'


@pytest.fixture(scope="module")
def trained(server) -> Path:
    run = server.folder / "trained"
    ended = server("train", *TINY, "--out", run, without=[])
    assert ended.code == 0, ended.err
    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def without_times(content: bytes) -> bytes:
    """Return a file without the seconds that it states."""
    return re.sub(rb'"(seconds|samples_per_second|ms_per_sample)": [0-9.e+-]+', b"", content)


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "former"), CASES)
def test_files_are_whole_or_as_before(server, shim, trained, verb, former):
    """`former`: files of an earlier call are there, and are replaced or kept."""
    if shim is None:
        pytest.skip("the fault-injection library needs Linux and a C compiler")
    at = server.folder / "at"

    def call(**order):
        words = [word.format(at=at) for word in COMMANDS[verb]]
        return server(*words, without=[], **order)

    def begin() -> None:
        shutil.rmtree(at, ignore_errors=True)
        shutil.copytree(trained, at / "run")
        for name in expected if former else ():
            (at / name).parent.mkdir(parents=True, exist_ok=True)
            (at / name).write_bytes(FORMER)

    expected: dict[str, bytes] = {}
    begin()
    before = contents(at)
    ended = call(folder=str(at))
    assert ended.code == 0, ended.err
    expected = {name: made for name, made in contents(at).items() if name not in before}
    assert expected
    begin()
    changes = call(folder=str(at)).changes
    step = 1 if LONG else -(-changes // 4)
    for number in range(1, changes + 1, step):
        begin()
        assert call(folder=str(at), at=number).signal is not None
        for name, found in contents(at).items():
            if name in before:
                assert found == before[name]
            elif name in expected and not (former and found == FORMER):
                assert without_times(found) == without_times(expected[name]), (number, name)
            elif name not in expected:
                assert name.endswith((".part", ".unverified")), (number, name)
        # The same command again: nothing is in its way, and nothing is left behind.
        again = call()
        assert again.code == 0, (number, again.err)
        found = contents(at)
        assert found.keys() == {*before, *expected}, (number, found.keys())
        for name, made in expected.items():
            assert without_times(found[name]) == without_times(made), (number, name)


def test_a_temporary_file_that_is_in_use_is_kept(tmp_path):
    """One that nobody has locked was left by a kill; `[` in names is no pattern."""
    target = tmp_path / "a[1].json"
    left, other = tmp_path / ".a[1].json.x.part", tmp_path / ".a1.json.x.part"
    left.write_text("left"), other.write_text("of another file")
    with atomic_file(target) as temporary:
        write_bytes(target, b"by another process")
        assert temporary.exists() and not left.exists() and other.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, target.name]


def test_without_its_lock_a_file_in_use_is_removed(tmp_path, monkeypatch):
    """Negative control of the test above."""
    monkeypatch.setattr(files, "is_free", lambda path: True)
    with pytest.raises(files.AsnnError, match="could not write"), atomic_file(tmp_path / "a"):
        write_bytes(tmp_path / "a", b"by another process")
    assert (tmp_path / "a").read_bytes() == b"by another process"


def test_a_sweep_that_was_killed_before_its_definition_begins_again(tmp_path):
    (tmp_path / ".sweep.toml.x.part").write_text("half")
    make_folder(Definition("digits", {}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.toml"]


def test_a_sweep_does_not_begin_beside_other_files(tmp_path):
    """Negative control of the test above."""
    (tmp_path / "sweep.toml.part").write_text("of somebody")
    with pytest.raises(ConfigError, match="is not empty and holds no sweep"):
        make_folder(Definition("digits", {}), tmp_path)
