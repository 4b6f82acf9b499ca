"""Reads command lines as JSON from stdin, runs each in a forked child, prints how it ended.

Importing torch takes seconds and a fork does not: so fifty killed trainings fit into a test.
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import select
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import torch  # noqa: F401  # so that the children need not import it

import asnn.learning.loop  # noqa: F401
from asnn.cli.app import run


def child(order, err):
    os.dup2(err, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for dotted in order.get("without", ["asnn.learning.loop.draw_curves"]):  # the slowest part
        module, _, name = dotted.rpartition(".")
        setattr(importlib.import_module(module), name, lambda *arguments, **options: None)
    if "memory" in order:
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + order["memory"],) * 2)
        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_CPU, (used + order["seconds"],) * 2)
    if "folder" in order:
        shim = ctypes.CDLL(None)
        shim.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int]
        shim.faults_arm(os.fsencode(order["folder"]), order.get("at", 0), order.get("error", 0))
    code = run(order["arguments"])
    if "folder" in order:
        os.write(2, b"\nCHANGES %d\n" % shim.faults_made())
    return code


def warm_up():
    """Train once, so that all modules are imported and all kernels loaded in the children."""
    tiny = ["--set", "train.epochs=1", "--set", "data.limit=40", "--set", "model.widths=[4,8]"]
    tiny += ["--set", "model.hidden=16", "--set", "train.ema=0.9", "--set", "augment.mixup=true"]
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):
        assert run(["train", *tiny, "--out", f"{folder}/run"]) == 0


def main():
    warm_up()
    for line in sys.stdin:
        order = json.loads(line)
        with tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                code = 70
                with contextlib.suppress(BaseException):
                    try:
                        code = child(order, err.fileno())
                    except BaseException:
                        traceback.print_exc()
                        raise
                os._exit(code)
            if "after" in order:
                ended = os.pidfd_open(pid)
                select.select([ended], [], [], order["after"])
                os.close(ended)
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            err.seek(0)
            text = err.read().decode(errors="replace")
        changes = 0
        if "CHANGES " in text:
            text, _, number = text.rpartition("\nCHANGES ")
            changes = int(number)
        print(
            json.dumps(
                {
                    "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
                    "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
                    "err": text,
                    "changes": changes,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
