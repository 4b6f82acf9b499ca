"""Which importer runs which NIR file exactly, as measured by running them.

`asnn export --target NAME` refuses a file that the importer would misread. These facts are from
the table in docs/conformance.md, which names the command that measures it again.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np

from ...core.errors import ConfigError
from ...core.registry import unknown
from .nodes import DT

PARTS = (
    *(nir.Input, nir.Output, nir.Affine, nir.Linear, nir.Conv2d, nir.SumPool2d, nir.Flatten),
    *(nir.LIF, nir.CubaLIF),
)


@dataclass(frozen=True)
class Target:
    """An importer of NIR.

    Attributes:
        version: of the importer that was measured.
        reads: node types that it reads.
        unrolled: whether it correctly runs a graph with several paths between two nodes.
        any_r: whether it applies the factor r of a neuron's input.
        uneven: whether the neurons of a layer may differ in time constant and threshold.
        min_tau: time constants must be above this, in steps.
    """

    version: str
    reads: tuple[type, ...]
    unrolled: bool = True
    any_r: bool = True
    uneven: bool = False
    min_tau: float = 0.0


TARGETS = {
    # It reads a nested graph as a recurrent layer.
    "snntorch": Target("1.0.0", (*PARTS, nir.AvgPool2d, nir.NIRGraph)),
    "spikingjelly": Target("2.0.0", (*PARTS, nir.AvgPool2d, nir.Conv1d, nir.IF), min_tau=1.0),
    "norse": Target("1.1.0", (*PARTS, nir.IF), unrolled=False, any_r=False, uneven=True),
}


def find_target(name: str) -> Target:
    """Return a target by name.

    Raises:
        ConfigError: there is no target of that name.
    """
    if name not in TARGETS:
        raise unknown("target", name, list(TARGETS))
    return TARGETS[name]


def problems(graph: nir.NIRGraph, target: Target) -> list[str]:
    """Return the reasons why an importer would not run a graph exactly; empty if it would."""
    found = []
    kinds = {type(node) for node in graph.nodes.values()}
    unread = sorted(kind.__name__ for kind in kinds if kind not in target.reads)
    if unread:
        found.append(f"it does not read {', '.join(unread)}")
    sources = [source for source, _ in graph.edges]
    if not target.unrolled and len(sources) != len(set(sources)):
        found.append("it runs nodes depth first, which is wrong where paths part and meet again")
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Conv2d) and int(node.groups) != 1:
            found.append(f"convolution {name!r} has groups")
        elif isinstance(node, nir.Flatten) and node.start_dim >= 0:
            found.append(f"{name!r} counts its axes from the front, where it counts the batch")
        elif isinstance(node, nir.SumPool2d) and np.any(node.padding):
            found.append(f"the padding of sum-pool {name!r} would be ignored")
        elif isinstance(node, nir.LIF):
            found += [f"neuron {name!r} {why}" for why in _problems_of_neuron(node, target)]
    return list(dict.fromkeys(found))


def _problems_of_neuron(node: nir.LIF, target: Target) -> list[str]:
    found = []
    if not target.uneven and np.unique(node.tau).size > 1:
        found.append("has several time constants")
    if not target.uneven and np.unique(node.v_threshold).size > 1:
        found.append("has several thresholds")
    if not target.any_r and not np.allclose(node.r, 1):
        found.append("has r other than 1, which it ignores")
    if np.any(node.v_leak) or np.any(node.v_reset):
        found.append("rests at or resets to another value than 0")
    if not (node.tau > target.min_tau * DT).all():
        found.append("has a time constant of one step or less")
    return found


def check_target(graph: nir.NIRGraph, name: str) -> None:
    """Refuse a graph that a target would not run exactly.

    Raises:
        ConfigError: the target is unknown, or would misread the graph.
    """
    target = find_target(name)
    found = problems(graph, target)
    if found:
        raise ConfigError(
            f"{name} {target.version} would not run this file exactly",
            why="\n".join(found[:5]),
            remedy="choose another --form or --target: docs/conformance.md lists which runs what",
        )
