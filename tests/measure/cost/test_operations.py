"""Counted operations: each equal to a loop over every spike and every weight that it touches."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asnn.coding import create_coding
from asnn.measure import Operations, evaluate
from asnn.measure.cost import fan_out
from asnn.measure.cost import layer_graph as wiring
from asnn.measure.cost.fan_out import FanOut
from asnn.measure.cost.layer_graph import LayerGraph
from asnn.models import SpikingNetwork, create_model
from asnn.models.layers.residual import Residual
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.layers.stem import Stem
from asnn.models.layers.time import OverTime
from asnn.models.networks import blocks
from asnn.models.neurons.leaky import FixedLeaky
from asnn.models.readouts import Readout
from tests.support import brute_force

pytestmark = pytest.mark.slow


def sparse(*shape, share=0.3, seed=0):
    """Spikes."""
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share).float()


def with_zeros(layer, seed=0):
    """A layer in which every third weight or so is 0."""
    with torch.no_grad():
        layer.weight *= sparse(*layer.weight.shape, share=0.7, seed=seed)
    return layer


def count(layer, x):
    spikes = bool(((x == 0) | (x == 1)).all())
    return FanOut(layer, tuple(x.shape[1:])).count(x, spikes=spikes)


geometries = st.fixed_dictionaries(
    {
        "kernel_size": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.tuples(st.integers(0, 2), st.integers(0, 2)),
        "dilation": st.tuples(st.integers(1, 2), st.integers(1, 2)),
        "groups": st.sampled_from([1, 2, 4]),
    }
)


@settings(deadline=None, max_examples=60)
@given(geometries, st.integers(5, 7), st.integers(5, 8), st.integers(0, 99), st.booleans())
def test_convolution(geometry, height, width, seed, spikes):
    torch.manual_seed(seed)
    layer = with_zeros(nn.Conv2d(4, 4, **geometry), seed)
    x = sparse(2, 4, height, width, seed=seed)
    if not spikes:
        x = x * torch.randn(x.shape)
    found = count(layer, x)
    assert found[0].tolist() == [brute_force.operations(one, layer) for one in x]
    assert found[1].tolist() == x.ne(0).flatten(1).sum(1).tolist()
    dense = FanOut(layer, (4, height, width)).dense
    assert dense == brute_force.operations(x[0], layer, every=True)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 99))
def test_linear(inputs, outputs, seed):
    layer = with_zeros(nn.Linear(inputs, outputs), seed)
    x = sparse(3, inputs, seed=seed)
    assert count(layer, x)[0].tolist() == [brute_force.operations(one, layer) for one in x]
    dense = FanOut(layer, (inputs,)).dense
    assert dense == brute_force.operations(x[0], layer, every=True) == inputs * outputs


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(0, 99))
def test_mean_pool(kernel, stride, padding, seed):
    layer = nn.AvgPool2d(kernel, stride, min(padding, kernel // 2))
    x = sparse(2, 3, 6, 7, seed=seed)
    assert count(layer, x)[0].tolist() == [brute_force.operations(one, layer) for one in x]
    dense = FanOut(layer, (3, 6, 7)).dense
    assert dense == brute_force.operations(x[0], layer, every=True)


def test_sums_beyond_what_float32_can_count_are_exact():
    # 400 x 99,999 operations a sample, an odd number that float32 cannot hold.
    layer = nn.Linear(401, 99_999, bias=False)
    nn.init.ones_(layer.weight)  # of 4e7 random weights some are 0
    x = torch.ones(2, 401)
    x[0, 0] = 0
    assert count(layer, x)[0].tolist() == [400 * 99_999, 401 * 99_999]
    assert float(torch.tensor(401 * 99_999.0, dtype=torch.float32)) != 401 * 99_999  # the control


class Given:
    """What every layer that counts was given, seen by plain hooks in a pass of its own."""

    def __init__(self, network):
        self.seen = {}
        self.handles = []
        for wire in LayerGraph.of(network.body).wires:
            if wire.kind == "neuron":
                continue
            if wire.kind == "join":
                hook = wire.layer.register_forward_hook(
                    lambda layer, x, y, name=wire.name: self.seen.update({name: y})
                )
            else:
                hook = wire.layer.register_forward_pre_hook(
                    lambda layer, x, name=wire.name: self.seen.update({name: x[0]})
                )
            self.handles.append(hook)

    def close(self):
        for handle in self.handles:
            handle.remove()


def assert_equal_to_brute_force(network, x):
    """Hold each count, by step and by sample, to the loop; each layer has something to count."""
    network = network.eval().frozen()
    steps, samples = network.coding.steps, len(x)
    torch.manual_seed(0)  # of a code that draws
    with torch.no_grad(), Operations(network) as operations:
        network(x)
    found = operations.counts()
    given = Given(network)
    torch.manual_seed(0)
    with torch.no_grad():
        network(x)
    given.close()
    by_sample = {"ac": torch.zeros(steps, samples), "mac": torch.zeros(steps, samples)}
    layers = {wire.name: wire.layer for wire in LayerGraph.of(network.body).wires}
    for layer in found.layers:
        seen = given.seen[layer.name]
        rows = seen if layer.kind in ("join", "attention") else None
        if rows is None:
            dims = 1 if layer.kind == "linear" else 3
            rows = seen.reshape(-1, samples, *seen.shape[-dims:])
        first = steps - len(rows) if ".spikes" in layer.name and len(rows) < steps else 0
        assert layer.effective.sum() > 0, layer.name
        for t, step in enumerate(rows, start=first):
            each = [brute_force.operations(one, layers[layer.name]) for one in step]
            assert layer.effective[t] == sum(each), (layer.name, t)
            assert layer.events[t] == torch.count_nonzero(step), (layer.name, t)
            every = brute_force.operations(step[0], layers[layer.name], every=True)
            assert layer.dense[t] == samples * every, (layer.name, t)
            by_sample[layer.operation][t] += torch.tensor(each)
        silent = [t for t in range(steps) if not first <= t < first + len(rows)]
        assert all(layer.effective[t] == layer.dense[t] == 0 for t in silent)
    assert torch.equal(found.ac, by_sample["ac"].double())
    assert torch.equal(found.mac, by_sample["mac"].double())
    return found


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def lively(model, bias=1.5):
    """A network whose neurons fire, without training."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.constant_(module.weight, 3.0)
            nn.init.normal_(module.bias, bias, 1.5)
    return model


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
    from asnn.models.layers.spiking import use_kernels

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
    assert ("block.main.conv", "conv", "mac") in kinds  # means of spikes are no spikes
    assert ("block", "join", "ac") in kinds


