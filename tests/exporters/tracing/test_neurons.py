"""Neurons of snnTorch as nodes of the graph, compared with snnTorch itself."""

from dataclasses import replace

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from snntorch import surrogate
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters.graph import ir as g
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.quantisation import with_rounded_weights
from asnn.exporters.snntorch.layers import over_steps
from asnn.exporters.snntorch.module import source_of_module
from asnn.exporters.tracing.neurons import has_condition, nodes_of, violates_condition
from asnn.exporters.verification.margins import MARGIN, margin_of, received
from tests.support.onnx_forms import assert_every_form

T, B, C = 8, 6, 4
SHAPES = {"features": (C,), "image": (C, 3, 5), "series": (C, 6)}


def neuron(
    kind, reset="subtract", delay=True, *, seed=0, shape=(C,), own="none", pixels=False, **options
):
    """A neuron of snnTorch with random parameters of each channel, or of each value."""
    torch.manual_seed(seed)
    axes = shape if pixels else (C, *[1] * (len(shape) - 1))
    given = {"threshold": 0.3 + torch.rand(axes), "beta": torch.rand(axes)}
    if kind in ("Synaptic", "RSynaptic"):
        given["alpha"] = torch.rand(axes)
    if kind == "Alpha":
        given["beta"] *= 0.8
        given["alpha"] = given["beta"] + 0.2 * torch.rand(axes) + 0.01
    if kind == "Lapicque":
        given |= {"beta": False, "R": torch.tensor(1.5), "C": torch.tensor(1.7), "time_step": 0.8}
    if kind in ("Leaky", "Synaptic", "RLeaky"):
        given["reset_delay"] = delay
    if kind in ("RLeaky", "RSynaptic"):
        if own == "all" and len(shape) == 1:
            given["linear_features"] = C
        elif own == "all":
            given |= {"conv2d_channels": C, "kernel_size": (3, 1)}
        else:
            given |= {"all_to_all": False, "V": torch.randn(axes)}
    found = getattr(snn, kind)(**(given | {"reset_mechanism": reset} | options))
    return found.eval()


def weights(shape, seed=0, size=0.5):
    """Recurrent weights around a neuron, and what they make of spikes."""
    torch.manual_seed(seed)
    if len(shape) == 1:
        weight = size * torch.randn(C, C)
        return weight.numpy(), lambda s: s @ weight.T
    weight = size * torch.randn(C, C, 3, 3)
    return weight.numpy(), lambda s: F.conv2d(s, weight, padding=1)


def in_snntorch(part, x, feed=None):
    """Spikes and membranes of each step, and whether the condition of the neuron was violated.

    The loop passes its states on, as users write it.
    """
    states = [torch.zeros_like(x[0])] * {
        snn.Leaky: 1, snn.Lapicque: 1, snn.Synaptic: 2, snn.RLeaky: 2, snn.Alpha: 3,
        snn.RSynaptic: 3,
    }[type(part)]  # fmt: skip
    recurrent = isinstance(part, snn.RLeaky | snn.RSynaptic)
    spikes, membranes, violated = [], [], False
    fired = torch.zeros_like(x[0])
    with torch.no_grad():
        for x_t in x:
            current = x_t if feed is None else x_t + feed(fired)
            violated |= has_condition(part) and violates_condition(part, current)
            fired, *after = part(current, *states)
            states = [fired, *after] if recurrent else after
            spikes.append(fired)
            membranes.append(after[-1])
    return torch.stack(spikes).numpy(), torch.stack(membranes).numpy(), violated


def inputs(shape, seed=0, size=1.2):
    torch.manual_seed(seed + 100)
    return size * (torch.randn(T, B, *shape) + 0.3)


def graph_of(part, shape, **options):
    nodes = nodes_of("n", "net.n", g.INPUT, part, shape, **options)
    assert nodes[-1].name == "n" and len({node.name for node in nodes}) == len(nodes)
    return g.Graph(tuple(over_steps(node, T) for node in nodes), shape, T)


