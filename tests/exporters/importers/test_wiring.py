"""What nirtorch does with loops, step by step, as our functions say it."""

import itertools

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.exporters.importers.features import FEATURES, FlatGraph
from asnn.exporters.importers.probes import probes
from asnn.exporters.importers.wiring import delayed_in_depth, depth_first, wired_by_list
from asnn.formats.execution_order import execution_order

KINDS = {"input": "Input", "fc": "Linear", "lif": "LIF", "w": "Linear", "output": "Output"}
EDGES = [("input", "fc"), ("fc", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "output")]


def test_a_recurrent_layer_is_delayed_alike_by_all():
    assert wired_by_list(KINDS, EDGES).delayed == {("w", "lif")}
    assert delayed_in_depth(KINDS, EDGES) == {("w", "lif")}
    assert depth_first(KINDS, EDGES) == [*KINDS]


def test_the_order_of_the_file_decides_what_importers_delay():
    """Feedback over two layers, with the second listed first: it does not wait for the first."""
    kinds = {"input": "Input", "b": "LIF", "w": "Linear", "a": "LIF", "output": "Output"}
    edges = [("input", "a"), ("a", "b"), ("b", "w"), ("w", "a"), ("w", "b"), ("b", "output")]
    assert execution_order(kinds, edges).delayed == {("w", "a"), ("w", "b")}
    assert wired_by_list(kinds, edges).delayed == {("a", "b"), ("w", "b")}
    listed = {name: kinds[name] for name in ("input", "a", "b", "w", "output")}
    assert wired_by_list(listed, edges).delayed == {("w", "a"), ("w", "b")}


def test_depth_first_runs_a_node_before_its_sources():
    kinds = dict.fromkeys(["input", "a", "b", "c", "output"], "Linear") | {"input": "Input"}
    edges = [("input", "a"), ("a", "c"), ("a", "b"), ("b", "c"), ("c", "output")]
    assert delayed_in_depth(kinds, edges) == {("b", "c")}
    assert execution_order(kinds, edges).delayed == set()


def test_a_node_waits_for_one_that_waits():
    kinds = dict.fromkeys(["input", "b", "a", "c"], "Linear") | {"input": "Input"}
    edges = [("input", "a"), ("a", "b"), ("b", "c")]
    assert wired_by_list(kinds, edges).waited == {"b", "c"}


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_graphs_without_loops_have_no_delays(data):
    names = [f"n{i}" for i in range(6)]
    pairs = st.sampled_from(list(itertools.combinations(names, 2)))
    edges = [*data.draw(st.lists(pairs, unique=True)), ("input", "n0")]
    listed = data.draw(st.permutations(names))
    kinds = {"input": "Input", **dict.fromkeys(listed, "Linear")}
    assert wired_by_list(kinds, edges).delayed == set()


def test_every_probe_has_its_feature():
    for probe in probes():
        kinds = FlatGraph(probe.graph).kinds.values()
        feature = FEATURES.get(probe.feature)
        has = (
            probe.feature in kinds
            if feature is None
            else any(feature.found(FlatGraph(probe.graph)))
        )
        assert has, probe.feature


def test_the_plainest_graphs_have_no_feature():
    plain = [each for each in probes() if each.feature in ("Linear", "LIF", "CubaLIF", "Conv2d")]
    for probe in plain:
        found = [word for each in FEATURES.values() for word in each.found(FlatGraph(probe.graph))]
        assert not found
    with pytest.raises(AssertionError):
        # negative control
        for probe in probes():
            graph = FlatGraph(probe.graph)
            assert not [word for each in FEATURES.values() for word in each.found(graph)]


def test_nested_graphs_are_looked_into():
    inner = next(each.graph for each in probes() if each.feature == "LIF with several τ")
    ends = {
        "input": nir.Input({"input": np.array([4])}),
        "end": nir.Output({"output": np.array([4])}),
    }
    edges = [("input", "rnn"), ("rnn", "end")]
    flat = FlatGraph(nir.NIRGraph({**ends, "rnn": inner}, edges, type_check=False))
    assert [*FEATURES["nested graphs"].found(flat)] == ["nested graphs"]
    assert [*FEATURES["LIF with several τ"].found(flat)] == ["LIF 'rnn.node0' with several τ"]
