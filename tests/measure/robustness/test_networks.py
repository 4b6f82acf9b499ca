"""Corruptions of weights and of neurons against loops over values."""

import numpy as np
import pytest
import torch
from torch import nn

from asnn.coding.samples import SampleSpec
from asnn.exporters import source_of
from asnn.exporters.graph.quantisation import quantise, with_rounded_weights
from asnn.measure.robustness.corruptions import corrupt
from asnn.models import create_model
from asnn.models.layers.spiking import SpikingLayer
from tests.support.small_lenet import network
from tests.support.sparse_layers import images


def quantized_by_hand(weight, bits):
    """Row by row, value by value, in float64."""
    q_max = 2 ** (bits - 1) - 1
    rows = []
    for row in weight.astype(np.float64).reshape(len(weight), -1):
        d = max(abs(row)) / q_max or 1.0
        rows.append([d * float(np.rint(value / d)) for value in row])
    return np.array(rows).reshape(weight.shape)


def affine(model):
    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 6, 4, 2])
@pytest.mark.parametrize("name", ["lenet", "ms-resnet"])
def test_quantized_weights_by_hand(bits, name):
    model = network(name, **({} if name == "lenet" else {"width": 4}))
    frozen = affine(model.frozen())
    found = affine(corrupt(model, "quantize", bits))
    assert found.keys() == frozen.keys()
    for each, layer in found.items():
        weight, got = frozen[each].weight.numpy(), layer.weight.numpy()
        np.testing.assert_allclose(got, quantized_by_hand(weight, bits), rtol=1e-5, atol=1e-7)
        other = quantized_by_hand(weight, bits + 1)
        assert not np.allclose(got, other, rtol=1e-5, atol=1e-7) or not weight.any()
        for row in got.reshape(len(got), -1):
            assert len(np.unique(row)) <= 2**bits - 1
        if bits == 8:  # the weights of an int8 file
            np.testing.assert_array_equal(got, quantise(weight).restored())
        if layer.bias is not None:
            assert torch.equal(layer.bias, frozen[each].bias)


def test_quantized_channel_of_zeros_stays_zero():
    model = network()
    with torch.no_grad():
        model.body.readout.linear.weight[1] = 0
    weight = corrupt(model, "quantize", 4).body.readout.linear.weight
    assert torch.equal(weight[1], torch.zeros_like(weight[1]))
    assert torch.isfinite(weight).all()


def spikes_before_pools(model, x):
    """The spikes of the neurons of each layer, `[T, B, ...]`."""
    seen, handles = {}, []
    for name, module in model.named_modules():
        if isinstance(module, SpikingLayer):
            hook = lambda layer, given, out, name=name: seen.update({name: out})  # noqa: E731
            handles.append(module.neuron.register_forward_hook(hook))
    model(x)
    for handle in handles:
        handle.remove()
    return seen


@torch.no_grad()
def test_dead_neurons_never_fire_and_others_are_not_changed():
    model = network(coding="direct")
    x = images(200, 1, 8, 8)
    clean = spikes_before_pools(model.frozen(), x)
    corrupted = corrupt(model, "dead-neurons", 0.25, seed=1)
    found = spikes_before_pools(corrupted, x)
    for name, layer in corrupted.named_modules():
        if not isinstance(layer, SpikingLayer):
            continue
        shape = found[name].shape[2:]
        dead = layer.neuron.alive(shape) == 0
        assert dead.sum() == round(0.25 * shape.numel())
        assert not found[name][:, :, dead].any()
        assert found[name][:, :, ~dead].any()
        assert clean[name][:, :, dead].any()  # otherwise it would not show anything
        if name == "body.spikes1":  # the only layer with unchanged input
            assert torch.equal(found[name][:, :, ~dead], clean[name][:, :, ~dead])


@torch.no_grad()
def test_dead_neurons_are_nested_and_differ_by_seed_and_layer():
    def alive(share, seed):
        corrupted = corrupt(network(), "dead-neurons", share, seed)
        shape = torch.Size([8, 4, 4])
        return [m.neuron.alive(shape) for m in corrupted.modules() if isinstance(m, SpikingLayer)]

    some, more, other = alive(0.1, 0), alive(0.5, 0), alive(0.1, 1)
    for a, b, c in zip(some, more, other, strict=True):
        assert (a >= b).all()
        assert not torch.equal(a, c)
    assert not torch.equal(some[0], some[1])
    assert not any(mask.any() for mask in alive(1.0, 0))


@torch.no_grad()
def test_logits_without_live_neurons_are_the_biases():
    model = network()
    logits = corrupt(model, "dead-neurons", 1.0)(images(3, 1, 8, 8))
    readout = model.body.readout
    expected = readout.linear.bias * readout.scale.view(-1, 1, 1)
    torch.testing.assert_close(logits, expected.expand_as(logits))


def test_convolutions_over_time_of_8_bits_are_those_of_an_int8_file():
    options = {"coding": "direct", "widths": [16, 16], "steps": 2}
    model = create_model("spiking-yolo", in_shape=(1, 8, 8), classes=6, **options).eval()
    taps = corrupt(model, "quantize", 8).body.conv2.taps.layer
    graph = with_rounded_weights(source_of(model).graph, "int8")
    for k in range(3):
        (kernel,) = (n.weights[0] for n in graph.nodes if n.name == f"conv2_tap{k}")
        np.testing.assert_array_equal(taps.weight[:, :, k].detach().numpy(), kernel)
    assert not torch.equal(taps.weight, model.body.conv2.taps.layer.weight)


@torch.no_grad()
@pytest.mark.parametrize("neuron", ["lif", "xlif", "relu"])
def test_flow_without_live_neurons_is_that_of_the_biases(neuron):
    spec = SampleSpec("events", (2, 5, 6), duration=1000)
    options = {"coding": "frames", "coding_options": {"value": "count"}, "steps": 3, "width": 4}
    model = create_model(
        "firenet", in_shape=spec.shape, classes=2, sample=spec, neuron=neuron, **options
    )
    code = torch.poisson(torch.ones(3, 1, *spec.shape), torch.manual_seed(0))
    readout, found = model.readout, [corrupt(model, "dead-neurons", p).run(code) for p in (0, 1)]
    assert torch.allclose(found[0], model.frozen().run(code))
    expected = (readout.limit * readout.linear.bias.tanh()).view(2, 1, 1)
    assert torch.allclose(found[1], expected.expand_as(found[1]))
    assert not torch.allclose(*found)


@torch.no_grad()
def test_dead_neurons_start_from_the_last_input_too():
    options = {"coding": "direct", "widths": [16], "start": "last-input"}
    model = create_model("spiking-yolo", in_shape=(1, 8, 8), classes=6, steps=2, **options)
    found = corrupt(model, "dead-neurons", 1.0)(images(3, 1, 8, 8))
    readout = model.readout
    expected = readout.linear.bias[:, None] * readout.scale.view(-1, 1, 1, 1)
    torch.testing.assert_close(found, expected.expand_as(found))