@st.composite
def cases(draw):
    """A neuron with the shape of its samples and recurrent weights around it, or None."""
    kind = draw(st.sampled_from(["Leaky", "Lapicque", "Synaptic", "Alpha", "RLeaky", "RSynaptic"]))
    shape = SHAPES[draw(st.sampled_from(sorted(SHAPES)))]
    own = draw(st.sampled_from(["none", "all"]))
    assume(own == "none" or len(shape) != 2)
    around = draw(st.booleans()) and len(shape) != 2
    # Two recurrences of one neuron have weights of one shape.
    around = around and not (own == "all" and len(shape) == 3)
    reset, delay = draw(st.sampled_from(["subtract", "zero", "none"])), draw(st.booleans())
    options = {"seed": draw(st.integers(0, 99)), "own": own, "pixels": draw(st.booleans())}
    return neuron(kind, reset, delay, shape=shape, **options), shape, around


@settings(max_examples=80, deadline=None)
@given(cases(), st.integers(0, 99))
def test_spikes_and_membranes_are_those_of_snntorch(case, seed):
    part, shape, around = case
    weight, feed = weights(shape, seed) if around else (None, None)
    x = inputs(shape, seed)
    spikes, membranes, violated = in_snntorch(part, x, feed)
    assume(not violated)
    graph = graph_of(part, shape, recurrent=weight, membrane=True)
    trace = run(graph, x.numpy())
    distance = np.abs(trace.distances["n.spikes"]).min()
    assume(distance > 1e-4)  # rounding may flip the spikes of other membranes
    np.testing.assert_array_equal(trace.values["n.spikes"], spikes)
    scale = max(1.0, np.abs(membranes).max())
    np.testing.assert_allclose(trace.values["n"] / scale, membranes / scale, atol=1e-5)
    found = run(graph_of(part, shape, recurrent=weight), x.numpy()).values["n"]
    np.testing.assert_array_equal(found, spikes)


EVERY = [
    ("Leaky", "subtract", "none"), ("Leaky", "none", "none"), ("Lapicque", "zero", "none"),
    ("Synaptic", "subtract", "none"), ("Synaptic", "zero", "none"), ("Alpha", "subtract", "none"),
    ("Alpha", "zero", "none"), ("RLeaky", "subtract", "all"), ("RLeaky", "zero", "none"),
    ("RSynaptic", "subtract", "all"), ("RSynaptic", "zero", "all"), ("RSynaptic", "none", "none"),
]  # fmt: skip


def flat_graph(part, shape, **options):
    """The graph with a sum of every neuron's value at the end."""
    graph = graph_of(part, shape, **options)
    if len(shape) == 1:
        return graph
    return replace(graph, nodes=(*graph.nodes, g.Flatten(name="flat", inputs=("n",))))


@pytest.mark.parametrize("membrane", [False, True])
@pytest.mark.parametrize(("kind", "reset", "own"), EVERY)
@pytest.mark.parametrize("shape", ["features", "image"])
def test_every_form_of_onnx(kind, reset, own, membrane, shape):
    shape = SHAPES[shape]
    part, x = neuron(kind, reset, shape=shape, own=own), inputs(shape)
    spikes, membranes, _ = in_snntorch(part, x)
    assert 0.02 < spikes.mean() < 0.9
    graph = flat_graph(part, shape, membrane=membrane)
    expected = (membranes if membrane else spikes).reshape(T, B, -1)
    assert_every_form(graph, x.numpy(), expected)


@pytest.mark.parametrize("weights_in", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "Alpha"])
@pytest.mark.parametrize("shape", ["features", "image"])
def test_recurrences_around_neurons_in_onnx(kind, shape, weights_in):
    shape = SHAPES[shape]
    weight, feed = weights(shape, size=0.2)
    part, x = neuron(kind, shape=shape), inputs(shape)
    spikes, membranes, _ = in_snntorch(part, x, feed)
    assert 0.02 < spikes.mean() < 0.9
    graph = flat_graph(part, shape, recurrent=weight, membrane=True)
    if weights_in == "fp32":
        expected = membranes.reshape(T, B, -1)
    else:
        rounded = with_rounded_weights(graph, weights_in)
        expected = run(rounded, x.numpy()).logits
        assert np.abs(expected - membranes.reshape(T, B, -1)).max() > 1e-5
    assert_every_form(graph, x.numpy(), expected, weights=weights_in)


def test_recurrent_weights_are_read_from_the_second_step_on_and_their_bias_from_the_first():
    part = neuron("RLeaky", own="all", threshold=1e9)
    x = torch.zeros(T, B, C)
    membranes = run(graph_of(part, (C,), membrane=True), x.numpy()).values["n"]
    bias = part.recurrent.bias.detach().numpy()
    np.testing.assert_array_equal(membranes[0], np.broadcast_to(bias, (B, C)))