def test_what_the_code_and_joins_make_of_spikes():
    model = create_model("sew-resnet", in_shape=(1, 8, 8), classes=3, steps=2, width=2)
    kinds = {wire.name: wire.spikes for wire in LayerGraph.of(model.body).wires}
    assert kinds["block1.main.conv1"]  # of spikes
    assert not kinds["block2.main.conv1"]  # of their sums
    gated = create_model(
        "sew-resnet", in_shape=(1, 8, 8), classes=3, steps=2, width=2, connect="iand"
    )
    assert {w.name: w.spikes for w in LayerGraph.of(gated.body).wires}["block2.main.conv1"]


def without_borders(layer, shape, *, every):
    """Fan-out as if a spike anywhere reached every weight of the kernel."""
    links = torch.ones_like(layer.weight) if every else layer.weight.ne(0).float()
    reached = links.sum((0, *range(2, links.dim())))
    return reached.view(-1, *[1] * (len(shape) - 1)).expand(shape).contiguous()


def with_weights_of_zero(layer, shape, *, every):
    """Fan-out as if no weight were 0."""
    return right_fan_out(layer, shape, every=True)


right_fan_out = fan_out._reached


@pytest.mark.parametrize("wrong", [without_borders, with_weights_of_zero])
def test_the_control_a_wrong_count_fails_the_very_check(monkeypatch, wrong):
    torch.manual_seed(1)
    model = create_model(
        "lenet", in_shape=(2, 6, 6), classes=3, coding="hybrid", steps=3, widths=[3, 4], hidden=5
    )
    with_zeros(model.body.conv2.layer)
    assert_equal_to_brute_force(lively(model), images(2, 2, 6, 6))
    monkeypatch.setattr(fan_out, "_reached", wrong)
    with pytest.raises(AssertionError, match="conv"):
        assert_equal_to_brute_force(model, images(2, 2, 6, 6))


def test_the_control_a_step_that_is_another_fails_the_very_check(monkeypatch):
    model = lively(create_model("mlp", in_shape=(1, 4, 4), classes=3, coding="hybrid", steps=3))
    assert_equal_to_brute_force(model, images(2, 1, 4, 4))
    monkeypatch.setattr(wiring, "replace", lambda wire, **new: replace(wire, **new | {"first": 0}))
    with pytest.raises((AssertionError, IndexError)):
        assert_equal_to_brute_force(model, images(2, 1, 4, 4))


