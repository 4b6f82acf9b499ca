"""Neurons of many exact spike times as CubaLIF nodes, which are the same in continuous time."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch

from ...core.errors import ConfigError
from ...core.files import write_bytes
from ...formats.nir import read_nir
from ...models.timing.layer import TimingLinear, timing_layers
from ...models.timing.multi_spike import MultiSpike
from ...models.timing.spike_times import SpikeTimes
from ..exact_times import MAX_SAMPLES, ExactTimes, StepError, step_error
from ..exported import Exported, finish, with_note
from ..graph.ir import Array
from ..paths import ExportPaths, discarded_on_failure, unverified_path
from ..source import ExportSource, Samples
from ..verification.compare import Report
from ..verification.structure import nir_differences
from .file import write_nir
from .interpreter import run_nir

MIN_EQUAL_COUNTS = 0.99


@dataclass(frozen=True)
class TimesReport(Report):
    """A verification of spike times at a step, and at half of it, by Euler's method.

    Attributes:
        errors: at both steps, in the interpreter of asnn.
    """

    errors: tuple[StepError, ...] = ()

    @property
    def fault(self) -> str | None:
        if self.structure:
            return f"structure: {'; '.join(self.structure)}"
        coarse, fine = self.errors
        if fine.equal_counts < MIN_EQUAL_COUNTS:
            return f"at {fine}; at least {100 * MIN_EQUAL_COUNTS:g} % of the neurons must"
        if fine.spikes and fine.mean >= coarse.mean:
            return f"the difference does not fall with the step: {coarse}; {fine}"
        return None

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "steps": [each.as_dict() for each in self.errors]}


def export_cuba(
    source: ExportSource, exact: ExactTimes, path: Path | str, *, samples: Samples | None
) -> Exported:
    """Write Linear and CubaLIF nodes, read the file back and run it at two steps.

    With a spike as a Dirac impulse the nodes are the same neurons in continuous time. A runtime
    with steps has other times, by about a step. Beside the file, `*.golden.nir` holds the exact
    spike times of the samples.

    Raises:
        ConfigError: a layer or a membrane that NIR does not have.
        VerificationError: the file is another network, or its difference from the exact times does
            not fall with the step.
    """
    paths = ExportPaths.at(Path(path), ".nir")
    graph = cuba_graph(exact, with_note(source.graph, samples, paths).about)
    files = {"model": unverified_path(paths.file(".nir"))}
    paths.check(files.values())
    paths.make()
    options = {"format": "nir", "form": "cuba", "input": "spikes", "nir": nir.version}
    options |= {"weights_sha256": source.weights_sha256}
    notes, report = [_WINDOWS], None
    with discarded_on_failure(files):
        write_nir(files["model"], graph)
        if samples is not None:
            read = read_nir(files["model"], trusted=True)
            report = verify_cuba(exact, read, samples, structure=nir_differences(graph, read))
            notes += [f"discretisation, {error}" for error in report.errors]
            files["golden"] = unverified_path(paths.file(".golden.nir"))
            _write_times(files["golden"], exact, samples.images[:MAX_SAMPLES])
        return finish(paths, files, options, report, notes)


_WINDOWS = (
    "a CubaLIF node has no window and no greatest number of spikes: read the spikes of a layer up "
    "to its window; later ones of hidden neurons reach later outputs"
)


def steps_of(exact: ExactTimes) -> tuple[float, float]:
    """Return the steps to verify with, finer than that of a clock: Euler's method is less exact."""
    return exact.dt / 2, exact.dt / 4


def verify_cuba(
    exact: ExactTimes, read: nir.NIRGraph, samples: Samples, *, structure: list[str] | None
) -> TimesReport:
    """Compare a file with exact times, at two steps."""
    layers = timing_layers(exact.network)

    def trains(code: Array, dt: float) -> dict[str, Array]:
        values = run_nir(at_step(read, dt), code.reshape(*code.shape[:2], -1), dt)
        return {name: values[name] for name in layers}

    images = samples.images
    errors = tuple(step_error(exact, images, dt, trains) for dt in steps_of(exact))
    accuracy = {}
    with torch.no_grad():
        answers = exact.network.predict(torch.from_numpy(images)).argmax(1).numpy()
    if samples.labels is not None:
        accuracy["graph"] = float((answers == samples.labels).mean())
    return TimesReport([], samples, accuracy, {}, {}, [], structure, errors=errors)


