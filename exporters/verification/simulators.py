"""Simulators of other projects, each with its own importer of NIR."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ..graph.ir import Array
from ..nir.nodes import DT
from .graph_search import fast_search

# Importers by nirtorch search loops at every node: their time grows with the cube of the nodes.
MAX_NODES = 600
MAX_VALUES = 50_000_000  # equal arrays are stored once, and read again for each node

# A function of one step `[B, ...]` that keeps its state, from rest.
Stepper = Callable[[Any], Any]


@dataclass(frozen=True)
class Simulator:
    """An importer of NIR.

    Attributes:
        name: for `--target`.
        package: its distribution.
        needs: other distributions that its importer imports.
        load: reads a file and returns a function that returns a stepper.
    """

    name: str
    package: str
    needs: tuple[str, ...]
    load: Callable[[Path], Callable[[], Stepper]]

    @property
    def missing(self) -> list[str]:
        """The distributions that are not installed."""
        found = []
        for package in (self.package, *self.needs):
            try:
                version(package)
            except PackageNotFoundError:
                found.append(package)
        return found

    @property
    def version(self) -> str | None:
        """The installed version; None if a distribution is missing."""
        return None if self.missing else version(self.package)

    def open(self, path: Path) -> ImportedNetwork:
        """Read a file.

        Raises:
            Exception: any error of the importer.
        """
        with quiet(), fast_search():
            return ImportedNetwork(self.load(path))


class ImportedNetwork:
    """A file in a simulator.

    Attributes:
        seconds: spent computing so far.
    """

    def __init__(self, begin: Callable[[], Stepper]) -> None:
        self._begin = begin
        self.seconds = 0.0

    def run(self, steps: Array) -> Array:
        """Return the output of each step, `[T, B, K]`, of an input `[T, B, ...]`, from rest."""
        import torch

        with quiet(), torch.no_grad():
            started = time.perf_counter()
            step = self._begin()
            found = [step(torch.from_numpy(np.ascontiguousarray(x))).numpy() for x in steps]
            self.seconds += time.perf_counter() - started
        return np.stack(found)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the output of importers; the report has their errors."""
    logging.disable(logging.WARNING)
    try:
        out = io.StringIO()
        streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(out)
        with warnings.catch_warnings(), streams[0], streams[1]:
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _snntorch(path: Path) -> Callable[[], Stepper]:
    import nir
    from snntorch.import_nir import import_from_nir

    net = import_from_nir(nir.read(path))

    def reset() -> None:
        for module in net.modules():  # its neurons keep their membranes
            if hasattr(module, "reset_mem"):
                module.reset_mem()  # type: ignore[operator]

    return _stateful(net, reset)


def _spikingjelly(path: Path) -> Callable[[], Stepper]:
    import nir
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    with contextlib.suppress(ImportError):
        from loguru import logger

        logger.disable("spikingjelly")
    return _stateful(import_from_nir(nir.read(path), dt=DT))


def _norse(path: Path) -> Callable[[], Stepper]:
    import nir

    norse: Any = import_module("norse.torch")
    return _stateful(norse.from_nir(nir.read(path), dt=DT))


def _stateful(net: Any, reset: Callable[[], None] | None = None) -> Callable[[], Stepper]:
    """Return a function that returns a stepper, for a network that takes and returns its state.

    Args:
        net: a function of a step and a state.
        reset: resets the state that modules of the network keep themselves.
    """

    def begin() -> Stepper:
        if reset is not None:
            reset()
        state: list[Any] = [None]

        def step(x: Any) -> Any:
            y, state[0] = net(x, state[0])
            return y

        return step

    return begin


SIMULATORS = {
    each.name: each
    for each in (
        Simulator("snntorch", "snntorch", ("nirtorch",), _snntorch),
        Simulator("spikingjelly", "spikingjelly", ("nirtorch", "loguru"), _spikingjelly),
        Simulator("norse", "norse", ("nirtorch",), _norse),
    )
}