def test_counts_do_not_depend_on_the_size_of_batches():
    from asnn.datasets.base import Split

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
    # What counts does not change the answers.
    assert one.accuracy_per_step == plain.accuracy_per_step and one.loss == plain.loss


def test_neurons_are_counted_as_the_rates_are():
    from asnn.datasets.base import Split

    model = lively(create_model("lenet", in_shape=(1, 8, 8), classes=3, widths=[4, 4], hidden=8))
    split = Split(images(7, 1, 8, 8), torch.arange(7) % 3)
    found = evaluate(model.eval(), split, classes=3, full_scale=1.0, count=True)
    for layer in found.counts.neurons:
        rates = layer.active / (layer.neurons * 7)
        assert rates.tolist() == found.spike_rates[layer.name]
        assert layer.updates.tolist() == [layer.neurons * 7] * 4
    assert found.counts.activation_sparsity() == pytest.approx(1 - found.spike_rate)


def test_rectifiers_are_no_spikes_and_have_no_membranes():
    model = create_model(
        "lenet", in_shape=(1, 8, 8), classes=3, coding="direct", steps=1, neuron="relu",
        widths=[4, 4], hidden=8,
    )  # fmt: skip
    found = assert_equal_to_brute_force(lively(model), images(2, 1, 8, 8))
    assert {layer.operation for layer in found.layers} == {"mac"}
    assert all(not layer.spiking and layer.updates.sum() == 0 for layer in found.neurons)
    assert 0 < found.activation_sparsity() < 1


def test_hooks_and_watchers_are_gone_afterwards():
    model = create_model("spikformer", in_shape=(1, 8, 8), classes=3, size="1-16").eval()
    with pytest.raises(ZeroDivisionError), Operations(model):
        raise ZeroDivisionError
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
        assert not getattr(module, "spike_observers", [])


class Foreign(nn.Module):
    """A layer of somebody else, over time: once for all steps, or step by step."""

    def __init__(self, looped):
        super().__init__()
        self.inner = nn.Conv2d(2, 2, 3, padding=1)
        self.own = nn.Parameter(torch.ones(1))
        self.looped = looped

    def forward(self, x):
        if self.looped:
            return torch.stack([self.inner(step) for step in x]) * self.own
        return self.inner(x.flatten(0, 1)).unflatten(0, x.shape[:2]) * self.own


class Tokens(nn.Module):
    """A linear layer of each place, and one that mixes up the samples."""

    def __init__(self):
        super().__init__()
        self.each = nn.Linear(2, 2)
        self.mixed = nn.Linear(2, 2)

    def forward(self, x):
        tokens = self.each(x.flatten(3).transpose(3, 2))  # [T, B, N, 2]
        return tokens + self.mixed(tokens[:, :1].flatten(0, 1)[:1])


@pytest.mark.parametrize("looped", [False, True])
def test_layers_of_others_are_values_and_what_is_unknown_is_named(looped):
    coding = create_coding("temporal", steps=2)
    body = blocks.sequence(
        stem=Stem(coding, lambda: nn.Conv2d(1, 2, 3), mean=[0.0], std=[1.0]),
        foreign=Foreign(looped),
        flatten=nn.Flatten(2),
        readout=Readout(2 * 9, 3, steps=2, scaled=False),
    )
    network = SpikingNetwork(coding, body).eval()
    with torch.no_grad(), Operations(network) as operations:
        network(images(3, 1, 5, 5))
    found = operations.counts()
    inner = {layer.name: layer for layer in found.layers}["foreign.inner"]
    assert (inner.operation, inner.spikes) == ("mac", False)
    dense = brute_force.operations(torch.ones(2, 3, 3), body.foreign.inner, every=True)
    assert inner.dense.tolist() == [3 * dense, 3 * dense]
    assert found.uncounted == ["foreign"]  # what it does with a parameter of its own


