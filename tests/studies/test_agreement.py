"""Random NIR graphs: importers agree with our interpreter wherever their facts say so."""

from collections import Counter
from dataclasses import replace

import nir
import numpy as np
import pytest
from hypothesis import given, settings

from asnn.exporters.importers import measure
from asnn.exporters.importers.features import FlatGraph
from asnn.exporters.nir import targets
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.verification.simulators import SIMULATORS
from studies import agreement
from studies.agreement import Disagreement, compare, disagreements
from studies.random_nir import nir_graphs


@settings(deadline=None, max_examples=40)
@given(nir_graphs())
def test_random_graphs_are_graphs(graph):
    """Their edges join nodes that there are, and all nodes lead to the output."""
    flat = FlatGraph(graph)
    assert {name for edge in flat.edges for name in edge} == set(flat.nodes)
    assert (
        list(flat.kinds.values()).count("Input") == list(flat.kinds.values()).count("Output") == 1
    )


@pytest.mark.slow
def test_importers_agree_where_their_facts_say_so():
    if any(each.version is None for each in SIMULATORS.values()):
        pytest.skip("an importer is not installed")
    done = compare(40, seed=3)
    assert all(done[name] > 5 for name in SIMULATORS), done
    assert done["with loops"] > 5


@pytest.mark.slow
def test_another_neuron_is_found(monkeypatch):
    """Negative control: an interpreter that doubles the input of LIF neurons."""
    if SIMULATORS["norse"].version is None:
        pytest.skip("norse is not installed")

    def wrong(graph, steps):
        nodes = {
            name: replace(node, r=2 * node.r) if isinstance(node, nir.LIF) else node
            for name, node in graph.nodes.items()
        }
        return run_nir(nir.NIRGraph(nodes, graph.edges, type_check=False), steps)

    monkeypatch.setattr(measure, "run_nir", wrong)
    monkeypatch.setattr(agreement, "TARGETS", {"norse": targets.TARGETS["norse"]})
    with pytest.raises(Disagreement, match="norse: wrong by"):
        compare(60, seed=0)


def test_graphs_that_nothing_can_run_are_counted():
    done = Counter()
    import nir

    ends = {
        "input": nir.Input({"input": np.array([2])}),
        "output": nir.Output({"output": np.array([2])}),
    }
    nodes = {**ends, "a": nir.Linear(np.eye(2, dtype=np.float32))}
    edges = [("input", "a"), ("a", "a"), ("a", "output")]
    assert disagreements(nir.NIRGraph(nodes, edges, type_check=False), done) == []
    assert done == {"refused by asnn": 1}
