"""A run of the network in a NIR file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..core.documents import plain_tables, read_toml
from ..core.errors import ConfigError, DataError
from ..core.files import write_bytes, write_json, write_text
from ..core.registry import unknown
from ..datasets import DataSet
from ..datasets.sources.none import NO_DATA
from ..formats.nir import read_nir
from ..formats.step_length import require_length
from ..learning.device import versions_and_machine
from ..learning.recipe import Recipe, check_recipe, override
from ..models.factory import create_model
from ..models.network import SpikingNetwork
from ..models.nir.graph import NirGraph, graph_of
from ..models.nir.network import trial_shapes
from ..models.nir.neuron import NirNeuron
from ..models.nir.outputs import OUTPUTS
from ..models.nir.reading import NirDescription, describe
from ..models.nir.semantics import semantics_of
from ..models.saved import model_bytes
from .create import create_run
from .import_defaults import sample_of, semantics_name, snntorch_notes, step_length
from .layout import FORMAT, Run

Changes = Sequence[tuple[list[str], Any]]


@dataclass(frozen=True)
class ImportedNetwork:
    """A NIR file as a network with its recipe, which `write` makes a run of.

    Attributes:
        path: the file.
        recipe: that builds the network.
        model: the network.
        data: None without data.
        about: what `summary.json` says of the import.
        notes: what a user may not expect.
    """

    path: Path
    recipe: Recipe
    model: SpikingNetwork
    data: DataSet | None
    about: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def write(self, out: Path | str | None) -> Run:
        """Write the run, whose summary comes last, to a new or empty folder.

        Raises:
            ConfigError: `out` holds something.
            AsnnError: it cannot be written.
        """
        run = create_run(out, self.recipe.name)
        document = self.recipe.document()
        document["train"]["init"] = str(run.path)  # a training of this recipe starts from it
        config = check_recipe(document).toml().encode()
        weights = model_bytes(self.model, labels=self._labels())
        write_json(run.environment, self._environment())
        write_bytes(run.model, weights)
        write_text(run.metrics, "")
        write_bytes(run.config, config)
        write_json(
            run.summary,
            {
                "format": FORMAT,
                "finished": True,
                "recipe": self.recipe.name,
                "imported": self.about,
                "parameters": sum(each.numel() for each in self.model.parameters()),
                "sha256": {
                    run.model.name: hashlib.sha256(weights).hexdigest(),
                    run.config.name: hashlib.sha256(config).hexdigest(),
                },
                "config": plain_tables(read_toml(config.decode())),
            },
        )
        return run

    def _labels(self) -> list[str]:
        if self.data is not None:
            return self.data.classes
        return [str(i) for i in range(self.model.config["classes"])]

    def _environment(self) -> dict[str, Any]:
        found = {"format": FORMAT, **versions_and_machine(torch.device("cpu"))}
        if self.data is not None:
            found["data"] = {"name": self.data.name, "fingerprint": self.data.fingerprint}
        return found


def import_nir(
    path: Path | str,
    *,
    dt: float | None = None,
    steps: int | None = None,
    semantics: str | None = None,
    answer: str = "mean",
    changes: Changes = (),
) -> ImportedNetwork:
    """Return the network of a NIR file with a recipe.

    Args:
        path: the file, of which the run is independent.
        dt: length of a time step in seconds; needed where neurons depend on it and neither the
            metadata nor the parameters of the file say it.
        steps: T; by default that of series.
        semantics: `nir`, or the simulator that wrote the file; None for those that its metadata
            name, or `nir`.
        answer: `mean` or `last`: of the outputs of all steps.
        changes: keys of the recipe with their values, such as `data.name`.

    Raises:
        DataError: the file cannot be read.
        ConfigError: dt or steps are missing, or the network cannot be computed.
    """
    path = Path(path)
    if semantics is not None:
        semantics_of(semantics)  # before the file is read
    if answer not in OUTPUTS:
        raise unknown("--answer", answer, list(OUTPUTS))
    require_length(dt)
    graph = read_nir(path)
    about, notes = describe(graph), []
    notes += about.notes
    semantics = semantics_name(graph, semantics, notes)
    length = step_length(path, graph, dt, semantics, notes)
    notes += snntorch_notes(graph, length) if semantics == "nir" else []
    _require_network(path, about, length, semantics)
    document: dict[str, Any] = {
        "name": re.sub(r"[^\w.-]+", "-", path.stem).strip("-") or "network",
        "description": "network of a NIR file",
        "data": {"name": NO_DATA},
        "model": {
            "name": "nir",
            "neuron": "fixed",  # not used: the neurons are nodes
            "nodes": about.nodes,
            "edges": about.edges,
            "dt": length,
            "semantics": semantics,
        },
        "readout": {"name": answer},
    }
    document, _ = override(document, list(changes))
    data = _data(document)
    spec = sample_of(document, about, data, steps, graph)
    recipe = check_recipe(document, source=f"the import of {path}")
    network = recipe.model_arguments()
    model = create_model(
        **network, in_shape=spec.shape, classes=_outputs(network, data), sample=spec
    )
    inner = graph_of(model)
    assert inner is not None
    about.give(inner)
    notes += _require_stable(inner, path)
    content = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "semantics": semantics,
        "dt": length,
    }
    return ImportedNetwork(path, recipe, model.eval(), data, content, notes)


def _require_network(path: Path, about: NirDescription, dt: float, semantics: str) -> None:
    """Refuse a file whose nodes do not fit each other.

    Raises:
        DataError: with the node.
    """
    if {node["type"] for node in about.nodes.values()} <= {"Input", "Output"}:
        raise DataError(f"{path} has no layers", why="its nodes are inputs and outputs alone")
    options = {"nodes": about.nodes, "edges": about.edges, "dt": dt, "semantics": semantics}
    try:
        trial_shapes(options)
    except ConfigError as error:
        why = f"{error.what}: {error.why}" if error.why else error.what
        raise DataError(f"{path} is no network", why=why, remedy=error.remedy) from error


def _data(document: dict[str, Any]) -> DataSet | None:
    """Return the data that a document names, if any."""
    if document["data"].get("name", NO_DATA) == NO_DATA:
        return None
    return check_recipe({"data": document["data"]}, source="the import").data.load()


def _outputs(network: dict[str, Any], data: DataSet | None) -> int:
    """Return the number of outputs of the network.

    Raises:
        ConfigError: the data have another number of classes.
    """
    outputs = trial_shapes(network)[1]
    if data is not None and len(data.classes) not in (0, outputs):
        raise ConfigError(
            f"the network has {outputs} outputs, the data {len(data.classes)} classes",
            why="its outputs are those of the file, one a class",
            remedy="choose data with as many classes",
        )
    return outputs


def _require_stable(network: NirGraph, path: Path) -> list[str]:
    """Refuse a step with which a membrane or current grows without input; return notes on those
    that change their sign at every step.

    Raises:
        ConfigError: |1 - dt/τ| is above 1, or a threshold that divides membranes is not above 0.
    """
    notes = []
    for name in network.order:
        for part in network.node(name).modules():
            if not isinstance(part, NirNeuron):
                continue
            p = part.parameters_of_step()
            if p.several and p.threshold is not None and not bool((p.threshold > 0).all()):
                raise ConfigError(
                    f"v_threshold of the {part.kind} {name!r} of {path} is not above 0",
                    why="with these semantics a step sends v / v_threshold spikes",
                    remedy="leave --semantics out, or name the simulator that wrote the file",
                )
            least = min(float(each.min()) for each in (p.leak, p.synapse) if each is not None)
            if least < -1:
                raise ConfigError(
                    f"the {part.kind} {name!r} of {path} has no stable step of {part.dt:g} s",
                    why=f"without input it would grow to {-least:.3g} times as much in each step: "
                    "dt is more than 2 tau",
                    remedy="give the --dt of the simulator that wrote the file; Norse writes tau "
                    "times dt: --semantics norse",
                )
            if least < 0:
                notes.append(
                    f"dt is more than tau of the {part.kind} {name!r}: its state changes its sign "
                    "at every step; is --dt right?"
                )
    return notes
