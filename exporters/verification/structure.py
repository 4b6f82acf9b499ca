"""Compares a file with what the exporter would write now: nodes, weights, inputs, metadata.

Running samples proves what they reach. The structure proves the rest: a weight that no sample uses,
a threshold that no membrane nears, the metadata that a reader trusts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # each format works without the package of the other
    import nir
    import onnx

RELEASE = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}((a|b|rc|\.dev)\d+)?(\+[a-z0-9.]+)?")
MOST = 5  # differences that are listed
VERSION = "asnn"  # metadata that may differ: the version of asnn that wrote the file
NOTE = "verification"  # metadata that name the report
NOTES = re.compile(
    r"skipped|see [^/\\\x00-\x1f]+\.parity\.json beside this file|see parity\.json beside this file"
)


def onnx_differences(
    expected: Mapping[str, onnx.ModelProto], found: Mapping[str, onnx.ModelProto]
) -> list[str]:
    """Return what differs between the models of a form, each with the place; empty if equal."""
    several = len(expected) > 1
    differences: list[str] = []
    for name, model in expected.items():
        for text in _of_models(model, found[name]):
            differences.append(f"{name}: {text}" if several else text)
            if len(differences) == MOST:
                return differences
    return differences


def _of_models(a: onnx.ModelProto, b: onnx.ModelProto) -> Iterator[str]:
    for field in ("ir_version", "producer_name", "domain", "model_version", "doc_string"):
        if getattr(a, field) != getattr(b, field):
            yield f"{field} is {getattr(b, field)!r}, not {getattr(a, field)!r}"
    opsets = [sorted((each.domain, each.version) for each in m.opset_import) for m in (a, b)]
    if opsets[0] != opsets[1]:
        yield f"its opsets are {opsets[1]}, not {opsets[0]}"
    for field in ("functions", "training_info"):
        if len(getattr(b, field)):
            yield f"it has {field}"
    yield from _of_metadata(_properties(a), _properties(b))
    yield from _of_graphs(a.graph, b.graph, "")


def _properties(model: onnx.ModelProto) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in model.metadata_props:  # a key may be there twice
        found[entry.key] = found[entry.key] + entry.value if entry.key in found else entry.value
    return found


def _of_metadata(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[str]:
    # Files of 0.1.0 do not state their opset.
    new = {"opset"} if b.get(VERSION, "").startswith("0.1.") and "opset" not in b else set()
    for key in sorted({*a, *b} - {VERSION, NOTE} - new):
        if a.get(key) != b.get(key):
            yield f"metadata {key!r} is {_short(b.get(key))}, not {_short(a.get(key))}"
    note = b.get(NOTE)
    if note is None or NOTES.fullmatch(note) is None:
        yield f"metadata {NOTE!r} is {_short(note)}, which asnn does not write"
    if RELEASE.fullmatch(b.get(VERSION, "")) is None:
        yield f"metadata {VERSION!r} is {_short(b.get(VERSION))}, not a version"


def _of_graphs(a: onnx.GraphProto, b: onnx.GraphProto, at: str) -> Iterator[str]:
    for field in ("name", "doc_string"):
        if getattr(a, field) != getattr(b, field):
            yield f"{at}{field} of the graph is {_short(getattr(b, field))}"
    # Earlier files do not state the shapes of the values in between.
    for kind in ("input", "output", *["value_info"] * bool(b.value_info)):
        yield from _of_named(f"{at}{kind}", getattr(a, kind), getattr(b, kind), _of_values)
    yield from _of_named(f"{at}initializer", a.initializer, b.initializer, _of_tensors)
    for field in ("sparse_initializer", "quantization_annotation", "metadata_props"):
        if len(getattr(b, field)):
            yield f"{at}the graph has {field}"
    if len(a.node) != len(b.node):
        yield f"{at}it has {len(b.node)} nodes, not {len(a.node)}"
    for one, other in zip(a.node, b.node, strict=False):
        yield from _of_nodes(one, other, at)


def _of_named(kind: str, a: Any, b: Any, compare: Any) -> Iterator[str]:
    ours, theirs = [each.name for each in a], [each.name for each in b]
    if ours != theirs:
        missing, added = sorted({*ours} - {*theirs}), sorted({*theirs} - {*ours})
        words = [f"without {name!r}" for name in missing] + [f"with {name!r}" for name in added]
        yield f"{kind}s differ: {', '.join(words[:3]) or 'in number or order'}"
        return
    for one, other in zip(a, b, strict=True):
        if one != other:
            yield f"{kind} {one.name!r} {compare(one, other)}"


def _of_values(a: onnx.ValueInfoProto, b: onnx.ValueInfoProto) -> str:
    return f"has another type, shape or description: {_short(str(b.type))}"


def _of_tensors(a: onnx.TensorProto, b: onnx.TensorProto) -> str:
    if a.data_type != b.data_type or list(a.dims) != list(b.dims):
        return f"has the type {b.data_type} and the shape {list(b.dims)}"
    from onnx import numpy_helper

    try:
        ours, theirs = (np.atleast_1d(numpy_helper.to_array(each)) for each in (a, b))
    except (ValueError, TypeError) as error:
        return f"cannot be read: {error}"
    wrong = np.argwhere(ours.view(f"V{ours.itemsize}") != theirs.view(f"V{theirs.itemsize}"))
    if not len(wrong):
        return "stores its values in another way"
    place = tuple(int(i) for i in wrong[0])
    return f"differs in {len(wrong)} values, first at {list(place)}: {theirs[place]!r}"


def _of_nodes(a: onnx.NodeProto, b: onnx.NodeProto, at: str) -> Iterator[str]:
    if a == b:
        return
    where = f"{at}node {a.name!r}"
    for field in ("op_type", "domain", "name", "doc_string", "overload"):
        if getattr(a, field) != getattr(b, field):
            yield f"{where}: its {field} is {_short(getattr(b, field))}"
    for field in ("input", "output"):
        if list(getattr(a, field)) != list(getattr(b, field)):
            yield f"{where}: its {field}s are {_short(', '.join(getattr(b, field)))}"
    ours, theirs = ({each.name: each for each in n.attribute} for n in (a, b))
    for name in sorted({*ours, *theirs}):
        if name not in ours or name not in theirs:
            yield f"{where}: attribute {name!r} is {'new' if name in theirs else 'missing'}"
        elif ours[name] != theirs[name]:
            if ours[name].HasField("g") and theirs[name].HasField("g"):
                yield from _of_graphs(ours[name].g, theirs[name].g, f"{where}, ")
            else:
                yield f"{where}: attribute {name!r} differs"
    if len(a.attribute) != len(b.attribute) or len(b.metadata_props):
        yield f"{where}: it has attributes twice, or metadata"


def nir_differences(expected: nir.NIRGraph, found: nir.NIRGraph) -> list[str]:
    """Return what differs between two NIR graphs, each with the place; empty if equal."""
    differences = []
    for text in _of_nir(expected, found):
        differences.append(text)
        if len(differences) == MOST:
            break
    return differences


def _of_nir(a: nir.NIRGraph, b: nir.NIRGraph) -> Iterator[str]:
    ours, theirs = ({key: _text(value) for key, value in g.metadata.items()} for g in (a, b))
    yield from _of_metadata(ours, theirs)
    missing, added = sorted({*a.nodes} - {*b.nodes}), sorted({*b.nodes} - {*a.nodes})
    for word, names in (("without", missing), ("with", added)):
        if names:
            yield f"it is {word} node {names[0]!r}"
    edges = [sorted(map(tuple, g.edges)) for g in (a, b)]
    if edges[0] != edges[1]:
        lost, new = [*{*edges[0]} - {*edges[1]}], [*{*edges[1]} - {*edges[0]}]
        text = "an edge is there twice"
        if lost or new:
            text = f"without {sorted(lost)[:1]}, with {sorted(new)[:1]}"
        yield f"its edges differ: {text}"
    for name, node in a.nodes.items():
        if name in b.nodes:
            yield from _of_nir_nodes(name, node, b.nodes[name])


def _of_nir_nodes(name: str, a: nir.NIRNode, b: nir.NIRNode) -> Iterator[str]:
    if type(a) is not type(b):
        yield f"node {name!r} is a {type(b).__name__}, not a {type(a).__name__}"
        return
    from ..nir.file import content_of  # each format works without the package of the other

    # As they are written: types of inputs and outputs are inferred when a graph is read.
    ours, theirs = content_of(a), content_of(b)
    for field in sorted({*ours, *theirs}):
        if field not in theirs or field not in ours:
            yield f"node {name!r} {'has' if field in theirs else 'lacks'} {field!r}"
        elif not _same(ours[field], theirs[field]):
            yield f"node {name!r}: its {field} differs"


def _same(a: Any, b: Any) -> bool:
    """Return whether two fields hold the same values; integers may be of another width."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return {*a} == {*b} and all(_same(a[key], b[key]) for key in a)
    if a is None or b is None or isinstance(a, str | bytes) or isinstance(b, str | bytes):
        return (a is None) == (b is None) and _text(a) == _text(b)
    one, other = np.asarray(a), np.asarray(b)
    if one.shape != other.shape and one.size != 1 and other.size != 1:
        return False
    if one.dtype.kind == "f" and one.dtype != other.dtype:
        return False
    return one.size == other.size and bool((one.reshape(-1) == other.reshape(-1)).all())


def _text(item: Any) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def _short(text: str | None) -> str:
    if text is None:
        return "missing"
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
