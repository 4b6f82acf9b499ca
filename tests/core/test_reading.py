"""Regular files of bounded size, and documents of unknown origin."""

import os
import time

import pytest

from asnn.core.documents import MAX_DEPTH, MAX_KEY_PARTS, read_json, read_toml
from asnn.core.reading import open_regular, read_regular


def test_a_regular_file_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "empty").touch()
    assert read_regular(tmp_path / "a", max_size=3) == read_regular(tmp_path / "link") == b"abc"
    assert read_regular(tmp_path / "empty") == b""
    with open_regular(tmp_path / "a") as file:
        assert file.read(2) == b"ab"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, "it is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is not a regular file"),
        (lambda path: path.symlink_to("/dev/null"), "it is not a regular file"),
        (lambda path: path.mkdir(), "it is a folder"),
        (lambda path: path.write_bytes(b"12345"), "it has 5 bytes, at most 4 are read"),
        (lambda path: path.symlink_to("/proc/self/status"), "it grows while it is read"),
    ],
)
def test_others_are_refused_at_once(tmp_path, make, why):
    make(tmp_path / "a")
    with pytest.raises(ValueError, match=why):
        read_regular(tmp_path / "a", max_size=4)


def test_a_large_file_is_not_read_at_all(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="at most"):
        read_regular(tmp_path / "a")


def test_a_missing_file_and_a_pipe_that_takes_its_place(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"x")
    regular = os.stat(tmp_path / "a")
    (tmp_path / "a").unlink()
    os.mkfifo(tmp_path / "a")
    monkeypatch.setattr(os, "stat", lambda path: regular)
    with pytest.raises(ValueError, match="not a regular file"):  # and it does not block
        read_regular(tmp_path / "a")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": NaN}', "it has the number NaN"),
        ('{"a": -Infinity}', "it has the number -Infinity"),
        ('{"a": 1e400}', "it has the number 1e400"),
        ('{"a": 1' + "0" * 5000 + "}", "digits"),
        ('{"a": [-1' + "0" * 400 + "]}", "the number -1000.*, of 402 digits"),
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"a": ' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ('{"a": ' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), "nested too deeply"),
        ('{"a": ' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}", "nested too deeply"),
        ("[1]", "not a JSON object"),
        (b"\xff\xfe", "decode|JSON|value"),
    ],
)
def test_json_that_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        read_json(text)
    assert read_json('{"a": 1e200, "b": [1]}') == {"a": 1e200, "b": [1]}
    assert read_json('{"a": 1' + "0" * 200 + "}") == {"a": 10**200}
    assert read_json('{"a": ' * MAX_DEPTH + "1" + "}" * MAX_DEPTH)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a" + ".a" * 300_000 + " = 1", "nested too deeply"),
        ('"a"' + " . 'a'" * MAX_KEY_PARTS + " = 1", "nested too deeply"),
        ("x = {a" + ".a" * MAX_KEY_PARTS + " = 1}", "nested too deeply"),
        ("x = " + "[" * 100_000, "nested too deeply"),
        ("x = " + "{x = " * MAX_DEPTH + "1" + "}" * MAX_DEPTH, "nested too deeply"),
        (".".join("a" * 60) + " = " + "[" * 60 + "]" * 60, "nested too deeply"),
        ("x = 1" + "0" * 400, "too many digits"),
        ("x = [{y = 1" + "0" * 400 + "}]", "too many digits"),
        ("x = 1" + "0" * 5000, "digits"),
        ("x = ", "value"),
    ],
)
def test_toml_that_is_refused_within_seconds(text, why):
    begin = time.monotonic()
    with pytest.raises(ValueError, match=why):
        read_toml(text)
    assert time.monotonic() - begin < 5
    assert read_toml("a" + ".a" * (MAX_KEY_PARTS - 1) + " = inf")["a"]
    assert read_toml("x = 123456789012345678901234567890")["x"] > 0
