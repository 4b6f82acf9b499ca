"""The export graph computes the same as the network, or lowering refuses a layer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from asnn.core.errors import ConfigError
from asnn.exporters.graph.arrays import pool_of
from asnn.exporters.graph.images import convolve, pool
from asnn.exporters.graph.interpreter import evaluate, neuron_steps, run
from asnn.exporters.graph.ir import Conv, Graph, Linear, Neuron, Pool
from asnn.exporters.graph.network import lower_network
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.neurons.functional.leaky import LeakyOptions, LeakyParameters, leaky_step
from asnn.models.neurons.leaky import AdaptiveLeaky
from tests.support.exported_networks import CODES, images, network, spikes_of

OPTIONS = [
    {},
    {"granularity": "channel", "learn_reset_size": True, "learn_threshold": True},
    {"reset": "zero", "schedule": "shared"},
    {"reset": "none", "threshold": 0.7},
]


@pytest.mark.parametrize(
    "norm", ["folded", *(pytest.param(n, marks=pytest.mark.slow) for n in ("per-step", "shared"))]
)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "default")
@pytest.mark.parametrize("coding", CODES)
@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_graph_equals_the_network(name, coding, options, norm):
    model = network(name, coding=coding, norm=norm, neuron_options=options)
    graph = lower_network(model)
    x = images()
    trace = run(graph, model.coding.encode(x).numpy())
    spikes_of(trace, graph)
    with torch.no_grad():
        np.testing.assert_allclose(trace.logits, model(x).numpy(), rtol=1e-5, atol=1e-5)


def test_graph_of_one_step():
    model = network("lenet", coding="temporal", steps=1)
    trace = run(lower_network(model), model.coding.encode(images()).numpy())
    with torch.no_grad():
        np.testing.assert_allclose(trace.logits, model(images()).numpy(), atol=1e-6)


def test_a_changed_leak_changes_the_graph():
    model = network()
    graph = lower_network(model)
    code = model.coding.encode(images()).numpy()
    before = run(graph, code).logits
    model.body.spikes1.neuron.leak.data[1] += 0.3
    assert np.abs(run(lower_network(model), code).logits - before).max() > 1e-3


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.integers(1, 3),
    number=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_convolution_is_that_of_torch(size, kernel, stride, padding, dilation, groups, number):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((number, 2 * groups, *size), np.float32)
    weight = rng.standard_normal((3 * groups, 2, *kernel), np.float32)
    bias = rng.standard_normal(3 * groups).astype(np.float32)
    tensors = [torch.from_numpy(part) for part in (x, weight, bias)]
    try:
        expected = functional.conv2d(*tensors, stride, padding, dilation, groups).numpy()
    except RuntimeError:
        return  # the kernel is larger than the image
    found = convolve(x, weight, bias, stride, padding, dilation, groups)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@given(
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    kernel=st.sampled_from([(1, 2), (2, 2), (2, 1)]),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kind=st.sampled_from(["max", "average"]),
)
@settings(max_examples=30, deadline=None)
def test_pools_are_those_of_torch(size, kernel, stride, kind):
    x = np.random.default_rng(0).standard_normal((2, 3, 2, *size), np.float32)
    layer = (nn.MaxPool2d if kind == "max" else nn.AvgPool2d)(kernel, stride)
    expected = layer(torch.from_numpy(x).flatten(0, 1)).unflatten(0, (2, 3)).numpy()
    np.testing.assert_allclose(pool(x, kind, kernel, stride, (0, 0)), expected, atol=1e-6)


@given(
    steps=st.integers(1, 9),
    channels=st.integers(1, 4),
    by_channel=st.booleans(),
    reset=st.sampled_from(["subtract", "zero", "none"]),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_neuron_equals_the_published_step(steps, channels, by_channel, reset, seed):
    rng = np.random.default_rng(seed)
    shape = (steps, channels if by_channel else 1)
    leak, gain = rng.uniform(-0.5, 1.5, shape), rng.uniform(0, 2, shape)
    leak, gain = leak.astype(np.float32), gain.astype(np.float32)
    ones = np.full(shape, 0.8, np.float32)
    node = Neuron(
        name="n", inputs=("input",), leak=leak, gain=gain, threshold=ones, size=ones, reset=reset
    )
    x = rng.standard_normal((steps, 2, channels, 3), np.float32)
    spikes, distances = neuron_steps(node, x)
    v = None
    for t in range(steps):
        columns = [torch.from_numpy(part[t]).view(1, -1, 1) for part in (leak, gain)]
        p = LeakyParameters(*columns, torch.tensor(0.8))
        s, v = leaky_step(torch.from_numpy(x[t]), v, p, LeakyOptions(reset))
        np.testing.assert_array_equal(spikes[t], s.numpy())
        np.testing.assert_array_equal(spikes[t], distances[t] > 0)


def test_layers_of_a_static_code_are_time_invariant():
    graph = lower_network(network(coding="direct"))
    assert graph.time_invariant == {"input", "normalise", "conv1"}
    assert lower_network(network(coding="hybrid")).time_invariant == frozenset()


def test_a_neuron_of_another_kind_is_refused():
    class Other(AdaptiveLeaky):
        def forward(self, x):
            return 1 - super().forward(x)

    model = network()
    model.body.spikes2.neuron = Other(3)
    with pytest.raises(ConfigError, match="layer 'spikes2.neuron' \\(Other\\) cannot be exported"):
        lower_network(model)


def test_a_subclass_that_computes_the_same_is_exported():
    class Named(AdaptiveLeaky):
        pass

    model, other = network(), network()
    other.body.spikes2.neuron.__class__ = Named
    nodes, others = lower_network(model).nodes, lower_network(other).nodes
    assert [node.name for node in nodes] == [node.name for node in others]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: setattr(b, "conv2", nn.Conv3d(1, 1, 1)), "'conv2' \\(Conv3d\\)"),
        (lambda b: setattr(b.conv2.layer, "padding_mode", "circular"), "not a number of zeros"),
        (lambda b: setattr(b.spikes1, "pool", nn.MaxPool2d(2, return_indices=True)), "indices"),
        (lambda b: setattr(b.spikes1, "pool", nn.LPPool2d(1, 2)), "no such layer"),
        (lambda b: b.conv2.layer.weight.data.fill_(np.nan), "weights of layer 'conv2' is not fin"),
        (lambda b: setattr(b.spikes1, "norm", nn.LayerNorm(2)), "not a batch norm over time"),
        (lambda b: b.pop(-1), "does not end with a readout"),
    ],
)
def test_layers_without_a_node_are_refused(change, message):
    model = network()
    change(model.body)
    with pytest.raises(ConfigError, match=message):
        lower_network(model)


@pytest.mark.parametrize(
    "layer", [nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2, 2, 1, count_include_pad=False)]
)
def test_pools_keep_the_options_of_torch(layer):
    fields = pool_of("pool", layer)
    node = Pool(name="pool", inputs=("input",), **fields)
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 5, 5), np.float32)
    expected = layer(torch.from_numpy(x[0]))[None].numpy()
    np.testing.assert_allclose(evaluate(node, [x]), expected, rtol=1e-6)


def test_a_negative_reset_size_is_refused():
    model = network(neuron_options={"learn_reset_size": True})
    model.body.spikes1.neuron.reset_size.data[0] = -0.1
    with pytest.raises(ConfigError, match="not above 0"):
        lower_network(model)


def test_a_norm_after_no_affine_layer_is_a_scale():
    model = network("lenet")
    model.body.conv2 = nn.Identity()
    layer = model.body.spikes2
    assert isinstance(layer, SpikingLayer)
    model.body.spikes2.norm.norm = nn.BatchNorm2d(5).eval()
    model.body.linear.layer = nn.Linear(5, 12, bias=False)
    graph = lower_network(model)
    assert "spikes2_norm" in graph.shapes
    with torch.no_grad():
        expected = model(images()).numpy()
    found = run(graph, model.coding.encode(images()).numpy()).logits
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            Linear(
                name="a",
                inputs=("input",),
                weights=(np.ones((2, 3), np.float32),),
                biases=(np.ones(2, np.float32),),
                of_step=(0,),
            ),
            "expects 3 features",
        ),
        (
            Conv(
                name="a",
                inputs=("input",),
                weights=(np.ones((2, 3, 1, 1), np.float32),),
                biases=(np.ones(2, np.float32),),
                of_step=(0,),
            ),
            "expects 3 channels",
        ),
        (
            Pool(name="a", inputs=("input",), kind="max", kernel=(9, 9), stride=(1, 1)),
            "as large as its window",
        ),
        (
            Pool(name="a", inputs=("b",), kind="max", kernel=(1, 1), stride=(1, 1)),
            "reads 'b', which does not exist",
        ),
    ],
)
def test_layers_that_do_not_accept_their_input_are_refused(node, message):
    with pytest.raises(ConfigError, match=message):
        assert Graph((node,), (2, 4, 4), 1).shapes
