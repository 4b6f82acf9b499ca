"""Whether our interpreter of NIR and other importers agree on random graphs, wherever the recorded
facts say that they do.

    python -m studies.agreement [--graphs 10000] [--seed 0]

Each graph is written to a file. Every importer for which `targets.problems` finds nothing reads and
runs it on random input. A difference counts if it is there for another input too: a membrane that
rounding puts on the other side of a threshold is not a fact of an importer. The smallest graph of
a difference is printed; then the facts need another feature.
"""

from __future__ import annotations

import argparse
from collections import Counter

import hypothesis
import nir
import numpy as np
from hypothesis import HealthCheck, Phase

from asnn.core.errors import DataError
from asnn.exporters.importers.facts import EXACT
from asnn.exporters.importers.measure import measure
from asnn.exporters.importers.probes import Probe, noise
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.targets import TARGETS, problems
from asnn.exporters.verification.simulators import SIMULATORS

from .random_nir import nir_graphs


class Disagreement(AssertionError):
    """An importer computes something else, though its facts say that it is exact."""


def disagreements(graph: nir.NIRGraph, done: Counter[str]) -> list[str]:
    """Return the importers that compute something else than ours, against their facts.

    Args:
        graph: to run.
        done: counts the graphs that an importer ran, and those that our interpreter refuses.
    """
    shape = tuple(graph.nodes["input"].output_type["output"])
    inputs = [noise(*shape, seed=seed) - np.float32(0.7) for seed in (1, 2)]
    try:
        run_nir(graph, inputs[0][:1])
    except DataError:
        done["refused by asnn"] += 1
        return []
    done["run by asnn"] += 1
    done["with loops"] += bool(_loops(graph))
    found = []
    for name, target in TARGETS.items():
        if problems(graph, target):
            continue
        outcomes = [measure(SIMULATORS[name], Probe("", graph, x)) for x in inputs]
        done[name] += 1
        if EXACT not in outcomes:
            found.append(f"{name}: {outcomes[0]}")
    return found


def _loops(graph: nir.NIRGraph) -> frozenset[tuple[str, str]]:
    from asnn.exporters.importers.features import FlatGraph

    return FlatGraph(graph).delayed


def compare(graphs: int, seed: int) -> Counter[str]:
    """Compare so many random graphs.

    Raises:
        Disagreement: names the importer, with the smallest graph found.
    """
    done: Counter[str] = Counter()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=graphs,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        phases=[Phase.generate, Phase.shrink],
    )
    @hypothesis.given(nir_graphs())
    def check(graph: nir.NIRGraph) -> None:
        found = disagreements(graph, done)
        if found:
            raise Disagreement("\n".join([*found, *_shown(graph)]))

    check()
    return done


def _shown(graph: nir.NIRGraph) -> list[str]:
    """Return the nodes and edges of a graph, one a line."""
    lines = []
    for name, node in graph.nodes.items():
        fields = {k: v for k, v in vars(node).items() if k not in ("weight", "metadata")}
        lines.append(f"  {name}: {type(node).__name__} {fields}")
    return [*lines, "  " + ", ".join(f"{a} → {b}" for a, b in graph.edges)]


def main() -> None:
    """Print what was compared, or the smallest graph on which an importer disagrees."""
    parser = argparse.ArgumentParser(prog="python -m studies.agreement")
    parser.add_argument("--graphs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for what, number in compare(options.graphs, options.seed).items():
        print(f"{what}: {number:,} graphs")


if __name__ == "__main__":
    main()
