"""A NIR file as the simulator computes it that wrote it, see `asnn import --semantics`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...formats.nir import read_nir
from ...models.layers.spiking import SpikingLayer, layer_outputs
from ...models.nir.graph import graph_of
from ...records.import_defaults import semantics_name
from ...records.import_nir import import_nir
from ..graph.ir import Array, Shape
from .file import OtherFile, Outputs, by_step
from .nir import OtherNir


def open_nir(
    path: Path,
    in_shape: Shape | None = None,
    *,
    steps: int,
    dt: float | None = None,
    semantics: str | None = None,
) -> OtherFile:
    """Return a NIR file as it is run.

    Args:
        path: the file.
        in_shape: of one frame, if the file has none.
        steps: T.
        dt: length of a step in seconds; None for what the file or the simulator says.
        semantics: `nir`, or the simulator that wrote it; None for what its metadata name.

    Raises:
        ConfigError: nothing says the length of a step, or the semantics are unknown.
        DataError: it is damaged or hostile, or has several inputs or outputs.
    """
    found: list[str] = []
    graph = read_nir(path)
    semantics = semantics_name(graph, semantics, found)
    file: OtherFile = (
        OtherNir(path, graph, in_shape, dt)
        if semantics == "nir"
        else ImportedNir(path, dt, steps=steps, semantics=semantics)
    )
    file.notes[:0] = found
    return file


class ImportedNir:
    """A NIR file, see `OtherFile`.

    Args:
        path: the file.
        dt: length of a step in seconds; None for that of the simulator or of the file.
        steps: T.
        semantics: the simulator that wrote it.

    Raises:
        ConfigError: the simulator is unknown, or the step is missing.
        DataError: the file is damaged or hostile.
    """

    def __init__(self, path: Path, dt: float | None, *, steps: int, semantics: str) -> None:
        imported = import_nir(path, dt=dt, steps=steps, semantics=semantics)
        graph = graph_of(imported.model)
        assert graph is not None
        self._model, self._graph = imported.model, graph
        self._spiking = [name for name in graph.order if isinstance(graph.node(name), SpikingLayer)]
        self.in_shape: Shape = imported.model.config["in_shape"]
        self.runtime = f"torch, as {semantics}"
        self.about: dict[str, Any] = {"version": torch.__version__, **imported.about}
        self.notes = imported.notes
        before = graph.sources[graph.output]
        self.ends_with_spikes: bool | None = len(before) == 1 and before[0] in self._spiking
        trial = self.run(torch.zeros(1, 1, *self.in_shape).numpy())
        self.layers = {name: values.shape[2] for name, values in trial.layers.items()}

    def run(self, code: Array) -> Outputs:
        x = torch.from_numpy(code).reshape(*code.shape[:2], *self.in_shape)
        with torch.no_grad(), layer_outputs(self._model) as found:
            steps = self._model.run(x)
        layers = {
            name: by_step(found[f"network.{self._graph.keys[name]}"].numpy())
            for name in self._spiking
        }
        return Outputs(layers, by_step(steps.numpy()), None)
