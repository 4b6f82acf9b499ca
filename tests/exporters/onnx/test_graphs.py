"""Random graphs of all nodes: every ONNX form computes what the interpreter does."""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from asnn.exporters.graph import ir as g
from asnn.exporters.graph.interpreter import run
from tests.support.onnx_forms import FORMS, assert_every_form, graph_of, logits_in
from tests.support.random_graphs import T, graphs

EXAMPLES = 10_000 if os.environ.get("ASNN_LONG") == "1" else 40
CLEAR = 1e-3  # of all membranes to their thresholds, so that rounding flips none


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(
    max_examples=EXAMPLES, deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)  # fmt: skip
@given(graphs(), st.integers(0, 999), st.sampled_from([0.3, 1.0]))
def test_every_form_computes_what_the_interpreter_does(graph, seed, rate):
    assume(graph.nodes)
    graph = graph_of(*graph.nodes, in_shape=graph.in_shape, steps=T, static=graph.static)
    random = np.random.default_rng(seed)
    code = (
        random.uniform(-1, 2, (T, 2, *graph.in_shape))
        * (random.random(T)[:, None, None] < rate)[(..., *[None] * (len(graph.in_shape) - 1))]
    )
    code = code.astype(np.float32)
    if graph.static:
        code = np.ascontiguousarray(np.broadcast_to(np.abs(code[:1]) % 1, code.shape))
    trace = run(graph, code)
    assume(all(np.abs(each).min(initial=np.inf) > CLEAR for each in trace.distances.values()))
    scale = max(1.0, float(np.abs(trace.logits).max()))
    for form in FORMS:
        found, _ = logits_in(graph, code, form)
        np.testing.assert_allclose(found / scale, trace.logits / scale, atol=1e-5, err_msg=form)


def fields(**changes):
    level = np.full((T, 1), 0.5, np.float32)
    return {"leak": level, "gain": 2 * level, "threshold": level, "size": level} | changes


@pytest.mark.parametrize("reader", ["conv", "pool"])
def test_zeros_around_spikes_that_recurrent_weights_read(reader):
    """onnxruntime fuses a Pad into what reads it, and does not load the step if it is a state."""
    ones = np.ones((2, 2, 1, 3), np.float32)
    at = {"name": "last", "inputs": ("padded",)}
    zeros = (np.zeros(2, np.float32),)
    last = {
        "conv": g.Conv(**at, weights=(ones,), biases=zeros, of_step=(0,) * T),
        "pool": g.Pool(**at, kind="average", kernel=(2, 2), stride=(1, 1)),
    }[reader]
    nodes = (
        g.Neuron(name="n", inputs=(g.INPUT,), **fields(), recurrent=ones / 4),
        g.Pad(name="padded", inputs=("n",), before=(0, 0), behind=(0, 1)),
        last,
    )
    graph = graph_of(*nodes, in_shape=(2, 4, 5), steps=T)
    code = np.random.default_rng(0).random((T, 2, 2, 4, 5), np.float32)
    assert_every_form(graph, code, run(graph, code).logits)


def test_several_spikes_a_step_of_a_size_that_changes():
    sizes = np.array([[0.5], [0.7], [0.2]], np.float32)
    node = g.Neuron(name="n", inputs=(g.INPUT,), **fields(size=sizes), most=3)
    graph = graph_of(node, in_shape=(4,), steps=T)
    code = 4 * np.random.default_rng(0).random((T, 2, 4), np.float32)
    assert run(graph, code).logits.max() == 3
    assert_every_form(graph, code, run(graph, code).logits, atol=0)


def test_negative_control_a_changed_node_is_found():
    node = g.Neuron(name="n", inputs=(g.INPUT,), **fields())
    graph = graph_of(node, in_shape=(4,))
    code = np.random.default_rng(0).random((T, 2, 4), np.float32)
    found, _ = logits_in(graph, code, "sequence")
    other = graph.with_nodes({"n": replace(node, size=2 * node.size)})
    np.testing.assert_array_equal(found, run(graph, code).logits)
    assert (found != run(other, code).logits).any()
