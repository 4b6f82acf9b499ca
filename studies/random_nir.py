"""Random small NIR graphs of all types of nodes, with loops, sums and nested graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nir
import numpy as np
from hypothesis import strategies as st

from asnn.exporters.graph.ir import Array, Shape, output_size
from asnn.exporters.importers.probes import Value, cuba, graph_of, lif
from asnn.exporters.nir.nodes import DT

SPIKING = ("LIF", "IF", "CubaLIF")
OF_FEATURES = ("Linear", "Affine", "nested")
OF_IMAGES = ("Conv2d", "SumPool2d", "AvgPool2d", "Flatten")
OF_SERIES = ("Conv1d", "Flatten")
RARE = ("Scale", "Threshold", "I", "LI", "CubaLI", "Delay")  # no importer runs them today


class Maker:
    """Makes nodes with random parameters.

    Args:
        draw: a choice of hypothesis.
        seed: of the arrays.
        odd: of ten parameters, how many are other than the plainest.
    """

    def __init__(self, draw: Callable[[Any], Any], seed: int, odd: int) -> None:
        self.draw, self.odd = draw, odd
        self.rng = np.random.default_rng(seed)

    def among(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def or_else(self, plain: Any, *others: Any) -> Any:
        """Return the plain choice, or at times another one."""
        return self.among(*others) if self.draw(st.integers(0, 9)) < self.odd else plain

    def values(self, *shape: int, size: float = 1.0) -> Array:
        return (size * self.rng.standard_normal(shape)).astype(np.float32)

    def between(self, low: float, high: float, number: int = 1) -> Value:
        found = self.rng.uniform(low, high, number).tolist()
        return found[0] if number == 1 else found

    def several(self, low: float, high: float, size: int) -> Value:
        """Return one value, or at times one for each of `size` neurons."""
        return self.between(low, high, self.or_else(1, size))

    def node(self, kind: str, shape: Shape) -> nir.NIRNode | None:
        """Return a node of that type for an input of that shape; None if it takes no such shape."""
        size = int(np.prod(shape))
        match kind:
            case "Linear" | "Affine":
                outs = self.among(2, 3, 4)
                weight = self.values(outs, size)
                return (
                    nir.Linear(weight)
                    if kind == "Linear"
                    else nir.Affine(weight, self.values(outs))
                )
            case "Scale":
                return nir.Scale(self.values(*shape))
            case "Threshold":
                return nir.Threshold(self.values(*shape))
            case "Delay":
                return nir.Delay(self.rng.integers(0, 3, shape) * np.float32(DT))
            case "Conv1d":
                return self.convolution_1d(shape)
            case "Conv2d":
                return self.convolution(shape)
            case "SumPool2d" | "AvgPool2d":
                pad = self.or_else(0, 1)
                pool = {"SumPool2d": nir.SumPool2d, "AvgPool2d": nir.AvgPool2d}[kind]
                two = np.array([2, 2])
                return pool(kernel_size=two, stride=two, padding=np.array([pad, pad]))
            case "Flatten":
                ends = self.or_else((-len(shape), -1), (0, len(shape) - 1), (-2, -1))
                return nir.Flatten({"input": np.array(shape)}, *ends)
            case "nested":
                return self.nested(size)
        return self.neuron(kind, size, shape)

    def convolution(self, shape: Shape) -> nir.Conv2d | None:
        channels, *image = shape
        outs, groups = self.among(2, 4), self.or_else(1, channels)
        side = self.among(1, 3)
        other = self.or_else(side, 2)
        padding = self.or_else((side // 2, side // 2), (0, 0), "same", "valid", (1, 0))
        dilation = self.or_else((1, 1), (2, 2))
        stride = (1, 1) if padding == "same" else self.or_else((1, 1), (2, 2), (1, 2))
        if min(image) < dilation[0] * (max(side, other) - 1) + 1:
            return None
        weight = self.values(outs, channels // groups, side, other)
        size = (image[0], image[1])
        return nir.Conv2d(size, weight, stride, padding, dilation, groups, self.values(outs))

    def convolution_1d(self, shape: Shape) -> nir.Conv1d | None:
        channels, length = shape
        outs, groups = self.among(2, 4), self.or_else(1, channels)
        side = self.among(1, 2, 3)
        padding, dilation = self.or_else(side // 2, 0, "same", 2), self.or_else(1, 2)
        stride = 1 if padding == "same" else self.or_else(1, 2)
        if length < dilation * (side - 1) + 1:
            return None
        weight = self.values(outs, channels // groups, side)
        return nir.Conv1d(length, weight, stride, padding, dilation, groups, self.values(outs))

    def nested(self, size: int) -> nir.NIRGraph:
        """A recurrent layer as a graph in a graph."""
        nodes = {"n": self.neuron("LIF", size, (size,)), "w": nir.Linear(self.values(size, size))}
        edges = [("input", "n"), ("n", "w"), ("w", "n"), ("n", "output")]
        return graph_of((size,), nodes, edges, (size,))

    def neuron(self, kind: str, size: int, shape: Shape) -> nir.NIRNode:
        leak = self.or_else(0.0, self.between(-0.2, 0.2), self.between(-0.2, 0.2, size))
        reset = self.or_else(0.0, self.between(-0.2, 0.2), self.between(-0.2, 0.2, size))
        threshold = self.or_else(self.between(0.2, 1.0), self.between(-0.2, 1.0, size))

        def tau() -> Value:
            one, several = self.between(1.5, 4.0), self.between(1.5, 4.0, size)
            return self.or_else(one, several, 1.0, self.between(0.6, 0.9))

        def full(value: Value) -> Array:
            return np.broadcast_to(np.asarray(value, np.float32), (size,)).reshape(shape).copy()

        def shaped(node: Any) -> Any:
            return type(node)(
                **{
                    key: np.reshape(value, shape)
                    for key, value in vars(node).items()
                    if key not in ("input_type", "output_type", "metadata")
                }
            )

        step = np.float32(DT)
        of_all = {"v_leak": leak, "v_reset": reset, "v_threshold": threshold}
        match kind:
            case "LIF":
                time = tau()
                r = self.or_else(1.0, time, self.several(0.5, 3.0, size))
                return shaped(lif(size, tau=time, r=r, **of_all))
            case "CubaLIF":
                times = {"tau_syn": tau(), "tau_mem": tau()}
                of_input = {"r": times["tau_mem"], "w_in": times["tau_syn"]}
                for name in of_input:
                    of_input[name] = self.or_else(of_input[name], self.several(0.5, 3.0, size))
                return shaped(cuba(size, **times, **of_input, **of_all))
            case "IF" | "I":
                r = full(self.or_else(1.0, self.several(0.3, 2.0, size))) / step
                if kind == "I":
                    return nir.I(r)
                return nir.IF(r, v_threshold=full(threshold), v_reset=full(reset))
        of_membrane: dict[str, Any] = {
            "r": full(self.several(0.5, 2.0, size)),
            "v_leak": full(leak),
        }
        if kind == "LI":
            return nir.LI(tau=full(tau()) * step, **of_membrane)
        syn, mem = full(tau()) * step, full(tau()) * step
        return nir.CubaLI(tau_syn=syn, tau_mem=mem, w_in=full(1.5), **of_membrane)


def shape_after(node: nir.NIRNode, shape: Shape) -> Shape:
    """Return the shape of the value of a node, for an input of that shape."""
    match node:
        case nir.Linear() | nir.Affine():
            return (len(node.weight),)
        case nir.Conv1d() | nir.Conv2d():
            if node.padding == "same":
                return (len(node.weight), *shape[1:])
            padding = 0 if node.padding == "valid" else node.padding
            of_axes = (node.weight.shape[2:], node.stride, padding, node.dilation)
            axes = [np.broadcast_to(each, (len(shape) - 1,)).tolist() for each in of_axes]
            return (len(node.weight), *map(output_size, shape[1:], *axes))
        case nir.SumPool2d() | nir.AvgPool2d():
            pad = int(node.padding[0])
            return (shape[0], *(output_size(size, 2, 2, pad) for size in shape[1:]))
        case nir.Flatten():
            start, end = (each % len(shape) for each in (node.start_dim, node.end_dim))
            return (*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :])
    return shape


@st.composite
def nir_graphs(draw: Callable[[Any], Any]) -> nir.NIRGraph:
    """Return a graph with nodes `input` and `output`, whose values have one shape each.

    A node reads one or two earlier ones; loops run from a neuron through weights to an earlier or
    the same neuron, or back to it at once. The nodes are listed in the order that they run in, or
    in any other, and so are the edges.
    """
    make = Maker(draw, draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0, 0, 1, 4])))
    first = make.among((3,), (4,), (2, 6), (2, 5, 5))
    shapes: dict[str, Shape] = {"input": first}
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[tuple[str, str]] = []
    for i in range(draw(st.integers(1, 6))):
        last = [*shapes][-1]
        source = make.or_else(last, *shapes)
        shape = shapes[source]
        kinds = {1: OF_FEATURES, 2: OF_SERIES, 3: OF_IMAGES}[len(shape)]
        kind = make.among(*kinds, *SPIKING, make.or_else("LIF", *RARE))
        node = make.node(kind, shape)
        if node is None:
            continue
        after = shape_after(node, shape)
        if min(after) < 1:
            continue
        name = f"n{i}"
        nodes[name], shapes[name] = node, after
        edges.append((source, name))
        same = [each for each, own in shapes.items() if own == shape and each not in (source, name)]
        if same and make.or_else(False, True):
            edges.append((make.among(*same), name))
    add_loops(make, nodes, shapes, edges)
    ends = [name for name in shapes if name not in {source for source, _ in edges}]
    last = ends[-1] if ends else [*shapes][-1]
    edges.append((last, "output"))
    nodes, edges = used(nodes, edges)
    if make.or_else(False, True):
        nodes = {name: nodes[name] for name in draw(st.permutations([*nodes]))}
    if make.or_else(False, True):
        edges = draw(st.permutations(edges))
    return graph_of(first, nodes, edges, shapes[last])


def add_loops(
    make: Maker,
    nodes: dict[str, nir.NIRNode],
    shapes: dict[str, Shape],
    edges: list[tuple[str, str]],
) -> None:
    """Add up to two loops from a neuron to an earlier one or itself, in front of its readers."""
    neurons = [
        name
        for name, node in nodes.items()
        if type(node).__name__ in SPIKING and len(shapes[name]) == 1
    ]
    for i in range(make.draw(st.integers(0, 2)) if neurons else 0):
        source = make.among(*neurons)
        target = make.or_else(source, *neurons[: neurons.index(source) + 1])
        if (source, target) in edges:
            continue
        at = next((j for j, (a, _) in enumerate(edges) if a == source), len(edges))
        if make.or_else(False, shapes[source] == shapes[target]):
            edges.insert(at, (source, target))
            continue
        name = f"loop{i}"
        outs, ins = shapes[target][0], shapes[source][0]
        nodes[name] = nir.Linear(make.values(outs, ins))
        shapes[name] = (outs,)
        edges[at:at] = [(source, name), (name, target)]


def used(
    nodes: dict[str, nir.NIRNode], edges: list[tuple[str, str]]
) -> tuple[dict[str, nir.NIRNode], list[tuple[str, str]]]:
    """Return the nodes from which the output follows, and their edges."""
    kept, todo = {"input", "output"}, ["output"]
    while todo:
        name = todo.pop()
        before = {a for a, b in edges if b == name} - kept
        kept |= before
        todo += before
    return (
        {name: node for name, node in nodes.items() if name in kept},
        [(a, b) for a, b in edges if a in kept and b in kept],
    )
