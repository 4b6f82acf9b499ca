"""`asnn` as a program whose processes are forked from one that has imported everything.

Starting Python and importing torch takes seconds, a fork milliseconds. What a shell or a sweep runs
is a small client: it passes its arguments, folder, environment and streams to the server and waits
for the exit code of the forked process. `python -m tests.support.warm SOCKET` is the server.
"""

import contextlib
import importlib
import io
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.support.server import warm_up

ROOT = Path(__file__).resolve().parents[2]
CLIENT = """\
#!{python} -ISs
import json, os, signal, socket, sys
here = socket.socket(socket.AF_UNIX)
here.connect({socket!r})
order = {{"module": {module!r}, "worker": {worker!r}, "arguments": sys.argv[1:]}}
order |= {{"folder": os.getcwd(), "environment": dict(os.environ)}}
text = json.dumps(order).encode()
socket.send_fds(here, [len(text).to_bytes(8, "big")], [0, 1, 2])
here.sendall(text)
answers = here.makefile()
process = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(process, number))
code = int(answers.readline() or 70)
os._exit(code if code >= 0 else 128 - code)
"""
PRELOADED = (
    *("asnn.cli.app", "asnn.cli.commands.sweep.member", "asnn.learning.loop", "asnn.measure"),
    *("asnn.exporters.onnx.export", "asnn.exporters.nir.export", "asnn.exporters.runs"),
    *("asnn.reports.page", "asnn.reports.collect"),
    *("asnn.benchmarks.single_image", "asnn.sweeps.member", "matplotlib.backends.backend_agg"),
    *("onnxruntime", "snntorch", "nir", "PIL.Image", "rich.progress", "rich.table"),
)


class WarmProgram:
    """Programs that pass their arguments to the server.

    Attributes:
        asnn: in place of `asnn`; the members of its sweeps are forked too.
        worker: in place of `asnn.sweeps.pool.WORKER`.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self.asnn, self.worker = folder / "asnn", folder / "worker"
        names = {self.asnn: "asnn.cli", self.worker: "asnn.cli.commands.sweep.member"}
        for path, module in names.items():
            path.write_text(
                CLIENT.format(
                    python=sys.executable, socket=address, module=module, worker=str(self.worker)
                )
            )
            path.chmod(0o755)


@contextlib.contextmanager
def warm_program() -> Iterator[WarmProgram]:
    """Start the server, and stop it at the end."""
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket must be short
        address = str(Path(folder) / "socket")
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm", address],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # OpenMP's threads do not survive a fork
        )
        try:
            deadline = time.monotonic() + 120
            while not Path(address).exists():
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield WarmProgram(Path(folder), address)
        finally:
            server.terminate()
            server.wait()


def _run(order: dict, streams: list[int]) -> int:
    """Do in the forked child what `python -m MODULE ARGUMENTS...` does in a new process."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv[1:] = order["arguments"]
    if order["module"] == "asnn.cli":
        from asnn.cli.app import run
        from asnn.sweeps import pool

        pool.WORKER = [order["worker"]]
        return run(order["arguments"])
    from asnn.cli.commands.sweep import member

    task = json.loads(sys.stdin.read())
    task["parent"] = os.getppid()  # a member stops when its parent, here the server, has ended
    sys.stdin = io.StringIO(json.dumps(task))
    return member.main()


def _fork(connection: socket.socket) -> int:
    """Run the order of a client in a child; return its process."""
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    text = b""
    while len(text) < int.from_bytes(head, "big"):
        text += connection.recv(1 << 16)
    process = os.fork()
    if process:
        for stream in streams:
            os.close(stream)
        connection.sendall(b"%d\n" % process)
        return process
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = _run(json.loads(text), streams)
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _serve(address: str) -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    warm_up()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address + ".new")
    listener.listen()
    os.rename(address + ".new", address)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                connection, _ = listener.accept()
                process = _fork(connection)
                ended = os.pidfd_open(process)
                selector.register(ended, selectors.EVENT_READ, (process, connection))
                continue
            process, connection = key.data
            selector.unregister(key.fd)
            os.close(key.fd)
            _, status = os.waitpid(process, 0)
            with contextlib.suppress(OSError):  # the client may have been killed
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            connection.close()


if __name__ == "__main__":
    _serve(sys.argv[1])
