"""NIR graphs by hand, and their networks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import nir
import numpy as np

from asnn.models import create_model
from asnn.models.network import SpikingNetwork
from asnn.models.nir.graph import graph_of
from asnn.models.nir.reading import describe

STEPS = 24


def lif(count: int, **changed: float) -> nir.LIF:
    """Neurons with leak 0.9 and gain 1 at dt = 1e-4."""
    values = {"tau": 1e-3, "r": 10.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **changed}
    return nir.LIF(**{name: np.full(count, value) for name, value in values.items()})


def weights(seed: int, *shape: int, scale: float = 0.5) -> np.ndarray:
    """Random weights."""
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def graph_of_nodes(shape: list[int], outputs: int, edges: str, **nodes: Any) -> nir.NIRGraph:
    """A graph whose edges are written `a>b>c, d>e`."""
    found = {
        "input": nir.Input(np.array(shape)),
        **nodes,
        "output": nir.Output(np.array([outputs])),
    }
    pairs: list[tuple[str, str]] = []
    for chain in edges.split(","):
        names = [name.strip() for name in chain.split(">")]
        pairs += pairwise(names)
    return nir.NIRGraph(found, pairs, type_check=False)


def chain() -> nir.NIRGraph:
    """Two layers for 64 features and 10 classes."""
    return graph_of_nodes(
        [64],
        10,
        "input>fc1>lif1>fc2>lif2>output",
        fc1=nir.Affine(weights(0, 30, 64, scale=0.2), np.full(30, 0.02, np.float32)),
        lif1=lif(30),
        fc2=nir.Linear(weights(1, 10, 30, scale=0.3)),
        lif2=lif(10),
    )


def recurrent() -> nir.NIRGraph:
    """Neurons that read their own spikes through weights with a bias."""
    return graph_of_nodes(
        [6],
        3,
        "input>fc>lif>out>output, lif>own>lif",
        fc=nir.Linear(weights(0, 8, 6)),
        lif=lif(8),
        own=nir.Affine(weights(1, 8, 8), np.full(8, 0.3, np.float32)),
        out=nir.Linear(weights(2, 3, 8)),
    )


def two_populations() -> nir.NIRGraph:
    """A loop through two layers of neurons."""
    return graph_of_nodes(
        [6],
        3,
        "input>fc>e>out>output, e>ei>i>ie>e",
        fc=nir.Linear(weights(0, 8, 6)),
        e=lif(8),
        ei=nir.Linear(weights(1, 4, 8)),
        i=lif(4),
        ie=nir.Linear(-np.abs(weights(2, 8, 4))),
        out=nir.Linear(weights(3, 3, 8)),
    )


def network(
    graph: nir.NIRGraph, *, steps: int = STEPS, dt: float = 1e-4, **options: Any
) -> SpikingNetwork:
    """A graph as a network of series, in evaluation mode."""
    found = describe(graph)
    shape = found.in_shape if len(found.in_shape) in (1, 3) else (int(np.prod(found.in_shape)),)
    outputs = int(np.prod(graph.nodes["output"].output_type["output"]))
    model = create_model(
        "nir",
        in_shape=shape,
        classes=outputs,
        sample={"kind": "series", "shape": list(shape), "steps": steps},
        coding="given",
        steps=steps,
        nodes=found.nodes,
        edges=found.edges,
        dt=dt,
        **options,
    )
    inner = graph_of(model)
    assert inner is not None
    found.give(inner)
    return model.eval()
