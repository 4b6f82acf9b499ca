"""Networks with paths that join: the export graph against torch, and its layers by formulas."""

import numpy as np
import pytest
import torch
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters.graph.interpreter import attention, evaluate, run
from asnn.exporters.graph.ir import Add, Attention, ChannelScale, Conv, Graph, Pool, Product
from asnn.exporters.graph.network import lower_network
from asnn.exporters.verification.compare import batch_size_for, compare
from asnn.models.layers.attention import SelfAttention
from asnn.models.layers.convolution import SpikeConv2d
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.layers.stem import Stem
from tests.support.exported_networks import (
    ARCHITECTURES,
    architecture,
    architecture_source,
    images,
    network,
    spikes_of,
)


@pytest.mark.parametrize("norm", ["folded", pytest.param("per-step", marks=pytest.mark.slow)])
@pytest.mark.parametrize("coding", ["hybrid", pytest.param("direct", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_graph_equals_the_network(name, coding, norm):
    granularity = "layer" if norm == "folded" else "channel"
    source, some = architecture_source(name, coding=coding, norm=norm, granularity=granularity)
    report = compare(source, some, [])
    assert report.fault is None
    assert report.parities[0].explained <= 1
    spikes_of(run(source.graph, source.encode(some.images)), source.graph)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nodes_are_named_like_the_layers(name):
    model, _ = architecture(name, steps=2)
    graph = lower_network(model)
    names = [node.name for node in graph.nodes]
    assert len(set(names)) == len(names)
    layers = [key for key, part in model.body.named_modules() if isinstance(part, SpikingLayer)]
    assert [node.name for node in graph.neurons] == layers


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_norms_are_folded_everywhere(name):
    nodes = architecture_source(name)[0].graph.nodes
    scales = [node.name for node in nodes if isinstance(node, ChannelScale)]
    assert scales == ["normalise"]


def test_a_norm_after_no_affine_layer_is_a_scale():
    model = network("ms-resnet", steps=2)
    model.body.block2.main = nn.Sequential(model.body.block2.main.norm)
    graph = lower_network(model)
    scale = next(node for node in graph.nodes if node.name == "block2.main.0")
    assert isinstance(scale, ChannelScale)
    with torch.no_grad():
        expected = model(images()).numpy()
    found = run(graph, model.coding.encode(images()).numpy()).logits
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "kind"), [("sew-add", Add), ("sew-and", Product), ("sew-iand", Product)]
)
def test_paths_of_a_block_join(name, kind):
    graph = architecture_source(name)[0].graph
    first, third = (
        next(node for node in graph.nodes if node.name == block) for block in ("block1", "block3")
    )
    assert type(first) is kind
    assert first.inputs == ("block1.main.spikes2", "spikes")
    assert third.inputs == ("block3.main.spikes2", "block3.shortcut.spikes")
    assert getattr(first, "inverted", False) == (name == "sew-iand")
    assert graph.is_binary("block8") == (kind is Product)


@pytest.mark.parametrize("steps", [2, 4])
def test_each_kind_of_step_has_its_own_stem(steps):
    """All convolutions of a deep stem, not the last alone, are those of the kind of step."""
    model = network("vgg", steps=steps)
    layers = [(2, 5), (5, 6), (6, 6)]

    def make():
        return nn.Sequential(*(SpikeConv2d(i, o, 3, padding=1) for i, o in layers))

    model.body.conv1 = Stem(model.coding, make, mean=[0.4, 0.5], std=[0.3, 0.2])
    graph = lower_network(model)
    convolutions = [node for node in graph.nodes if isinstance(node, Conv)][:3]
    assert [node.name for node in convolutions] == ["conv1.conv2d1", "conv1.conv2d2", "conv1"]
    assert all(len(node.weights) == 2 for node in convolutions)
    with torch.no_grad():
        expected = model(images()).numpy()
    found = run(graph, model.coding.encode(images()).numpy()).logits
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_stems_of_different_kinds_are_refused():
    model = network("vgg", steps=2)
    model.body.conv1.analog.stride = (2, 2)
    with pytest.raises(ConfigError, match="its windows differ from step to step"):
        lower_network(model)
    model.body.conv1.analog = nn.Identity()
    with pytest.raises(ConfigError, match="layers of different kinds"):
        lower_network(model)
    model.body.conv1.analog = nn.Sequential(SpikeConv2d(2, 6, 3))
    model.body.conv1.spikes = nn.Sequential(SpikeConv2d(2, 6, 3), nn.Identity())
    with pytest.raises(ConfigError, match="different numbers of layers"):
        lower_network(model)


@pytest.mark.parametrize(("heads", "channels"), [(1, 4), (2, 4), (4, 4), (3, 12)])
def test_attention_is_its_formula(heads, channels):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (2, 3, 3 * channels, 2, 5)).astype(np.float32)
    found = attention(x, heads, np.float32(0.25))
    part = channels // heads
    for t in range(2):
        for b in range(3):
            q, k, v = x[t, b].reshape(3, heads, part, 10)
            for head in range(heads):
                scores = q[head].T @ k[head]  # [N, N]
                own = found[t, b].reshape(heads, part, 10)[head]
                np.testing.assert_array_equal(own.T, 0.25 * scores @ v[head].T)
    torch.testing.assert_close(
        torch.from_numpy(found), SelfAttention(heads, 0.25)(torch.from_numpy(x)), rtol=0, atol=0
    )


@pytest.mark.parametrize(("inverted", "expected"), [(False, [0, 0, 0, 1]), (True, [0, 1, 0, 0])])
def test_products_are_their_truth_tables(inverted, expected):
    a, b = np.float32([[[0, 0, 1, 1]], [[0, 1, 0, 1]]])[:, None]
    node = Product(name="p", inputs=("a", "b"), inverted=inverted)
    assert evaluate(node, [a, b]).ravel().tolist() == expected


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Attention(name="a", inputs=("input",), heads=4, scale=1.0), "a multiple of 12 channels"),
        (Product(name="a", inputs=("input",)), "two inputs"),
    ],
)
def test_layers_that_do_not_accept_their_input_are_refused(node, message):
    with pytest.raises(ConfigError, match=message):
        assert Graph((node,), (9, 4, 4), 1).shapes


def test_large_layers_are_compared_in_small_batches():
    shape = (64, 224, 224)
    assert batch_size_for(architecture_source("ms")[0].graph) == 64
    node = Pool(name="a", inputs=("input",), kind="max", kernel=(1, 1), stride=(1, 1))
    # 2 values · 64 · 224² · 4 steps · 4 bytes, three times: 308 MB of 1 GiB
    assert batch_size_for(Graph((node,), shape, 4)) == 3
    assert batch_size_for(Graph((node,), shape, 40)) == 1