def test_tokens_are_counted_and_what_mixes_samples_is_named():
    coding = create_coding("temporal", steps=2)
    body = blocks.sequence(
        stem=Stem(coding, lambda: nn.Conv2d(1, 2, 3), mean=[0.0], std=[1.0]),
        tokens=Tokens(),
        flatten=nn.Flatten(2),
        readout=Readout(2 * 9, 3, steps=2, scaled=False),
    )
    network = SpikingNetwork(coding, body).eval()
    with torch.no_grad(), Operations(network) as operations:
        network(images(3, 1, 5, 5))
    found = operations.counts()
    layers = {layer.name: layer for layer in found.layers}
    assert layers["tokens.each"].dense.tolist() == [3 * 9 * 4] * 2
    assert found.uncounted == ["tokens.mixed"] and "tokens.mixed" not in layers


def test_a_layer_that_stands_in_two_places():
    coding = create_coding("temporal", steps=2)
    twice = OverTime(nn.Conv2d(2, 2, 3, padding=1))
    body = blocks.sequence(
        stem=Stem(coding, lambda: nn.Conv2d(1, 2, 3), mean=[0.0], std=[1.0]),
        spikes=SpikingLayer(None, FixedLeaky(2, 2)),
        first=twice,
        second=twice,
        flatten=nn.Flatten(2),
        readout=Readout(2 * 9, 3, steps=2, scaled=False),
    )
    network = SpikingNetwork(coding, body).eval()
    with torch.no_grad(), Operations(network) as operations:
        network(images(3, 1, 5, 5))
    (found,) = [layer for layer in operations.counts().layers if layer.name == "first"]
    dense = brute_force.operations(torch.ones(2, 3, 3), twice.layer, every=True)
    assert found.dense.tolist() == [2 * 3 * dense] * 2
    assert not found.spikes  # the second time they are values


def test_autocast_changes_no_count():
    layer = nn.Conv2d(3, 5, 3)
    x = sparse(4, 3, 20, 20)
    with torch.autocast("cpu", torch.bfloat16):
        found = count(layer, x)
    assert found[0].tolist() == [brute_force.operations(one, layer) for one in x]


@pytest.mark.parametrize("spikes", [True, False])
def test_neurobench_counts_the_same(spikes):
    macs = pytest.importorskip(
        "neurobench.metrics.utils.layers", reason="neurobench is not installed"
    )
    layers = [
        (with_zeros(nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)), (3, 4, 7, 7)),
        (with_zeros(nn.Conv2d(4, 6, 3, padding=2, dilation=2)), (3, 4, 7, 7)),
        (with_zeros(nn.Linear(20, 7)), (3, 20)),
    ]
    for layer, shape in layers:
        x = sparse(*shape) if spikes else sparse(*shape) * torch.randn(shape)
        theirs, spiking = macs.single_layer_MACs(x.clone(), layer)
        dense, _ = macs.single_layer_MACs(x.clone(), layer, total=True)
        assert spiking is spikes
        assert float(count(layer, x)[0].sum()) == float(theirs)
        assert FanOut(layer, shape[1:]).dense * len(x) == float(dense)


def test_neurobench_has_the_same_footprint_and_sparsity():
    static = pytest.importorskip("neurobench.metrics.static", reason="neurobench is not installed")
    model = create_model("lenet", in_shape=(1, 8, 8), classes=3, widths=[3, 4], hidden=5).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            with_zeros(module)
    network = model.frozen()
    with torch.no_grad(), Operations(network) as operations:
        network(images(2, 1, 8, 8))
    found = operations.counts()

    class Wrapped:
        def __net__(self):
            return network

    assert found.footprint == static.Footprint()(Wrapped())
    theirs = static.ConnectionSparsity()(Wrapped())
    assert round(found.connection_sparsity(), 4) == theirs > 0.2


def test_a_stem_of_several_layers_has_values_behind_the_first():
    torch.manual_seed(4)
    model = create_model(
        "ms-resnet", in_shape=(1, 32, 32), classes=2, coding="hybrid", steps=3, depth=104,
        width=1, stem="imagenet",
    )  # fmt: skip
    model = lively(model).eval()
    wires = {wire.name: wire for wire in LayerGraph.of(model.body).wires}
    assert [wires[f"stem.spikes.{i}"].spikes for i in range(3)] == [True, False, False]
    with torch.no_grad(), Operations(model) as operations:
        model(images(2, 1, 32, 32))
    layers = {layer.name: layer for layer in operations.counts().layers}
    for i in range(3):
        analog, spikes = layers[f"stem.analog.{i}"].dense, layers[f"stem.spikes.{i}"].dense
        assert analog[0] > 0 and analog[1:].tolist() == [0, 0]
        assert spikes.tolist() == [0, analog[0], analog[0]]