NODES = {
    ("Leaky", "subtract", True): ["Neuron"],
    ("Leaky", "zero", True): ["Neuron"],
    ("Lapicque", "subtract", True): ["Neuron"],
    ("Lapicque", "zero", True): ["Cell"],
    ("Synaptic", "subtract", True): ["Filter", "Neuron"],
    ("Synaptic", "zero", True): ["Filter", "Cell"],
    ("Synaptic", "zero", False): ["Filter", "Neuron"],
    ("Alpha", "none", True): ["Cell"],
    ("RLeaky", "subtract", True): ["Neuron"],
    ("RLeaky", "none", True): ["Neuron"],
    ("RLeaky", "zero", False): ["Cell"],
}


@pytest.mark.parametrize(("kind", "reset", "delay"), NODES)
def test_the_graphs_neuron_is_used_where_it_computes_the_same(kind, reset, delay):
    """NIR can express it, but not a `Cell`."""
    found = nodes_of("n", "n", g.INPUT, neuron(kind, reset, delay), (C,))
    assert [type(node).__name__ for node in found] == NODES[kind, reset, delay]


def test_parameters_of_each_pixel_are_those_of_a_cell():
    shape = SHAPES["image"]
    part, x = neuron("Synaptic", shape=shape, pixels=True), inputs(shape)
    graph = flat_graph(part, shape, membrane=True)
    assert [type(node).__name__ for node in graph.nodes] == ["Cell", "Dynamics", "Flatten"]
    _, membranes, _ = in_snntorch(part, x)
    assert_every_form(graph, x.numpy(), membranes.reshape(T, B, -1))


def test_spikes_fed_back_through_a_synapse_are_one_neuron():
    part = neuron("RSynaptic", own="all")
    bias, node = nodes_of("n", "n", g.INPUT, part, (C,))
    assert bias.name == "n.bias" and isinstance(node, g.Neuron)
    np.testing.assert_array_equal(node.recurrent, part.recurrent.weight.detach().numpy())
    np.testing.assert_array_equal(node.synapse, part.alpha.numpy())
    assert node.states == ("v", "s", "i")


def test_without_reset_a_membrane_is_a_filter_that_reads_no_spikes():
    spikes, found = nodes_of("n", "n", g.INPUT, neuron("Leaky", "none"), (C,), membrane=True)
    assert isinstance(found, g.Filter) and found.inputs == (g.INPUT,)
    assert spikes.name == "n.spikes"


@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "RLeaky"])
def test_negative_control_at_once_some_membranes_violate_the_condition_and_differ(kind):
    part, x = neuron(kind, "subtract", False), inputs((C,), size=3.0)
    spikes, _, violated = in_snntorch(part, x)
    assert violated
    assert (run(graph_of(part, (C,)), x.numpy()).values["n"] != spikes).any()


def test_negative_control_without_its_delay_a_reset_differs():
    x = inputs((C,))
    spikes = in_snntorch(neuron("Synaptic", "zero", True), x)[0]
    other = run(graph_of(neuron("Synaptic", "zero", False), (C,)), x.numpy()).values["n"]
    assert (other != spikes).any()


def test_recurrent_synapses_of_snntorch_have_no_reset_at_once():
    """snnTorch 1.0.0 computes it and returns the membrane from before."""
    x = inputs((C,))
    for reset in ("subtract", "zero"):
        found = [
            in_snntorch(neuron("RSynaptic", reset, reset_delay=delay), x) for delay in (True, False)
        ]
        np.testing.assert_array_equal(found[0][0], found[1][0])
        np.testing.assert_array_equal(found[0][1], found[1][1])
        graph = graph_of(neuron("RSynaptic", reset, reset_delay=False), (C,))
        np.testing.assert_array_equal(run(graph, x.numpy()).values["n"], found[1][0])


@pytest.mark.parametrize("factor", [0.25, torch.tensor([0.5, 1.0, 2.0, -1.0])])
@pytest.mark.parametrize("around", [False, True])
def test_graded_spikes_are_a_scale_behind_the_neuron(factor, around):
    part, x = neuron("Leaky", graded_spikes_factor=factor), inputs((C,))
    weight, feed = weights((C,)) if around else (None, None)
    spikes, membranes, _ = in_snntorch(part, x, feed)
    trace = run(graph_of(part, (C,), recurrent=weight), x.numpy())
    np.testing.assert_array_equal(trace.values["n"], spikes)
    np.testing.assert_array_equal(trace.values["n.spikes"], spikes != 0)
    trace = run(graph_of(part, (C,), recurrent=weight, membrane=True), x.numpy())
    np.testing.assert_allclose(trace.values["n"], membranes, atol=1e-5)


