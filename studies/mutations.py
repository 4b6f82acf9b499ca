"""How many single changes of an exported file its verification finds.

    python -m studies.mutations [--number 500] [--seed 0]

Each trial changes one thing in an ONNX or NIR file that asnn wrote: a value, an attribute, an edge,
a name, a type, the metadata. `asnn.exporters.verify` then has to find a difference, or the file has
to be the same: a change that changes nothing. Beside it stands what running alone finds (samples, a
batch of one, random input into each layer), without a comparison of the structure. Simulators of
other projects are left out.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import onnx
import torch
from onnx import numpy_helper

from asnn.core.errors import AsnnError
from asnn.exporters import Samples, export_nir, export_onnx, source_of, verify
from asnn.exporters.nir import export as nir_export
from asnn.exporters.nir.file import write_nir
from asnn.exporters.source import ExportSource
from asnn.formats.nir import read_nir
from asnn.models import create_model

Random = np.random.Generator
LIF = {
    "coding": "temporal",
    "neuron_options": {"schedule": "shared", "reset": "zero", "bounded": True},
    "output_scale": False,
}


class Found(NamedTuple):
    """What a trial found.

    Attributes:
        change: the kind of the change.
        same: whether the file is the same as before.
        verdict: the first difference; None if the file passed.
        by_running: whether running it finds a difference, without comparing its structure.
    """

    change: str
    same: bool
    verdict: str | None
    by_running: bool


def network(**options: Any) -> ExportSource:
    """Return a small network that spikes in all layers."""
    torch.manual_seed(0)
    model = create_model(
        "lenet", in_shape=(2, 6, 6), classes=4, steps=3, widths=[5, 6], hidden=12,
        **{"coding": "hybrid", **options},
    )  # fmt: skip
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("gain"):
                value += 1.5
        model.train()(torch.rand(64, 2, 6, 6))
    return source_of(model.eval(), {"recipe": "test", "classes": list("abcd")})


def samples() -> Samples:
    """Return images to verify with."""
    images = np.random.default_rng(1).random((24, 2, 6, 6), np.float32)
    return Samples(images, np.arange(24) % 4, "noise")


def changed_value(model: onnx.ModelProto, rng: Random) -> None:
    """Change one number of one initializer."""
    tensor = _one(model.graph.initializer, rng)
    values = np.array(numpy_helper.to_array(tensor))
    place = tuple(int(rng.integers(size)) for size in values.shape)
    if values.dtype.kind == "f":
        values[place] += values.dtype.type(rng.choice([-1.0, 0.01, 1e-4, 3.0]))
    else:
        values[place] += 1
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def changed_attribute(model: onnx.ModelProto, rng: Random) -> None:
    """Change one attribute of one node."""
    nodes = [node for node in model.graph.node if node.attribute]
    attribute = _one(_one(nodes, rng).attribute, rng)
    if attribute.ints:
        attribute.ints[int(rng.integers(len(attribute.ints)))] += 1
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f += 1
    else:
        attribute.i += 1


def changed_edge(model: onnx.ModelProto, rng: Random) -> None:
    """Let a node read another value."""
    node = _one([node for node in model.graph.node if node.input], rng)
    values = [name for each in model.graph.node for name in each.output]
    values += [each.name for each in model.graph.initializer]
    node.input[int(rng.integers(len(node.input)))] = str(rng.choice(values))


def changed_operator(model: onnx.ModelProto, rng: Random) -> None:
    """Replace an operator by another of the same inputs."""
    others = {"Add": "Sub", "Sub": "Add", "Mul": "Add", "Greater": "GreaterOrEqual"}
    others |= {"Div": "Mul", "MaxPool": "AveragePool", "ReduceSum": "ReduceMean"}
    nodes = [node for node in model.graph.node if node.op_type in others]
    node = _one(nodes, rng)
    node.op_type = others[node.op_type]


def dropped_node(model: onnx.ModelProto, rng: Random) -> None:
    """Remove a node."""
    del model.graph.node[int(rng.integers(len(model.graph.node)))]


def changed_name(model: onnx.ModelProto, rng: Random) -> None:
    """Rename a node, an output, an input or the graph."""
    named = [*model.graph.node, *model.graph.output, *model.graph.input, model.graph]
    _one(named, rng).name += "_"


def changed_type(model: onnx.ModelProto, rng: Random) -> None:
    """Change the type or the shape of an input, an output or an initializer."""
    if rng.random() < 0.5:
        tensor = _one(model.graph.initializer, rng)
        values = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float64), tensor.name))
    else:
        value = _one([*model.graph.input, *model.graph.output], rng).type.tensor_type
        value.shape.dim.add().dim_value = 1


def changed_metadata(model: onnx.ModelProto, rng: Random) -> None:
    """Change, add or remove metadata, the opset or the description."""
    kind = rng.integers(4)
    if kind == 0:
        _one(model.metadata_props, rng).value += "0"
    elif kind == 1:
        model.opset_import[0].version += int(rng.choice([-1, 1]))
    elif kind == 2:
        model.graph.doc_string += "."
    else:
        del model.metadata_props[int(rng.integers(len(model.metadata_props)))]


ONNX_CHANGES = (
    changed_value, changed_attribute, changed_edge, changed_operator, dropped_node, changed_name,
    changed_type, changed_metadata,
)  # fmt: skip


def changed_array(file: h5py.File, rng: Random) -> None:
    """Change one number of one array."""
    arrays: list[h5py.Dataset] = []
    file.visititems(
        lambda _, item: (
            arrays.append(item)
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "fi" and item.size
            else None
        )
    )
    array = _one(arrays, rng)
    values = np.array(array[()])
    place = tuple(int(rng.integers(size)) for size in values.shape)
    values[place] += values.dtype.type(
        rng.choice([-1.0, 0.01, 3.0]) if values.dtype.kind == "f" else 1
    )
    array[...] = values


def trial_of_onnx(source: ExportSource, folder: Path, rng: Random) -> Found:
    """Change one thing in one of the ONNX files of a folder, and verify them."""
    path = _one(sorted(folder.glob("*.onnx")), rng)
    content = path.read_bytes()
    model = onnx.load_from_string(content)
    change = _one(ONNX_CHANGES, rng)
    change(model, rng)
    path.write_bytes(model.SerializeToString())
    try:
        same = onnx.load_from_string(content) == model
        return Found(change.__name__, same, *_verdicts(source, path))
    finally:
        path.write_bytes(content)


def trial_of_nir(source: ExportSource, folder: Path, rng: Random) -> Found:
    """Change one thing in the NIR file of a folder, and verify it."""
    path = folder / "model.nir"
    content = path.read_bytes()
    kind = str(
        rng.choice(
            ["changed_array", "changed_edge", "changed_name", "changed_metadata", "dropped_node"]
        )
    )
    try:
        same = False
        if kind == "changed_array":
            with h5py.File(path, "r+") as file:
                changed_array(file, rng)
        else:
            same = _change_graph(path, kind, rng)
        return Found(kind, same, *_verdicts(source, path))
    finally:
        path.write_bytes(content)


def _change_graph(path: Path, kind: str, rng: Random) -> bool:
    """Change a graph, and return whether it is the same as before."""
    graph = read_nir(path, trusted=True)
    same = False
    names = [name for name in graph.nodes if name not in ("input", "output")]
    if kind == "changed_edge":
        edges = list(graph.edges)
        place = int(rng.integers(len(edges)))
        before = edges[place]
        edges[place] = (str(rng.choice(names)), before[1])
        same = edges[place] == before
        graph.edges = edges
    elif kind == "changed_name":
        old = str(rng.choice(names))
        renamed = {old: f"{old}_"}
        graph.nodes = {renamed.get(name, name): node for name, node in graph.nodes.items()}
        graph.edges = [(renamed.get(a, a), renamed.get(b, b)) for a, b in graph.edges]
    elif kind == "changed_metadata":
        key = str(rng.choice(list(graph.metadata)))
        graph.metadata[key] = f"{graph.metadata[key]}0"
    else:
        lost = str(rng.choice(names))
        graph.nodes = {name: node for name, node in graph.nodes.items() if name != lost}
        graph.edges = [edge for edge in graph.edges if lost not in edge]
    write_nir(path, graph)
    return same


def _verdicts(source: ExportSource, path: Path) -> tuple[str | None, bool]:
    return _fault(source, path, True), _fault(source, path, False) is not None


def without_simulators() -> None:
    """Let verification run no simulator of another project, each of which takes seconds."""
    nir_export.MAX_NODES = 0


def _fault(source: ExportSource, path: Path, structure: bool) -> str | None:
    try:
        return verify(source, path, samples(), structure=structure).fault
    except AsnnError as error:
        return str(error)


def _one(choices: Any, rng: Random) -> Any:
    return choices[int(rng.integers(len(choices)))]


Trial = Callable[[ExportSource, Path, Random], Found]


def setups(folder: Path) -> list[tuple[str, ExportSource, Path, Trial]]:
    """Export a network in every form, and return name, source, folder and trial of each."""
    exact, plain = network(), network(**LIF)
    found: list[tuple[str, ExportSource, Path, Trial]] = []
    for form in ("sequence", "stream", "scan"):
        export_onnx(exact, folder / form, samples=None, form=form)  # type: ignore[arg-type]
        found.append((f"ONNX {form}", exact, folder / form, trial_of_onnx))
    for form, source in (("portable", exact), ("pure", exact), ("lif", plain)):
        export_nir(source, folder / form, samples=None, form=form)  # type: ignore[arg-type]
        found.append((f"NIR {form}", source, folder / form, trial_of_nir))
    return found


def main() -> None:
    """Print the share of changes that are found, by form and kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--number", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    without_simulators()
    rng = np.random.default_rng(options.seed)
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as name:
        forms = setups(Path(name))
        for i in range(options.number):
            form, source, folder, trial = forms[i % len(forms)]
            found = trial(source, folder, rng)
            for row in (form, f"{form.split()[0]} {found.change}", "all"):
                count = counts.setdefault(row, Counter())
                count["changes"] += 1
                count["same"] += found.same
                count["found"] += found.verdict is not None
                count["by running"] += found.by_running
            if not found.same and found.verdict is None:
                print(f"missed: {form}, {found.change}", flush=True)
    print("| | changes | of them none | found | by running alone |\n|---|---|---|---|---|")
    for row, count in sorted(counts.items()):
        columns = [str(count[key]) for key in ("changes", "same", "found", "by running")]
        print(f"| {' | '.join([row, *columns])} |")


if __name__ == "__main__":
    main()
