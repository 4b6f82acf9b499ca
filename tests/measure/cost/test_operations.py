"""Counted operations of networks: each equals a loop over every spike and weight."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from asnn.coding import create_coding
from asnn.datasets.base import Split
from asnn.measure import Operations, evaluate
from asnn.measure.cost import fan_out, layer_graph
from asnn.measure.cost.layer_graph import LayerGraph
from asnn.models import SpikingNetwork, create_model
from asnn.models.layers.residual import Residual
from asnn.models.layers.spiking import SpikingLayer, use_kernels
from asnn.models.layers.stem import Stem
from asnn.models.layers.time import OverTime
from asnn.models.networks import blocks
from asnn.models.neurons.leaky import FixedLeaky
from asnn.models.readouts import Readout
from tests.support import brute_force
from tests.support.sparse_layers import images, lively, with_zeros


class Inputs:
    """The input of every counted layer, recorded by plain hooks in a separate pass."""

    def __init__(self, network):
        self.seen = {}
        self.handles = []
        for info in LayerGraph.of(network.body).layers:
            if info.kind == "neuron":
                continue
            if info.kind == "join":
                hook = info.layer.register_forward_hook(
                    lambda layer, x, y, name=info.name: self.seen.update({name: y})
                )
            else:
                hook = info.layer.register_forward_pre_hook(
                    lambda layer, x, name=info.name: self.seen.update({name: x[0]})
                )
            self.handles.append(hook)

    def close(self):
        for handle in self.handles:
            handle.remove()


def assert_equal_to_brute_force(network, x):
    """Compare each count, by step and by sample, with the loop; every layer has operations."""
    network = network.eval().frozen()
    steps, samples = network.coding.steps, len(x)
    torch.manual_seed(0)  # for random codes
    with torch.no_grad(), Operations(network) as operations:
        network(x)
    found = operations.counts()
    inputs = Inputs(network)
    torch.manual_seed(0)
    with torch.no_grad():
        network(x)
    inputs.close()
    by_sample = {"ac": torch.zeros(steps, samples), "mac": torch.zeros(steps, samples)}
    graph = LayerGraph.of(network.body).layers
    layers = {info.name: info.layer for info in graph}
    given = {info.name: info.given for info in graph}
    for layer in found.layers:
        seen = inputs.seen[layer.name]
        if layer.given == "counts":  # of a mean pool: a count k is k spikes
            seen = (seen / given[layer.name].amplitude).round()
        rows = seen if layer.kind in ("join", "attention") else None
        if rows is None:
            dims = 1 if layer.kind == "linear" else 3
            rows = seen.reshape(-1, samples, *seen.shape[-dims:])
        first = steps - len(rows) if ".spikes" in layer.name and len(rows) < steps else 0
        assert layer.effective.sum() > 0, layer.name
        for t, step in enumerate(rows, start=first):
            levels = range(1, int(step.max()) + 1) if layer.given == "counts" else [None]
            spikes = [step if level is None else (step >= level).float() for level in levels]
            each = [
                sum(brute_force.operations(one[n], layers[layer.name]) for one in spikes)
                for n in range(samples)
            ]
            assert layer.effective[t] == sum(each), (layer.name, t)
            assert layer.events[t] == sum(map(torch.count_nonzero, spikes)), (layer.name, t)
            dense = brute_force.operations(step[0], layers[layer.name], dense=True)
            assert layer.dense[t] == samples * dense, (layer.name, t)
            by_sample[layer.operation][t] += torch.tensor(each)
        silent = [t for t in range(steps) if not first <= t < first + len(rows)]
        assert all(layer.effective[t] == layer.dense[t] == 0 for t in silent)
    assert torch.equal(found.ac, by_sample["ac"].double())
    assert torch.equal(found.mac, by_sample["mac"].double())
    return found


@pytest.mark.parametrize("code", ["direct", "temporal", "hybrid", "rate", "hybrid-embedding"])
def test_lenet_of_every_kind_of_stem(code):
    torch.manual_seed(1)
    model = create_model(
        "lenet", in_shape=(2, 6, 6), classes=3, coding=code, steps=3, widths=[3, 4], hidden=5,
        mean=[0.4, 0.5], std=[0.3, 0.2],
    )  # fmt: skip
    found = assert_equal_to_brute_force(lively(model), images(2, 2, 6, 6))
    kinds = {layer.name: layer.operation for layer in found.layers}
    assert kinds.get("conv1.analog", "mac") == "mac"
    assert kinds.get("conv1.spikes", "ac") == "ac"
    assert all(kinds[name] == "ac" for name in ("conv2", "linear", "readout"))


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["reference", "auto"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mlp", {"features": [6, 5]}),
        ("vgg", {"width": 4}),
        ("vgg", {"variant": "vggsnn", "width": 4}),
        ("ms-resnet", {"width": 2}),
        ("ms-resnet", {"width": 2, "norm": "per-step"}),
        ("sew-resnet", {"width": 2}),
        ("sew-resnet", {"width": 2, "connect": "and"}),
        ("spikformer", {"size": "1-16", "heads": 2}),
    ],
)
def test_networks(name, options, kernels):
    torch.manual_seed(2)
    model = create_model(name, in_shape=(1, 8, 8), classes=3, coding="hybrid", steps=2, **options)
    use_kernels(model, kernels)
    bias = 4.0 if options.get("connect") == "and" else 1.5  # few spikes pass many gates
    assert_equal_to_brute_force(lively(model, bias), images(2, 1, 8, 8))


def test_strides_groups_and_dilation_within_a_network():
    torch.manual_seed(3)
    coding = create_coding("hybrid", steps=3)

    def neuron(channels):
        return SpikingLayer(None, FixedLeaky(3, channels), None)

    body = blocks.sequence(
        stem=Stem(coding, lambda: nn.Conv2d(1, 4, 3, stride=2), mean=[0.0], std=[0.2]),
        spikes1=neuron(4),
        conv2=OverTime(with_zeros(nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=2))),
        spikes2=SpikingLayer(None, FixedLeaky(3, 4), nn.AvgPool2d(3, 2, 1)),
        block=Residual(
            blocks.sequence(conv=OverTime(nn.Conv2d(4, 4, (1, 3), padding=(0, 1), groups=4)))
        ),
        flatten=nn.Flatten(2),
        readout=Readout(4 * 2 * 2, 3, steps=3, scaled=True),
    )
    model = SpikingNetwork(coding, body)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.bias, 2.5)
    found = assert_equal_to_brute_force(model, images(2, 1, 9, 9))
    kinds = [(layer.name, layer.kind, layer.operation) for layer in found.layers]
    assert ("spikes2", "pool", "ac") in kinds
    assert ("block.main.conv", "conv", "ac") in kinds  # a mean of spikes is their number
    assert ("block", "join", "ac") in kinds


def without_borders(layer, shape, *, dense):
    """Fan-out as if every input met every weight of the kernel."""
    links = torch.ones_like(layer.weight) if dense else layer.weight.ne(0).float()
    fan_out = links.sum((0, *range(2, links.dim())))
    return fan_out.view(-1, *[1] * (len(shape) - 1)).expand(shape).contiguous()


def with_weights_of_zero(layer, shape, *, dense):
    """Fan-out as if no weight were 0."""
    return exact_fan_out(layer, shape, dense=True)


exact_fan_out = fan_out._fan_out


@pytest.mark.parametrize("wrong", [without_borders, with_weights_of_zero])
def test_negative_control_wrong_fan_out_is_found(monkeypatch, wrong):
    torch.manual_seed(1)
    model = create_model(
        "lenet", in_shape=(2, 6, 6), classes=3, coding="hybrid", steps=3, widths=[3, 4], hidden=5
    )
    with_zeros(model.body.conv2.layer)
    assert_equal_to_brute_force(lively(model), images(2, 2, 6, 6))
    monkeypatch.setattr(fan_out, "_fan_out", wrong)
    with pytest.raises(AssertionError, match="conv"):
        assert_equal_to_brute_force(model, images(2, 2, 6, 6))


def test_negative_control_wrong_step_is_found(monkeypatch):
    model = lively(create_model("mlp", in_shape=(1, 4, 4), classes=3, coding="hybrid", steps=3))
    assert_equal_to_brute_force(model, images(2, 1, 4, 4))
    monkeypatch.setattr(
        layer_graph, "replace", lambda info, **new: replace(info, **new | {"first": 0})
    )
    with pytest.raises((AssertionError, IndexError)):
        assert_equal_to_brute_force(model, images(2, 1, 4, 4))


def test_counts_do_not_depend_on_the_size_of_batches():
    model = lively(create_model("lenet", in_shape=(1, 8, 8), classes=3, widths=[4, 4], hidden=8))
    split = Split(images(11, 1, 8, 8), torch.arange(11) % 3)
    one, other = (
        evaluate(model.eval(), split, classes=3, full_scale=1.0, batch_size=size, count=True)
        for size in (11, 4)
    )
    plain = evaluate(model, split, classes=3, full_scale=1.0)
    assert plain.counts is None
    for a, b in zip(one.counts.layers, other.counts.layers, strict=True):
        assert torch.equal(a.effective, b.effective) and torch.equal(a.dense, b.dense)
    assert torch.equal(one.counts.ac, other.counts.ac)
    assert one.counts.samples == other.counts.samples == 11
    # Counting does not change the predictions.
    assert one.accuracy_per_step == plain.accuracy_per_step and one.loss == plain.loss


def test_active_outputs_agree_with_spike_rates():
    model = lively(create_model("lenet", in_shape=(1, 8, 8), classes=3, widths=[4, 4], hidden=8))
    split = Split(images(7, 1, 8, 8), torch.arange(7) % 3)
    found = evaluate(model.eval(), split, classes=3, full_scale=1.0, count=True)
    for layer in found.counts.neurons:
        rates = layer.active / (layer.neurons * 7)
        assert rates.tolist() == found.spike_rates[layer.name]
        assert layer.updates.tolist() == [layer.neurons * 7] * 4
    assert found.counts.activation_sparsity() == pytest.approx(1 - found.spike_rate)


def test_relu_outputs_are_values_without_membranes():
    model = create_model(
        "lenet", in_shape=(1, 8, 8), classes=3, coding="direct", steps=1, neuron="relu",
        widths=[4, 4], hidden=8,
    )  # fmt: skip
    found = assert_equal_to_brute_force(lively(model), images(2, 1, 8, 8))
    assert {layer.operation for layer in found.layers} == {"mac"}
    assert all(not layer.spiking and layer.updates.sum() == 0 for layer in found.neurons)
    assert 0 < found.activation_sparsity() < 1


def test_hooks_and_observers_are_removed():
    model = create_model("spikformer", in_shape=(1, 8, 8), classes=3, size="1-16").eval()
    with pytest.raises(ZeroDivisionError), Operations(model):
        raise ZeroDivisionError
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
        assert not getattr(module, "spike_observers", [])
