"""A NIR file of any writer in our interpreter, one frame of the input a step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nir
import numpy as np

from ...core.errors import ConfigError
from ...formats.execution_order import execution_order, flattened
from ...formats.step_length import decided_dt, needs_dt, require_length, stated_dt
from ..graph.ir import Array, Shape
from ..nir.interpreter import run_nir
from .file import Outputs, by_step, not_comparable

SPIKING = (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold)


class OtherNir:
    """A NIR file, see `OtherFile`.

    Args:
        path: the file, in messages.
        graph: what it holds.
        in_shape: of one frame, if the file has none.
        dt: length of a step in seconds; None for that which the file states or decides.

    Raises:
        ConfigError: the length of a step is not above 0, or the file does not say it.
        DataError: it has several inputs or outputs.
    """

    runtime = "numpy, from the file"

    def __init__(
        self,
        path: Path,
        graph: nir.NIRGraph,
        in_shape: Shape | None = None,
        dt: float | None = None,
    ) -> None:
        self._graph = flattened(graph)
        self._path = path
        self.notes: list[str] = []
        self._dt = self._step_length(dt)
        self.about = {"version": nir.version, "nodes": len(self._graph.nodes), "dt": self._dt}
        self._output = self._only(nir.Output, "outputs")
        own = self._only(nir.Input, "inputs")
        self.in_shape = _shape_of(self._graph.nodes[own].input_type) or in_shape or ()
        kinds = {name: type(node).__name__ for name, node in self._graph.nodes.items()}
        order = execution_order(kinds, self._graph.edges).order
        self._spiking = [name for name in order if isinstance(self._graph.nodes[name], SPIKING)]
        before = [source for source, target in self._graph.edges if target == self._output]
        self.ends_with_spikes: bool | None = len(before) == 1 and before[0] in self._spiking

    @property
    def layers(self) -> dict[str, int]:
        """As they are run: parameters may be one number for all neurons of a layer."""
        trial = self.run(np.zeros((1, 1, *self.in_shape), np.float32))
        return {name: values.shape[2] for name, values in trial.layers.items()}

    def run(self, code: Array) -> Outputs:
        steps = code.reshape(*code.shape[:2], *self.in_shape)
        found = run_nir(self._graph, steps, self._dt)
        layers = {name: by_step(found[name]) for name in self._spiking if name in found}
        return Outputs(layers, by_step(found[self._output]), None)

    def _step_length(self, given: float | None) -> float:
        require_length(given)
        if given is not None:
            return given
        stated = stated_dt(self._graph)
        if stated is not None:
            return stated
        decided = decided_dt(self._graph)
        if decided is not None:
            self.notes.append(
                f"it does not state the length of a step: {decided:g} s, with which its neurons "
                "add their input as it is (τ / r)"
            )
            return decided
        if needs_dt(self._graph):
            raise ConfigError(
                f"the length of a step of {self._path} is missing",
                why="NIR is continuous in time, the file does not state a step, and its time "
                "constants decide none",
                remedy="give --dt in seconds: snnTorch and SpikingJelly write files for 0.0001, "
                "Norse for 0.001",
            )
        return 1.0

    def _only(self, kind: Any, what: str) -> str:
        names = [name for name, node in self._graph.nodes.items() if isinstance(node, kind)]
        if len(names) != 1:
            raise not_comparable(self._path, f"it has {len(names)} {what}", "give it one of each")
        return names[0]


def _shape_of(types: Any) -> Shape:
    sizes = next(iter((types or {}).values()), None)
    shape = () if sizes is None else tuple(int(size) for size in np.ravel(sizes))
    return shape if math.prod(shape) else ()
