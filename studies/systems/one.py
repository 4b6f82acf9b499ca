"""Trains and evaluates one network in processes of their own, and returns its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EXIT = 0.9  # confidence at which a network that answers with a mean exits early
TABLE = "45nm-fp32-memory"
MIB = 2**20


class Failed(Exception):
    """A command failed; the message is what it printed last."""


def measure(recipe: Path, changes: list[str], seed: int, run: Path) -> dict:
    """Train a recipe with changes into the folder `run`, evaluate it on test data.

    Returns:
        Figures of the training: `cpu_seconds` (of the process, on one thread), `peak_mib` (greatest
        resident memory), with those of an ANN counterpart that is trained first; of the evaluation:
        `accuracy`, `spikes`, `picojoules` over all steps, and `steps`, `accuracy_then`,
        `spikes_then`, `picojoules_then` up to the decision: of the readout, or of an early exit at
        confidence 0.9.

    Raises:
        Failed: with the last lines of a command.
    """
    usage = train(str(recipe), changes, seed, run)
    found = evaluate(run, "--exit", f"confidence={EXIT}")
    until = found.get("decision") or found["exits"][-1]
    return {
        **usage,
        "samples": found["samples"],
        "accuracy": found["accuracy"],
        "spikes": found["spikes_per_sample"] if found["spike_rates"] else None,
        "picojoules": found["energy"]["picojoules_per_sample"],
        "parameters": found["energy"]["parameters"],
        "decides": found.get("decision") is not None,
        "undecided": found.get("undecided"),
        "steps": until.get("steps"),
        "accuracy_then": until["accuracy"],
        "spikes_then": until["spikes"],
        "picojoules_then": until["picojoules"],
    }


def train(recipe: str, changes: Sequence[str], seed: int, run: Path) -> dict[str, Any]:
    """Train a recipe, a file or a built-in one, into the folder `run`.

    Returns:
        `cpu_seconds`, `seconds` and `peak_mib` of the process, and the `command` without paths.

    Raises:
        Failed: with the last lines of the command.
    """
    options = [word for change in changes for word in ("--set", change)]
    _, usage = _asnn(["train", recipe, "--seed", str(seed), "--out", str(run), *options])
    command = f"asnn train {Path(recipe).name} --seed {seed} {' '.join(options)}"
    return {**usage, "command": command.rstrip()}


def evaluate(run: Path, *options: str) -> dict[str, Any]:
    """Return what `asnn eval --json` says of a run, with energy by `TABLE`.

    Raises:
        Failed: with the last lines of the command.
    """
    text, _ = _asnn(["eval", str(run), "--energy-table", TABLE, *options, "--json"])
    found: dict[str, Any] = json.loads(text)
    return found


def _asnn(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Run a command of asnn on one thread; return its standard output, and what it used."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "asnn.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None and process.stderr is not None
    # Progress fits into the buffer of a pipe: it has a line a minute where there is no terminal.
    out = process.stdout.read()
    shown = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed("\n".join(shown.splitlines()[-5:]))
    return out, {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "seconds": time.perf_counter() - begin,
        "peak_mib": used.ru_maxrss * 1024 / MIB,
    }
