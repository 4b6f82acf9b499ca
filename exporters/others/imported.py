"""A NIR file as the simulator computes it that wrote it, see `asnn import --semantics`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nir

from ...core.errors import ConfigError
from ...records.import_nir import import_nir
from ..graph.interpreter import run
from ..graph.ir import Array, Shape
from ..source import source_of
from .ends import last_neurons
from .file import Outputs, by_step, not_comparable, same_size, shown

PREFIX = "network."  # of nodes of the file in the export graph


class ImportedNir:
    """A NIR file, see `OtherFile`.

    Args:
        path: the file.
        in_shape: of one frame of the network.
        dt: length of a step in seconds; None for that of the simulator or of the file.
        steps: T.
        semantics: the simulator that wrote it.

    Raises:
        ConfigError: the simulator is unknown, the step is missing, or the export graph has no node
            for a part of the file.
        DataError: the file is damaged or hostile, or takes another input.
    """

    def __init__(
        self, path: Path, in_shape: Shape, dt: float | None, *, steps: int, semantics: str
    ) -> None:
        imported = import_nir(path, dt=dt, steps=steps, semantics=semantics)
        source = source_of(imported.model)
        if source.refusal is not None:
            raise ConfigError(
                f"{path} cannot be compared as {semantics} computes it",
                why=f"{source.refusal.what}: {source.refusal.why}",
                remedy="leave --semantics out",
            )
        graph = self._graph = source.graph
        if not same_size(graph.in_shape, in_shape):
            raise not_comparable(
                path, f"its input is {shown(graph.in_shape)}, that of the network {shown(in_shape)}"
            )
        self.runtime = f"numpy, as {semantics}"
        self.about: dict[str, Any] = {"version": nir.version, **imported.about}
        self.notes = imported.notes
        self._last = last_neurons(graph)
        self.ends_with_spikes: bool | None = self._last is not None
        self.layers = {
            node.name.removeprefix(PREFIX): math.prod(graph.shapes[node.name])
            for node in graph.neurons
        }

    def run(self, code: Array) -> Outputs:
        trace = run(self._graph, code.reshape(*code.shape[:2], *self._graph.in_shape))
        layers = {
            node.name.removeprefix(PREFIX): by_step(trace.values[node.name])
            for node in self._graph.neurons
        }
        found = trace.logits if self._last is None else trace.values[self._last.name]
        return Outputs(layers, by_step(found), None)
