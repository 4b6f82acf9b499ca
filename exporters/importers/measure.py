"""Runs a probe in an importer of NIR and says how it went."""

from __future__ import annotations

import contextlib
import functools
import signal
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nir
import numpy as np

from ..nir.file import write_nir
from ..nir.interpreter import run_nir
from ..nir.unrolled import OUTPUT
from ..verification.simulators import Simulator
from .facts import EXACT
from .probes import Probe, chain

TOLERANCE = 1e-5  # relative to outputs above 1
MAX_SECONDS = 4.0  # of importing a probe, or running it; others take less than 0.2 s


class _NoEndError(Exception):
    """An importer did not end in time."""


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """Raise in the main thread after so many seconds: some importers loop for ever."""

    def end(*_: Any) -> None:
        raise _NoEndError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@functools.cache
def _load(simulator: Simulator) -> None:
    """Import the packages of an importer, which takes longer than reading a file."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Exception):
        path = Path(folder) / "plain.nir"
        write_nir(path, chain((1,), nir.Linear(np.ones((1, 1), np.float32))))
        simulator.open(path)


def measure(simulator: Simulator, probe: Probe) -> str:
    """Return `exact`, `refused (…)`, `does not end`, `fails when run (…)`, `wrong shape …` or
    `wrong by …`.

    The file is read by the importer and its output compared with our interpreter of NIR, which
    follows the equations in NIR's documentation, over all steps.
    """
    expected = run_nir(probe.graph, probe.steps)[OUTPUT]
    _load(simulator)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.nir"
        write_nir(path, probe.graph)
        try:
            with _ended_after(MAX_SECONDS):
                net = simulator.open(path)
        except _NoEndError:
            return "does not end"
        except Exception as error:  # of another package
            return f"refused ({type(error).__name__})"
        try:
            with _ended_after(MAX_SECONDS):
                found = net.run(probe.steps)
        except Exception as error:  # of another package
            return f"fails when run ({type(error).__name__})"
    return compared(found, expected)


def compared(found: np.ndarray, expected: np.ndarray) -> str:
    """Return how an output compares with the one expected."""
    if found.shape != expected.shape:
        return f"wrong shape {found.shape[1:]}"
    difference = float(np.abs(found - expected).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    return EXACT if difference <= allowed else f"wrong by {difference:.2g}"


def outcomes(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return one outcome for each feature, given those of its probes: exact if all are.

    Of the others the first counts, without the number that it is wrong by.
    """
    made: dict[str, str] = {}
    for feature, outcome in found:
        short = "wrong" if outcome.startswith("wrong") else outcome
        if made.get(feature, EXACT) == EXACT:
            made[feature] = short
    return made
