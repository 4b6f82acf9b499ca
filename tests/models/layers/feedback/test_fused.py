"""Layers with LIF neurons by the fused kernels, against the reference in float64."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.core import ConfigError
from asnn.models.layers.feedback import FeedbackLayer
from asnn.models.layers.spiking import use_kernels
from asnn.models.layers.time import OverTime
from asnn.models.neurons.lif import Alif, Lif, Plif, Xlif
from asnn.models.neurons.relu import Relu
from tests.support.fused_layers import distance

SIZE = (4, 5)


def layer_of(channels, *, recurrent, kind=Lif, steps=5, **options):
    torch.manual_seed(0)
    conv = nn.Conv2d(2, channels, 3, padding=1)
    again = nn.Conv2d(channels, channels, 3, padding=1, bias=False) if recurrent else None
    with torch.no_grad():
        for each in (conv, again):
            if each is not None:
                each.weight.mul_(4)
    return FeedbackLayer(OverTime(conv), kind(steps, channels, **options), again)


def frames(steps, batch, size=SIZE):
    return torch.randn(steps, batch, 2, *size, generator=torch.Generator().manual_seed(1))


def trained_once(layer, x, kernels, dtype=torch.float32):
    """Return spikes, and the gradients by name."""
    layer = copy.deepcopy(layer).to(dtype)
    use_kernels(layer, kernels)
    leaf = x.to(dtype, copy=True).requires_grad_()
    spikes = layer(leaf)
    assert layer.used == kernels
    weight = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    (spikes * weight).sum().backward()
    grads = {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
    return spikes.detach(), {"x": leaf.grad, **grads}


def agree(layer, x):
    spikes, grads = trained_once(layer, x, "fused")
    expected_spikes, expected = trained_once(layer, x, "reference", torch.float64)
    _, plain = trained_once(layer, x, "reference")
    assert torch.equal(spikes.double(), expected_spikes)
    assert grads.keys() == expected.keys()
    for name, grad in grads.items():
        # Sums may cancel: then the reference is not exact in float32 either.
        exact = expected[name]
        allowed = max(1e-5 * float(exact.abs().max()), 10 * distance(plain[name], exact))
        assert distance(grad, exact) <= allowed, f"gradient of {name}"
    return spikes


@pytest.mark.parametrize("granularity", ["channel", "layer"])
@pytest.mark.parametrize("recurrent", [True, False])
def test_spikes_and_gradients_are_those_of_the_reference(recurrent, granularity):
    layer = layer_of(19, recurrent=recurrent, granularity=granularity, leak=0.3)
    spikes = agree(layer, frames(5, 3))
    assert 0.1 < float(spikes.mean()) < 0.9


@settings(deadline=None, max_examples=20)
@given(
    steps=st.integers(1, 4),
    batch=st.integers(1, 3),
    channels=st.integers(1, 20),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    recurrent=st.booleans(),
)
def test_any_shape(steps, batch, channels, size, recurrent):
    layer = layer_of(channels, recurrent=recurrent, steps=steps, leak=0.3)
    agree(layer, frames(steps, batch, size))


@pytest.mark.parametrize(
    "wrong", [{"detached": False}, {"surrogate": "atan"}, {"alpha": 9.9}], ids=str
)
def test_another_rule_would_show(monkeypatch, wrong):
    """The negative control of the tests above."""

    def changed(neuron, steps, right=Lif.kernel_equations):
        tensors, options = right(neuron, steps)
        return tensors, {**options, **wrong}

    monkeypatch.setattr(Lif, "kernel_equations", changed)
    with pytest.raises(AssertionError, match="gradient of"):
        agree(layer_of(19, recurrent=True, leak=0.3), frames(5, 3))


@pytest.mark.parametrize("recurrent", [True, False])
def test_all_steps_may_be_one(recurrent):
    """As those of a static code, whose first layer is computed once."""
    layer, x = layer_of(7, recurrent=recurrent, leak=0.3), frames(1, 3)
    layer.conv = nn.Identity()
    current = nn.functional.conv2d(x[0], torch.ones(7, 2, 3, 3), padding=1)
    found = []
    for kernels in ("fused", "reference"):
        use_kernels(layer, kernels)
        found.append(layer(current.expand(5, *current.shape)))
    assert torch.equal(*found)
    assert found[0].any()


@pytest.mark.parametrize("recurrent", [True, False])
def test_dead_neurons_send_nothing(recurrent):
    layer, x = layer_of(6, recurrent=recurrent, leak=0.3), frames(5, 2)
    alive = (torch.rand(6, *SIZE, generator=torch.Generator().manual_seed(2)) < 0.7).float()
    layer.silence(lambda shape: alive)
    spikes = agree(layer, x)
    assert not spikes[..., alive == 0].any()


@pytest.mark.parametrize("recurrent", [True, False])
def test_spikes_are_counted(recurrent):
    layer, counts = layer_of(6, recurrent=recurrent), []
    layer.spike_observers.append(lambda number, neurons: counts.append((number, neurons)))
    spikes = layer(frames(5, 2)).detach()
    assert layer.used == "fused"
    assert counts[0][0].tolist() == spikes.flatten(1).sum(1).tolist()
    assert counts[0][1] == 2 * 6 * 20


@pytest.mark.parametrize("kind", [Alif, Plif, Xlif, Relu])
def test_other_neurons_use_the_reference_or_are_refused(kind):
    layer = layer_of(3, recurrent=True, kind=kind)
    layer(frames(5, 2))
    assert layer.used == "reference"
    use_kernels(layer, "fused")
    with pytest.raises(ConfigError, match="the fused kernels cannot compute this layer") as error:
        layer(frames(5, 2))
    assert error.value.why == f"there is no fused kernel for {kind.__name__}"


class AsUsual(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def test_single_steps_are_not_for_graphs_of_torch():
    layer, x = layer_of(6, recurrent=True), frames(5, 2)
    with AsUsual():
        layer(x)
        assert layer.used == "reference"
        use_kernels(layer, "fused")
        with pytest.raises(ConfigError) as error:
            layer(x)
    assert error.value.why == "torch does not see single steps"
    layer(x)
    assert layer.used == "fused"


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_neurons_of_other_channels_are_refused(recurrent, kernels):
    layer = layer_of(4, recurrent=recurrent)
    layer.neuron = Lif(5, 3)
    use_kernels(layer, kernels)
    with pytest.raises(ConfigError, match="parameters for 3 channels, the input has 4"):
        layer(frames(5, 2))
