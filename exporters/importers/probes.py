"""Small graphs that measure the features of an importer, with inputs: each has one feature more
than what another measures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from ..graph.ir import Array, Shape
from ..nir.nodes import DT

Value = float | list[float]
STEPS, BATCH = 6, 5
DIFFERENT = [2.0, 3.0, 4.0, 5.0]


@dataclass(frozen=True)
class Probe:
    """A graph with an input.

    Attributes:
        feature: that it measures.
        graph: the graph.
        steps: its input, `[T, B, ...]`.
    """

    feature: str
    graph: nir.NIRGraph
    steps: Array


def probes() -> list[Probe]:
    """Return the graphs of all features."""
    return [*_layers(), *_neurons(), *_connections()]


def noise(*shape: int, high: float = 2.0, seed: int = 1) -> Array:
    """Return random values of all steps, `[T, B, ...]`, from 0 up."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0, high, (STEPS, BATCH, *shape)).astype(np.float32)


def weights(*shape: int, seed: int = 2) -> Array:
    """Return random weights."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def full(value: Value, size: int = 4) -> Array:
    """Return a value of a neuron, or all of them, as parameters `[size]`."""
    return np.broadcast_to(np.asarray(value, np.float32), (size,)).copy()


def graph_of(
    shape: Shape, nodes: Mapping[str, nir.NIRNode], edges: list[tuple[str, str]], out: Shape
) -> nir.NIRGraph:
    """Return a graph with an input and an output, listed first and last."""
    named = {
        "input": nir.Input({"input": np.array(shape)}),
        **nodes,
        "output": nir.Output({"output": np.array(out)}),
    }
    return nir.NIRGraph(named, edges, type_check=False)


def chain(shape: Shape, *nodes: nir.NIRNode, out: Shape | None = None) -> nir.NIRGraph:
    """Return nodes one after another."""
    named = {f"node{i}": node for i, node in enumerate(nodes)}
    names = ["input", *named, "output"]
    return graph_of(shape, named, list(itertools.pairwise(names)), out or shape)


def lif(size: int = 4, **changes: Value) -> nir.LIF:
    """A LIF neuron with r = 1 and reset to 0, its time constant `tau` in steps."""
    fields = {"tau": 2.0, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.6, "v_reset": 0.0, **changes}
    made = {name: full(value, size) for name, value in fields.items()}
    return nir.LIF(**{**made, "tau": made["tau"] * np.float32(DT)})


def cuba(size: int = 4, **changes: Value) -> nir.CubaLIF:
    """A CubaLIF neuron, its time constants in steps, by default with r = τ_mem/dt and
    w_in = τ_syn/dt."""
    fields: dict[str, Value] = {"tau_syn": 2.0, "tau_mem": 3.0, "v_leak": 0.0, "v_threshold": 1.5}
    fields |= {"v_reset": 0.0, **changes}
    fields = {"r": fields["tau_mem"], "w_in": fields["tau_syn"], **fields}
    made = {name: full(value, size) for name, value in fields.items()}
    times = {name: made[name] * np.float32(DT) for name in ("tau_syn", "tau_mem")}
    return nir.CubaLIF(**{**made, **times})


def _layers() -> Iterator[Probe]:
    flat, image, series = noise(4), noise(2, 6, 6), noise(2, 9)

    def conv(*shape: int, **changes: Any) -> nir.Conv2d:
        fields: dict[str, Any] = {
            "stride": (1, 1),
            "padding": (1, 1),
            "dilation": (1, 1),
            "groups": 1,
        }
        fields |= {"bias": weights(shape[0]), "weight": weights(*shape), **changes}
        return nir.Conv2d(input_shape=(6, 6), **fields)

    def conv1d(*shape: int, **changes: Any) -> nir.Conv1d:
        fields: dict[str, Any] = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1}
        fields |= {"bias": weights(shape[0]), "weight": weights(*shape), **changes}
        return nir.Conv1d(input_shape=9, **fields)

    yield Probe("Linear", chain((4,), nir.Linear(weights(3, 4)), out=(3,)), flat)
    affine = nir.Affine(weights(3, 4), weights(3))
    yield Probe("Affine", chain((4,), affine, out=(3,)), flat)
    yield Probe("Scale", chain((4,), nir.Scale(weights(4))), flat)
    yield Probe("Threshold", chain((4,), nir.Threshold(full(1.0))), flat)
    yield Probe("Delay", chain((4,), nir.Delay(full([0, 1, 2, 3]) * np.float32(DT))), flat)
    convolutions = {
        "Conv2d": [
            (conv(3, 2, 3, 3), (3, 6, 6)),
            (conv(3, 2, 3, 3, stride=(2, 2), padding=(2, 2), dilation=(2, 2)), (3, 3, 3)),
        ],
        "Conv2d with groups": [(conv(4, 1, 3, 3, groups=2), (4, 6, 6))],
        "Conv2d with padding by name": [
            (conv(3, 2, 3, 3, padding="same"), (3, 6, 6)),
            (conv(3, 2, 3, 3, padding="valid"), (3, 4, 4)),
        ],
        "Conv2d with a kernel that is not square": [
            (conv(3, 2, 3, 1), (3, 6, 8)),
            (conv(3, 2, 3, 1, padding="valid"), (3, 4, 6)),
        ],
    }
    for name, layers in convolutions.items():
        for node, out in layers:
            yield Probe(name, chain((2, 6, 6), node, out=out), image)
    of_series = {
        "Conv1d": [(conv1d(3, 2, 3), (3, 9)), (conv1d(3, 2, 3, stride=2, padding=0), (3, 4))],
        "Conv1d with groups": [(conv1d(4, 1, 3, groups=2), (4, 9))],
        "Conv1d with padding by name": [(conv1d(3, 2, 3, padding="same"), (3, 9))],
    }
    for name, layers_1d in of_series.items():
        for node_1d, out in layers_1d:
            yield Probe(name, chain((2, 9), node_1d, out=out), series)
    two = np.array([2, 2])
    for kind, pad in itertools.product((nir.SumPool2d, nir.AvgPool2d), (0, 1)):
        pool = kind(kernel_size=two, stride=two, padding=np.array([pad, pad]))
        name = kind.__name__ + " with padding" * pad
        yield Probe(name, chain((2, 6, 6), pool, out=(2, 3 + pad, 3 + pad)), image)
    for name, start, end, out in (
        ("Flatten", -3, -1, (72,)),
        ("Flatten", -2, -1, (2, 36)),
        ("Flatten with axes from the front", 0, 2, (72,)),
        ("Flatten with axes from the front", 1, 2, (2, 36)),
    ):
        flatten = nir.Flatten({"input": np.array([2, 6, 6])}, start_dim=start, end_dim=end)
        yield Probe(name, chain((2, 6, 6), flatten, out=out), image)


def _neurons() -> Iterator[Probe]:
    x, step = noise(4), np.float32(DT)
    some: Value = [0.4, 0.5, 0.6, 0.7]
    other: Value = [0.1, 0.2, 0.0, -0.1]
    nodes: list[tuple[str, nir.NIRNode]] = [
        ("LIF", lif()),
        ("LIF with several thresholds", lif(v_threshold=some)),
        ("LIF with a threshold of 0 or less", lif(v_threshold=-0.1)),
        ("LIF with v_reset other than 0", lif(v_reset=0.2)),
        ("LIF with v_reset other than 0", lif(v_reset=other)),
        ("LIF with v_leak other than 0", lif(v_leak=0.2)),
        ("LIF with v_leak other than 0", lif(v_leak=other)),
        ("LIF with several τ", lif(tau=DIFFERENT)),
        ("LIF with τ = dt", lif(tau=1.0)),
        ("LIF with τ below dt", lif(tau=0.7)),
        ("LIF with τ below dt", lif(tau=0.7, v_threshold=1.6)),
        ("LIF with r = τ/dt", lif(r=2.0, v_threshold=1.2)),
        ("LIF with r other than 1 and τ/dt", lif(r=3.0)),
        ("LIF with r other than 1 and τ/dt", lif(r=[0.5, 1.5, 2.5, 3.5])),
        ("IF", nir.IF(r=full(1.0) / step, v_threshold=full(1.5))),
        ("IF with several thresholds", nir.IF(r=full(1.0) / step, v_threshold=full(some))),
        ("IF with a threshold of 0 or less", nir.IF(r=full(1.0) / step, v_threshold=full(-0.1))),
        (
            "IF with v_reset other than 0",
            nir.IF(r=full(1.0) / step, v_threshold=full(1.5), v_reset=full(0.2)),
        ),
        ("IF with r other than 1/dt", nir.IF(r=full(1.0), v_threshold=full(1e-4))),
        ("IF with r other than 1/dt", nir.IF(r=full(some) / step, v_threshold=full(1.0))),
        ("CubaLIF", cuba()),
        ("CubaLIF with several thresholds", cuba(v_threshold=[1.0, 1.5, 2.0, 2.5])),
        ("CubaLIF with a threshold of 0 or less", cuba(v_threshold=-0.1)),
        ("CubaLIF with v_reset other than 0", cuba(v_reset=0.2)),
        ("CubaLIF with v_reset other than 0", cuba(v_reset=other)),
        ("CubaLIF with v_leak other than 0", cuba(v_leak=0.2)),
        ("CubaLIF with several τ_syn", cuba(tau_syn=DIFFERENT)),
        ("CubaLIF with τ_syn = dt", cuba(tau_syn=1.0)),
        ("CubaLIF with τ_syn below dt", cuba(tau_syn=0.7)),
        ("CubaLIF with several τ_mem", cuba(tau_mem=DIFFERENT)),
        ("CubaLIF with τ_mem = dt", cuba(tau_mem=1.0)),
        ("CubaLIF with τ_mem below dt", cuba(tau_mem=0.7)),
        ("CubaLIF with r other than τ_mem/dt", cuba(r=2.0)),
        ("CubaLIF with r other than τ_mem/dt", cuba(r=[1.0, 2.0, 3.0, 4.0])),
        ("CubaLIF with w_in other than τ_syn/dt", cuba(w_in=1.5)),
        ("CubaLIF with w_in other than τ_syn/dt", cuba(w_in=[1.0, 2.0, 3.0, 4.0])),
        ("I", nir.I(r=full(1.0) / step)),
        ("I", nir.I(r=full(some) / step)),
    ]
    for tau, r, leak in ((2.0, 1.0, 0.0), (DIFFERENT, some, other)):
        of_both: dict[str, Any] = {"r": full(r), "v_leak": full(leak)}
        nodes.append(("LI", nir.LI(tau=full(tau) * step, **of_both)))
        times = {"tau_syn": full(2.0) * step, "tau_mem": full(tau) * step}
        nodes.append(("CubaLI", nir.CubaLI(**times, **of_both, w_in=full(2.0))))
    for name, node in nodes:
        yield Probe(name, chain((4,), node), x)


def _connections() -> Iterator[Probe]:
    x = noise(4, high=3.0)

    def square(seed: int) -> nir.Affine:
        return nir.Affine(weights(4, 4, seed=seed), full(0.1))

    a, b, c = square(3), square(4), square(5)

    def of(name: str, nodes: Mapping[str, nir.NIRNode], *edges: str) -> Probe:
        """Nodes, and edges as words such as `a-b`."""
        pairs = [(first, second) for first, second in (edge.split("-") for edge in edges)]
        return Probe(name, graph_of((4,), nodes, pairs, (4,)), x)

    skip = ("input-a", "a-b", "b-c", "a-c", "c-output")
    yield of("sums of several edges", {"a": a, "b": b, "c": c}, *skip)
    ends = ("input-a", "a-b", "b-output", "a-output")
    yield of("sums of several edges as the output", {"a": a, "b": b}, *ends)
    parts = ("input-a", "a-c", "a-b", "b-c", "c-output")
    yield of("paths that part and meet again", {"a": a, "b": b, "c": c}, *parts)
    dead = ("input-a", "a-b", "a-c", "c-output")
    yield of("nodes that no other reads", {"a": a, "b": b, "c": c}, *dead)
    more = {"a": a, "b": b, "other": nir.Output({"output": np.array([4])})}
    yield of("several outputs", more, "input-a", "a-b", "a-other", "b-output")
    w = nir.Linear(weights(4, 4, seed=6))
    for neuron in (lif(), cuba()):
        loop = ("input-n", "n-w", "w-n", "n-output")
        yield of("loops", {"n": neuron, "w": w}, *loop)
        late = ("input-n", "n-output", "n-w", "w-n")
        yield of("loops that are reached after the output", {"n": neuron, "w": w}, *late)
        inner = graph_of((4,), {"n": neuron, "w": w}, [*_pairs(loop)], (4,))
        read = ("input-a", "a-rnn", "rnn-output")
        yield of("nested graphs", {"a": a, "rnn": inner}, *read)
        yield of("nested graphs listed before what they read", {"rnn": inner, "a": a}, *read)
    two = {"c": c, "n2": lif(), "b": b, "n1": lif(), "w": w}
    back = ("input-b", "b-n1", "n1-c", "c-n2", "n2-w", "w-n1", "n2-output")
    own = {"w2": nir.Linear(weights(4, 4, seed=7))}
    listed = (*back[:4], "n2-w2", "w2-n2", *back[4:])
    yield of("loops in another order of the nodes", {**own, **two}, *listed)


def _pairs(edges: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for edge in edges:
        first, second = edge.split("-")
        yield first, second
