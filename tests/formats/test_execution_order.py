"""The order of NIR nodes: every loop takes one step, wherever the file lists its edges."""

import itertools

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asnn.core.errors import DataError
from asnn.formats.execution_order import execution_order, flattened

KINDS = {"in": "Input", "fc": "Linear", "lif": "LIF", "w": "Affine", "out": "Output"}
EDGES = [("in", "fc"), ("fc", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "out")]


def test_the_edge_back_to_the_neuron_is_delayed_in_any_order_of_the_file():
    for edges in itertools.permutations(EDGES):
        found = execution_order(KINDS, edges)
        assert found.delayed == {("w", "lif")}
        assert [name for name in found.order if name not in ("w", "out")] == ["in", "fc", "lif"]


def test_a_loop_is_delayed_where_it_is_entered():
    """Recurrent weights that the input enters too: the edge from the neuron is delayed."""
    edges = [("in", "w"), ("w", "lif"), ("lif", "w"), ("lif", "out")]
    kinds = {name: KINDS[name] for name in ("out", "lif", "w", "in")}
    assert execution_order(kinds, edges).delayed == {("lif", "w")}


def test_a_neuron_that_reads_itself():
    kinds = {"in": "Input", "lif": "IF", "out": "Output"}
    edges = [("in", "lif"), ("lif", "lif"), ("lif", "out")]
    assert execution_order(kinds, edges) == (["in", "lif", "out"], {("lif", "lif")})


@given(st.integers(1, 8), st.data())
def test_every_edge_that_is_not_delayed_runs_forward(size, data):
    names = [f"n{i}" for i in range(size)]
    pairs = st.sampled_from(list(itertools.product(names, names)))
    edges = data.draw(st.lists(pairs, unique=True, max_size=20))
    kinds = {"in": "Input", **dict.fromkeys(names, "LIF")}
    edges = [("in", "n0"), *edges]
    order, delayed = execution_order(kinds, edges)
    place = {name: i for i, name in enumerate(order)}
    assert sorted(order) == sorted(kinds)
    for source, target in edges:
        assert (place[source] < place[target]) == ((source, target) not in delayed)
    forward = is_acyclic(kinds, [edge for edge in edges if edge not in delayed])
    assert forward
    if is_acyclic(kinds, edges):
        assert not delayed


def is_acyclic(kinds, edges):
    """Whether removing nodes without in-edges, again and again, leaves none."""
    left = set(kinds)
    while True:
        free = {n for n in left if not any(b == n and a in left for a, b in edges)}
        if not free:
            return not left
        left -= free


def test_a_loop_without_a_neuron_is_refused():
    kinds = {"in": "Input", "a": "Linear", "b": "Scale", "lif": "LIF", "out": "Output"}
    edges = [("in", "a"), ("a", "b"), ("b", "a"), ("b", "lif"), ("lif", "out")]
    with pytest.raises(DataError, match="has a loop without a neuron: a → b → a") as error:
        execution_order(kinds, edges)
    assert "an equation to solve at every step" in error.value.why
    assert execution_order({**kinds, "b": "Delay"}, edges).delayed == {("b", "a")}


def test_a_long_graph_needs_no_deep_stack():
    names = [f"n{i}" for i in range(20_000)]
    kinds = dict.fromkeys(names, "LIF")
    assert execution_order(kinds, list(itertools.pairwise(names))).order == names


def node():
    return nir.Linear(np.eye(2, dtype=np.float32))


def graph(nodes, edges):
    ends = {
        "input": nir.Input({"input": np.array([2])}),
        "output": nir.Output({"output": np.array([2])}),
    }
    return nir.NIRGraph({**ends, **nodes}, edges, type_check=False)


def test_nested_graphs_become_flat():
    innermost = graph({"a": node()}, [("input", "a"), ("a", "output")])
    inner = graph(
        {"deep": innermost, "b": node()},
        [("input", "deep"), ("deep", "b"), ("b", "deep"), ("deep", "output")],
    )
    outer = graph(
        {"c": node(), "rnn": inner, "d": node()},
        [("input", "c"), ("c", "rnn"), ("rnn", "d"), ("d", "output"), ("rnn", "output")],
    )
    flat = flattened(outer)
    assert set(flat.nodes) == {"input", "output", "c", "d", "rnn.b", "rnn.deep.a"}
    assert set(flat.edges) == {
        ("input", "c"),
        ("c", "rnn.deep.a"),
        ("rnn.deep.a", "rnn.b"),
        ("rnn.b", "rnn.deep.a"),
        ("rnn.deep.a", "d"),
        ("rnn.deep.a", "output"),
        ("d", "output"),
    }


def test_nested_graphs_that_are_not_clear_are_refused():
    inner = graph({"more": nir.Input({"input": np.array([2])})}, [("input", "output")])
    with pytest.raises(DataError, match="'rnn' has 2 nodes of the type Input"):
        flattened(graph({"rnn": inner}, [("input", "rnn"), ("rnn", "output")]))
    through = graph({}, [("input", "output")])
    edges = [("input", "rnn"), ("rnn", "output"), ("input", "output")]
    with pytest.raises(DataError, match="would join the same two nodes"):
        flattened(graph({"rnn": through}, edges))
    same = graph({"a": node()}, [("input", "a"), ("a", "output")])
    with pytest.raises(DataError, match="two nodes of the NIR graph have the name 'rnn.a'"):
        flattened(graph({"rnn": same, "rnn.a": node()}, [("input", "rnn"), ("rnn", "output")]))