def cuba_graph(exact: ExactTimes, about: Mapping[str, Any]) -> nir.NIRGraph:
    """Return the nodes of a network, with the metadata of an export and those of its graph.

    Raises:
        ConfigError: it has a layer or a membrane that NIR does not have.
    """
    layers = timing_layers(exact.network)
    size = next(iter(layers.values())).weight.shape[1]
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array([size])})}
    for name, layer in layers.items():
        neuron = layer.neuron
        assert isinstance(neuron, MultiSpike)
        options = neuron.options
        if not isinstance(layer, TimingLinear):
            raise ConfigError(
                f"layer {name!r} is a convolution of exact times",
                why="it is written as CubaLIF nodes of linear layers only",
                remedy="export to ONNX, or train with model.name=timing-mlp",
            )
        if not np.isfinite(options.tau):
            raise ConfigError(
                f"layer {name!r} has the membrane {options.membrane}",
                why="a CubaLIF node needs a finite time constant",
                remedy="export to ONNX, or train with neuron.membrane=double",
            )
        of = {
            "tau_syn": options.tau_s,
            "tau_mem": options.tau,
            "r": options.tau,
            "w_in": options.tau_s,
            "v_leak": 0.0,
            "v_threshold": options.threshold,
            "v_reset": 0.0,
        }
        matrix = layer.weight.detach().numpy().astype(np.float32)
        nodes[f"{name}_weight"] = nir.Linear(matrix)
        fields: dict[str, Any] = {
            key: np.full(len(matrix), each, np.float32) for key, each in of.items()
        }
        nodes[name] = nir.CubaLIF(**fields)
        size = len(matrix)
    nodes["output"] = nir.Output({"output": np.array([size])})
    order = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(order)), metadata=_about(exact, about))


def at_step(graph: nir.NIRGraph, dt: float) -> nir.NIRGraph:
    """Return the graph for spikes of height 1 in a step of dt: a Dirac impulse is 1/dt high."""
    nodes = {
        name: replace(node, w_in=node.w_in / dt) if isinstance(node, nir.CubaLIF) else node
        for name, node in graph.nodes.items()
    }
    return nir.NIRGraph(nodes, graph.edges)


def _about(exact: ExactTimes, of_graph: Mapping[str, Any]) -> dict[str, object]:
    windows = [layer.neuron.window for layer in timing_layers(exact.network).values()]
    about: dict[str, object] = {
        "asnn": version("asnn"),
        "form": "cuba",
        "runs": "in continuous time; a spike is a Dirac impulse, 1/dt high in a step of dt",
        "windows": json.dumps(windows),
    }
    for key, item in of_graph.items():
        about[key] = item if isinstance(item, str) else json.dumps(item, sort_keys=True)
    return about


@torch.no_grad()
def _write_times(path: Path, exact: ExactTimes, images: Array) -> None:
    """Write the exact spike times of samples, of the input and of each layer, as NIRData."""
    x = exact.network.coding.encode(torch.from_numpy(images))  # type: ignore[arg-type]
    values = {"input": (x[0].flatten(1, -2), exact.network.coding.window)}  # type: ignore[attr-defined]
    for name, layer in timing_layers(exact.network).items():
        x = layer(x)
        values[name] = (x[0], layer.neuron.window)
    data = {}
    for name, (times, end) in values.items():
        events = SpikeTimes(times).events()
        there = events.times.isfinite()
        index = torch.where(there, events.source, -1).numpy()
        spikes = nir.EventData(index, events.times.numpy(), times.shape[1], float(end))
        data[name] = nir.NIRNodeData({"output": spikes})
    memory = io.BytesIO()
    nir.write_data(memory, nir.NIRGraphData(data))  # type: ignore[arg-type]  # BinaryIO does too
    write_bytes(path, memory.getvalue())
