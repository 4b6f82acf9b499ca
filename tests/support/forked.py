"""Children forked from one process that has imported what they need: 5 ms each, not 500.

Python's forkserver is that process. torch must not be among its imports: `asnn inspect` is tested
to do without.
"""

import contextlib
import multiprocessing
import os
import resource
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import pytest

from asnn.formats import hdf5, hdf5_scan

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *("tests.support.forked", "asnn.cli.app", "asnn.inspection.nir", "asnn.inspection.onnx"),
        *("nir", "onnx.checker"),
    ]
)
CPU_SECONDS = 20


class ForkedScan:
    """The result of `hdf5.start_child`, with a forked child instead of a new Python process."""

    def __init__(self, path: str, budget: int, seconds: float) -> None:
        reader, writer = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=_scan, args=(path, budget, seconds, writer))
        self._process.start()
        writer.close()  # the child has its own: its end is the end of the stream
        self.stdout = os.fdopen(os.dup(reader.fileno()), "rb")
        reader.close()

    def __enter__(self) -> "ForkedScan":
        return self

    def __exit__(self, *error: object) -> None:
        self.stdout.close()
        self.wait()

    def wait(self) -> None:
        self._process.join()

    def kill(self) -> None:
        self._process.kill()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode


def _scan(path: str, budget: int, seconds: float, writer: Connection) -> None:
    with os.fdopen(os.dup(writer.fileno()), "wb") as out:
        writer.close()
        hdf5_scan.serve(path, budget, seconds, out)


@pytest.fixture
def forked_scan(monkeypatch):
    """Read HDF5 files in forked children, under the same limits of time and memory."""
    monkeypatch.setattr(hdf5, "start_child", ForkedScan)


class Measured(NamedTuple):
    """Exit code, stderr and cost of a command, with the cost of its children."""

    code: int
    stderr: str
    loads_torch: bool
    seconds: float
    kilobytes: int


def measure_command(*arguments: str, timeout: float = 60) -> Measured:
    """Run `asnn ARGUMENTS` in a forked child with at most 20 s of processor time."""
    reader, writer = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_measure, args=(arguments, writer))
    process.start()
    writer.close()
    try:
        assert reader.poll(timeout), f"no result after {timeout} s"
        return Measured(*reader.recv())
    finally:
        process.kill()
        process.join()


def _measure(arguments: tuple[str, ...], writer: Connection) -> None:
    from asnn.cli.app import run

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    with tempfile.TemporaryFile() as stderr:
        os.dup2(stderr.fileno(), 2)
        with contextlib.redirect_stdout(open(os.devnull, "w")):
            code = run(list(arguments))
        stderr.seek(0)
        text = stderr.read().decode()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    # ru_maxrss of a forked process starts with that of its parent; VmHWM does not.
    status = Path("/proc/self/status").read_text()
    own = int(status.split("VmHWM:")[1].split()[0])
    seconds = sum(each.ru_utime + each.ru_stime for each in used)
    writer.send((code, text, "torch" in sys.modules, seconds, max(own, used[1].ru_maxrss)))
