"""Random graphs: a NIR file that is written computes what the graph does, in every form."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from asnn.core.errors import ConfigError
from asnn.exporters.graph import ir as g
from asnn.exporters.graph.answer import Answer
from asnn.exporters.graph.interpreter import run
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.layers import refuse_unwritten
from asnn.exporters.nir.lif import build_lif
from asnn.exporters.nir.unrolled import answer_of, input_of, unroll
from tests.support import random_graphs as r

FORMS = ("lif", "portable", "pure")
CLEAR = 1e-3  # of all membranes to their thresholds, so that rounding flips none


def constant_neuron(m, at, shape):
    """A neuron that one LIF, IF or CubaLIF node computes, or resets by subtraction."""
    node = r.neuron(m, at, shape)
    leak = np.full_like(node.leak, m.draw(st.sampled_from([0.0, 0.6, 0.9, 1.0])))
    parts = {
        key: np.repeat(getattr(node, key)[:1], r.T, 0) for key in ("gain", "threshold", "size")
    }
    reset = m.draw(st.sampled_from(["zero", "zero", "subtract"]))
    synapse = node.synapse is not None and m.uniform(0, 0.9, 1)
    return replace(
        node, **parts, leak=leak, reset=reset, most=1, once=False,
        synapse=None if synapse is False else synapse,
    )  # fmt: skip


@st.composite
def graphs(draw):
    """A graph of the nodes that NIR can write, whose answer is that of the last step."""
    m = r.Maker(draw, draw(st.integers(0, 2**16)))
    varies = draw(st.booleans())
    shape = draw(st.sampled_from([(4,), (2, 4, 5)]))
    found, graph, last = [], g.Graph((), shape, r.T), g.INPUT
    for i in range(draw(st.integers(1, 6))):
        now = graph.shapes[last]
        others = [name for name, each in graph.shapes.items() if each == now]
        of_shape = [r.linear] if len(now) == 1 else [r.conv, r.pool, r.plain(g.Flatten)]
        either = r.neuron if varies else constant_neuron
        kinds = [*of_shape, *of_shape, either, either, r.filtered, r.scale]
        kind, name = draw(st.integers(0, len(kinds) + 1)), f"n{i}"
        if kind < len(kinds):
            node = kinds[kind](m, {"name": name, "inputs": (last,)}, now)
        else:
            join = [g.Add, g.Concat][kind - len(kinds)]
            node = join(name=name, inputs=(last, draw(st.sampled_from(others))))
        if isinstance(node, g.Affine | g.Filter | g.ChannelScale) and not varies:
            node = constant(node)
        try:
            graph = g.Graph((*found, node), shape, r.T, answer=Answer("last"))
            assert graph.shapes
            refuse_unwritten(graph)
        except ConfigError:  # of an image smaller than the kernel, or of a pool
            graph = g.Graph(tuple(found), shape, r.T, answer=Answer("last"))
            continue
        found.append(node)
        last = name
    return graph


def constant(node):
    if isinstance(node, g.Affine):
        return replace(node, of_step=(0,) * r.T)
    if isinstance(node, g.Filter):
        return replace(node, start=None)
    first = {key: np.repeat(getattr(node, key)[:1], r.T, 0) for key in ("factor", "offset")}
    return replace(node, **first)


def logits_in(graph, code, form):
    """The logits of the last step from the nodes of a form; None if it has none."""
    try:
        if form == "lif":
            return run_nir(build_lif(graph, {}), code)["output"][-1]
        made = unroll(graph, form, {})
    except ConfigError:
        return None
    return answer_of(graph, run_nir(made, input_of(graph, code)[None])["output"][0])


def check(graph, seed):
    """Return the number of forms that have the network, and compare them; None near thresholds."""
    code = np.random.default_rng(seed).uniform(-1, 2, (r.T, 3, *graph.in_shape))
    code = code.astype(np.float32)
    trace = run(graph, code)
    if any(np.abs(each).min(initial=np.inf) < CLEAR for each in trace.distances.values()):
        return None
    expected = trace.logits[-1]
    scale = max(1.0, float(np.abs(expected).max()))
    written = 0
    for form in FORMS:
        found = logits_in(graph, code, form)
        if found is not None:
            written += 1
            np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5, err_msg=form)
    return written


@pytest.mark.slow
@settings(
    max_examples=150, deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)  # fmt: skip
@given(graphs(), st.integers(0, 999))
def test_every_form_computes_what_the_interpreter_does(graph, seed):
    assume(graph.nodes)
    assume(check(graph, seed) is not None)


def test_values_side_by_side_may_be_the_answer():
    node = g.Concat(name="both", inputs=(g.INPUT, g.INPUT))
    graph = g.Graph((node,), (3,), r.T, answer=Answer("last"))
    assert check(graph, 0) == len(FORMS)


def test_negative_control_a_changed_neuron_is_found(monkeypatch):
    level = np.full((r.T, 1), 0.5, np.float32)
    fields = {"leak": level, "gain": 2 * level, "threshold": level, "size": level}
    node = g.Neuron(name="n", inputs=(g.INPUT,), reset="subtract", **fields)
    graph = g.Graph((node,), (4,), r.T, answer=Answer("last"))
    assert check(graph, 0) == 2  # unrolled
    other = graph.with_nodes({"n": replace(node, gain=level / 2)})
    write = unroll
    monkeypatch.setattr(f"{__name__}.unroll", lambda _, *rest: write(other, *rest))
    with pytest.raises(AssertionError):
        check(graph, 0)
