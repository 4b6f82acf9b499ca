"""The network of a NIR file, written to NIR as the nodes that it has."""

from __future__ import annotations

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch

from ...core.errors import AsnnError, ConfigError
from ...formats.nir import read_nir
from ...models.factory import create_model
from ...models.network import SpikingNetwork
from ...models.nir.graph import NirGraph, graph_of
from ...models.nir.reading import describe
from ..exported import Exported, finish
from ..graph.interpreter import Trace
from ..graph.ir import Array
from ..graph.network import answer_alone
from ..paths import ExportPaths, discarded_on_failure, unverified_path
from ..source import ExportSource, Samples
from ..verification.compare import Report
from ..verification.parity import Parity
from ..verification.runtimes import one_line
from .file import write_nir
from .interpreter import run_nir

FORM = "given"


def export_given(source: ExportSource, path: Path | str, *, samples: Samples | None) -> Exported:
    """Write the nodes of a network from a NIR file with its weights now, and verify the file.

    The file is read as `asnn import` does; its outputs have to be those of the network, all bits.
    With the semantics of the format they are also compared with our interpreter in numpy, for
    information, since it rounds otherwise.

    Args:
        source: a network that was imported.
        path: a `.nir` file, or a folder.
        samples: to verify with; None writes without verification.

    Raises:
        ConfigError: the network is not from a NIR file.
        VerificationError: the file computes something else; it keeps the name `*.unverified`.
    """
    network = _network(source)
    paths = ExportPaths.at(Path(path), ".nir")
    files = {"model": unverified_path(paths.file(".nir"))}
    paths.check(files.values())
    paths.make()
    options: dict[str, Any] = {"format": "nir", "form": FORM, "input": "spikes"}
    options |= {"nir": nir.version, "weights_sha256": source.weights_sha256}
    report, semantics = None, network.config.get("semantics", "nir")
    notes = []
    if semantics != "nir":
        notes.append(
            f"its nodes compute the same only with the semantics of {semantics}: its metadata name "
            "them, by which asnn goes, and other importers do not"
        )
    with discarded_on_failure(files):
        write_nir(files["model"], given_graph(network, str(source.graph.about.get("recipe", ""))))
        if samples is not None:
            report = check_given(source, files["model"], samples)
        return finish(paths, files, options, report, notes)


def given_graph(network: SpikingNetwork, recipe: str = "") -> nir.NIRGraph:
    """Return the nodes that the output of an imported network depends on."""
    graph, config = _graph(network), network.config
    nodes = {name: _node(graph, name) for name in graph.order}
    edges = [edge for edge in graph.edges if edge[0] in nodes and edge[1] in nodes]
    found = nir.NIRGraph(nodes, edges, type_check=False)
    found.metadata = {
        "asnn": version("asnn"),
        "form": FORM,
        "dt": config["dt"],
        "steps": config["steps"],
        "semantics": config.get("semantics", "nir"),
        "recipe": recipe,
    }
    return found


def check_given(source: ExportSource, path: Path, samples: Samples) -> Report:
    """Compare a file with an imported network: read as an import does, and in our interpreter.

    Raises:
        DataError: it cannot be read.
    """
    network, read = _network(source), read_nir(path)
    graph, other = answer_alone(network), None
    again = Parity(graph, "torch, from the file", {"version": torch.__version__})
    parities, numpy = [again], None
    if network.config.get("semantics", "nir") == "nir":
        numpy = Parity(graph, "numpy, from the file", {"version": nir.version}, gates=False)
        parities.append(numpy)
    try:
        description = describe(read)
        config = dict(network.config)
        config |= {"nodes": description.nodes, "edges": description.edges}
        config["in_shape"] = tuple(config["in_shape"])
        other = create_model(config.pop("name"), **config).eval()
        description.give(_graph(other))
    except AsnnError as error:
        again.error = one_line(error)
    for images, part in samples.batches():
        code = source.encode(images, part.start)
        logits = source.eager(torch.from_numpy(code)).logits
        assert logits is not None
        trace = Trace({}, {}, logits.numpy())
        if other is not None:
            _add(again, trace, lambda code: other.run(torch.from_numpy(code)).numpy(), code)
            if again.logit_difference:
                again.add_output_mismatch("its outputs are not the same bits")
        if numpy is not None:
            _add(numpy, trace, lambda code: _run(read, code, network), code)
    return Report(parities, samples, {}, {}, {}, [])


def _add(parity: Parity, trace: Trace, run: Any, code: Array) -> None:
    """Compare the outputs of each step of a batch."""
    if parity.error is not None:
        return
    started = time.perf_counter()
    try:
        with torch.no_grad():
            found = run(code)
    except (AsnnError, RuntimeError, ValueError, KeyError) as error:
        parity.error = one_line(error)
        return
    parity.seconds += time.perf_counter() - started
    parity.add(trace, parity.graph.answer.of(found), outputs={"logits_per_step": found})


def _run(read: nir.NIRGraph, code: Array, network: SpikingNetwork) -> Array:
    graph = _graph(network)
    shape = graph.nodes[graph.input]["shape"]
    steps = code.reshape(*code.shape[:2], *shape)
    found = run_nir(read, steps, network.config["dt"])[graph.output]
    return found.reshape(*found.shape[:2], -1)


def _node(graph: NirGraph, name: str) -> nir.NIRNode:
    """Return a node of the format."""
    kind, fields = graph.kinds[name], dict(graph.nodes[name])
    shape = np.array(graph.reads[name])
    if kind == "Input":
        return nir.Input(input_type={"input": np.array(fields["shape"])})
    if kind == "Output":
        return nir.Output(output_type={"output": shape})
    given: dict[str, Any] = {
        key: np.array(value) if isinstance(value, list) else value
        for key, value in fields.items()
        if key != "type"
    }
    given |= {
        key: np.array(value.detach().cpu().float().numpy())
        for key, value in graph.arrays(name).items()
    }
    if kind.startswith("Conv"):
        given["input_shape"] = int(shape[1]) if kind == "Conv1d" else (int(shape[1]), int(shape[2]))
    if kind == "Flatten":
        given["input_type"] = {"input": shape}
    return getattr(nir, kind)(**given)


def _network(source: ExportSource) -> SpikingNetwork:
    if source.imported is None:
        raise ConfigError(
            "form given is for networks that were imported from a NIR file",
            why="it writes the nodes of that file",
            remedy="choose --form portable, pure or lif",
        )
    return source.imported


def _graph(network: SpikingNetwork) -> NirGraph:
    found = graph_of(network)
    assert found is not None, "an imported network"
    return found
