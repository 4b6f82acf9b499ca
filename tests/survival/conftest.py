"""A process that trains in forked children, which start quickly and can be killed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.warm import WarmProgram, warm_program

SERVER = Path(__file__).parents[1] / "support" / "server.py"
SHIM = Path(__file__).parents[1] / "support" / "faults.c"


@dataclass
class Ended:
    """How a child ended: its exit code or the number of the signal; and its stderr."""

    code: int | None
    signal: int | None
    err: str
    changes: int  # number of calls that changed files below `folder`


class Server:
    """Forks a child for each command line."""

    def __init__(self, folder: Path, shim: Path | None) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if shim is not None:
            environment["LD_PRELOAD"] = str(shim)
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(SERVER)],  # -P: without its folder, which has an html.py
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: object, **order: object) -> Ended:
        """Run `asnn ARGUMENTS` in a child.

        Args:
            arguments: of the command line.
            order: `after`: seconds until the child is killed; `folder`, `at`, `error`: fail at
                change number `at` to a file below `folder`; `without`: dotted names of functions
                that do nothing, by default the one that draws curves; `memory`, `seconds`: limits
                of additional address space and processor time.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        line = json.dumps({"arguments": [str(each) for each in arguments], **order})
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        reply = self._process.stdout.readline()
        assert reply, "the server has ended"
        return Ended(**json.loads(reply))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


@pytest.fixture(scope="module")
def shim(tmp_path_factory) -> Path | None:
    """The fault-injection library, compiled; None where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    made = tmp_path_factory.mktemp("shim") / "faults.so"
    subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-o", str(made), str(SHIM), "-ldl"], check=True
    )
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory, shim):
    """A server with its own folder, `server.folder`."""
    folder = tmp_path_factory.mktemp("server")
    made = Server(folder, shim)
    made.folder = folder  # type: ignore[attr-defined]
    yield made
    made.close()


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmProgram]:
    """`asnn` as a program, whose processes need not import torch."""
    with warm_program() as program:
        yield program