def test_the_margin_of_a_synapse_is_that_of_both_sums():
    part, x = neuron("RSynaptic", own="all", alpha=0.5, beta=0.75), inputs((C,))
    graph = graph_of(part, (C,))
    trace, node = run(graph, x.numpy()), graph.neurons[0]
    current, i = received(node, trace), 0.0
    spikes, before = trace.values["n"], trace.values["n.bias"]
    for t in range(T):
        i = 0.5 * i + before[t] + (spikes[t - 1] @ node.recurrent.T if t else 0)
        np.testing.assert_allclose(current[t], i, rtol=1e-5, atol=1e-6)
    growth = sum(0.75**t for t in range(T)) * sum(0.5**t for t in range(T))
    largest = np.maximum(1, np.abs(current).max((0, 2)))
    np.testing.assert_allclose(margin_of(node, current), MARGIN * growth * largest, rtol=1e-5)


class Halved(torch.nn.Module):
    def forward(self, x):
        return x / 2


def with_recurrence(layer):
    part = neuron("RLeaky", own="all")
    part.recurrent = layer
    return part


REFUSED = {
    "kind": (lambda: snn.SLSTM(C, C), (C,), "exports support Leaky, Lapicque, Synaptic", ""),
    "subclass": (
        lambda: type("Mine", (snn.Leaky,), {})(0.5), (C,), "exports support Leaky", "use one",
    ),
    "inhibition": (lambda: neuron("Synaptic", inhibition=True), (C,), "inhibition", "without it"),
    "quantised": (lambda: neuron("Alpha", state_quant=torch.round), (C,), "state_quant", "Alpha"),
    "surrogate": (
        lambda: neuron("RLeaky", spike_grad=torch.sigmoid), (C,), "spike_grad", "without it",
    ),
    "threshold": (
        lambda: neuron("Lapicque", threshold=-0.5), (C,), "its threshold is -0.5", "0 or more",
    ),
    "shape": (lambda: neuron("Synaptic", alpha=torch.rand(3)), (C,), "its alpha has the shape", ""),
    "pixels": (
        lambda: snn.Leaky(0.5, graded_spikes_factor=torch.rand(5)), (C, 3, 5),
        "graded_spikes_factor differs between pixels", "one for each channel",
    ),
    "linear of images": (
        lambda: neuron("RLeaky", beta=0.5, threshold=1.0, own="all"), (C, 3, C),
        "its recurrence is a Linear over samples", "a Conv2d with an odd kernel",
    ),
    "even kernel": (
        lambda: snn.RLeaky(0.5, conv2d_channels=C, kernel_size=2), (C, 4, 4), "is a Conv2d", "odd",
    ),
    "other layer": (lambda: with_recurrence(Halved()), (C,), "its recurrence is a Halved", ""),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Inhibition")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_exact_is_refused(name):
    make, shape, why, remedy = REFUSED[name]
    with pytest.raises(ConfigError) as refused:
        nodes_of("n", "net.n", g.INPUT, make(), shape)
    assert refused.value.what.startswith("layer 'net.n'")
    assert why in refused.value.why and remedy in refused.value.remedy


def test_two_recurrences_of_a_neuron_have_weights_of_one_shape():
    part = neuron("RLeaky", own="all", shape=SHAPES["image"])
    with pytest.raises(ConfigError, match="two recurrences"):
        nodes_of("n", "n", g.INPUT, part, SHAPES["image"], recurrent=np.ones((C, C, 5, 5)))


def test_a_surrogate_that_raises_is_refused_before_the_network_runs():
    """LSO of snnTorch 1.0.0 does, in any forward."""
    net = nn.Sequential(nn.Linear(3, C), neuron("Leaky", spike_grad=surrogate.LSO()))
    with pytest.raises(ConfigError, match=r"layer '1' \(Leaky\) cannot be exported") as refused:
        source_of_module(net, in_shape=(3,), steps=2)
    assert refused.value.why.startswith("its spike_grad fails: TypeError: Stochastic")
    assert "fast_sigmoid" in refused.value.remedy
