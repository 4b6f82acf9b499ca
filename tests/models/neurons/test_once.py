"""Neurons that fire once: at most one spike a sample, against a loop over numbers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.layers.recurrent import Recurrent
from asnn.models.layers.spiking import SpikingLayer, use_kernels
from asnn.models.neurons import AdaptiveLeaky, FixedLeaky

VARIANTS = [
    {},
    {"reset": "zero"},
    {"reset": "none"},
    {"learn_reset_size": True},
    {"granularity": "channel", "learn_threshold": True},
]


def neuron_of(steps=5, seed=0, **options):
    torch.manual_seed(seed)
    neuron = AdaptiveLeaky(steps, 3, **options).double()
    with torch.no_grad():
        for schedule in (neuron.leak, neuron.gain):
            schedule.copy_(0.3 + torch.rand_like(schedule))
    return neuron


def currents(steps=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(steps, 4, 3, 2, generator=generator, dtype=torch.float64)


@torch.no_grad()
def first_crossings(neuron, x):
    """The step at which each membrane without a reset first exceeds the threshold: one spike."""
    p = neuron.step_parameters()
    spikes = torch.zeros_like(x)
    for b, c, i in ((b, c, i) for b in range(4) for c in range(3) for i in range(2)):
        v = 0.0
        for t in range(len(x)):
            leak, gain = (float(part[t] if part.dim() == 1 else part[t, c]) for part in p[:2])
            v = leak * v + gain * float(x[t, b, c, i])
            size = 1.0 if p.reset_size is None else float(p.reset_size[t])
            if v / size > float(p.threshold):
                spikes[t, b, c, i] = 1
                break
    return spikes


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_the_only_spike_is_at_the_first_crossing(options):
    neuron, x = neuron_of(once=True, **options), currents()
    spikes = neuron(x)
    assert torch.equal(spikes, first_crossings(neuron, x))
    assert spikes.sum(0).max() == 1
    assert (spikes.sum((1, 2, 3)) > 0).sum() > 1  # at more than one step


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_negative_control_the_same_weights_fire_more_often(options):
    assert neuron_of(**options)(currents()).sum(0).max() > 1


@settings(max_examples=20, deadline=None)
@given(steps=st.integers(1, 6), shape=st.lists(st.integers(0, 3), min_size=1, max_size=3))
def test_step_by_step_is_all_steps(steps, shape):
    neuron = AdaptiveLeaky(steps, gain=1.0, once=True)
    x = 2 * torch.rand(steps, *shape, generator=torch.Generator().manual_seed(steps))
    mem, single = neuron.init_leaky(), []
    for x_t in x:
        spikes, mem = neuron(x_t, mem)
        single.append(spikes)
    assert torch.equal(torch.stack(single), neuron(x))
    assert torch.equal(mem.fired, neuron(x).sum(0))


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_one_step_is_as_without(options):
    x = 2 * currents(1)
    assert torch.equal(neuron_of(1, once=True, **options)(x), neuron_of(1, **options)(x))
    assert neuron_of(1, **options)(x).sum() > 0


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_no_gradient_flows_through_what_has_fired(options):
    """It is the gradient of all spikes with the later ones weighted by 0, a constant."""
    weight = torch.randn(5, 4, 3, 2, generator=torch.Generator().manual_seed(2)).double()

    def gradients(*, once):
        neuron, x = neuron_of(once=once, **options), currents().requires_grad_()
        first = first_crossings(neuron, x.detach())
        mask = 1 - (first.cumsum(0) - first)
        ((weight if once else weight * mask) * neuron(x)).sum().backward()
        return [x.grad, *(parameter.grad for parameter in neuron.parameters())]

    for found, expected in zip(gradients(once=True), gradients(once=False), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert found.abs().sum() > 0


def test_negative_control_a_gradient_through_what_has_fired_differs():
    x = currents().requires_grad_()
    neuron = neuron_of()
    spikes = neuron(x)
    through = spikes * (spikes.cumsum(0) - spikes == 0)
    leaking = spikes * (1 - (spikes.cumsum(0) - spikes).clamp(max=1))
    assert torch.equal(through, leaking)
    (kept,) = torch.autograd.grad(through.sum(), x, retain_graph=True)
    (other,) = torch.autograd.grad(leaking.sum(), x)
    assert not torch.allclose(kept, other)


def test_half_precision_and_state_dict_are_as_without():
    x = currents().to(torch.bfloat16)
    neuron = AdaptiveLeaky(5, once=True)
    assert neuron(x).dtype == torch.bfloat16
    assert neuron.state_dict().keys() == AdaptiveLeaky(5).state_dict().keys()
    assert repr(neuron).endswith("reset=subtract, once)")
    assert FixedLeaky(5, once=True).once and not FixedLeaky(5).once


def test_recurrent_neurons_fire_once_too():
    torch.manual_seed(0)
    x = 2 * torch.rand(6, 4, 3)
    once = Recurrent(AdaptiveLeaky(6, 3, once=True), 3)
    often = Recurrent(AdaptiveLeaky(6, 3), 3)
    often.load_state_dict(once.state_dict())
    with torch.no_grad():
        for layer in (once, often):
            layer.weight.copy_(torch.ones(3, 3))
    assert once(x).sum(0).max() == 1 < often(x).sum(0).max()
    # The spikes of the step before are those that were sent.
    s = v = torch.zeros(4, 3)
    fired = torch.zeros(4, 3, dtype=torch.bool)
    for t, x_t in enumerate(x):
        v = 0.5 * v + 0.5 * (x_t + s @ torch.ones(3, 3))
        s = ((v > 1) & ~fired).float()
        v, fired = v - s, fired | (s > 0)
        assert torch.equal(once(x)[t], s)


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("name", ["mlp", "lenet", "sew-resnet"])
def test_every_neuron_of_a_network_fires_at_most_once(name, kernels):
    torch.manual_seed(0)
    model = create_model(
        name, in_shape=(1, 8, 8), classes=3, steps=4, neuron_options={"once": True, "gain": 2.0}
    )
    use_kernels(model, kernels)
    largest = {}
    for key, module in model.named_modules():
        if isinstance(module, SpikingLayer):
            module.neuron.register_forward_hook(
                lambda m, x, y, key=key: largest.update({key: float(y.detach().sum(0).max())})
            )
    images = torch.rand(8, 1, 8, 8)
    assert model.coding.encode(images)[1:].sum(0).max() == 1  # nor does a pixel fire twice
    for mode in (model.train(), model.eval().frozen()):
        largest.clear()
        mode(images)
        assert largest and max(largest.values()) == 1


@pytest.mark.parametrize("neuron", ["integrate", "relu", "snntorch.Leaky"])
def test_other_neurons_have_no_such_option(neuron):
    with pytest.raises(ConfigError, match="once"):
        create_model(
            "mlp", in_shape=(1, 2, 2), classes=2, neuron=neuron, neuron_options={"once": True}
        )
