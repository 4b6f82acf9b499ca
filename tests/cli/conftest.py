"""The command line in this process, as a warm program, and a run shared by all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from asnn.cli.app import run
from tests.support.command_line import TINY, Result
from tests.support.warm import WarmProgram, warm_program


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need the warm program as slow: it takes seconds to start."""
    for item in items:
        if "warm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run `asnn ARGUMENTS` in an empty folder; return what it printed and its exit code."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The folder of a small finished run."""
    folder = tmp_path_factory.mktemp("trained")
    former = os.getcwd()
    os.chdir(folder)
    try:
        assert run(["train", *TINY, "--out", "runs/tiny"]) == 0
    finally:
        os.chdir(former)
    return folder / "runs" / "tiny"


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmProgram]:
    """`asnn` as a program for shells, whose processes need not import torch."""
    with warm_program() as program:
        yield program
