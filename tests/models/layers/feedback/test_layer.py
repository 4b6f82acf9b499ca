"""Convolutions with neurons that read their own spikes and the input of their layer."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from asnn.core import ConfigError
from asnn.models.layer import decaying_parameters
from asnn.models.layers.feedback import FeedbackLayer
from asnn.models.layers.feedback.layer import activity
from asnn.models.layers.time import OverTime
from asnn.models.neurons.leaky import AdaptiveLeaky
from asnn.models.neurons.lif import Alif, Lif, Plif, Xlif
from asnn.models.neurons.relu import Relu
from asnn.models.stepwise import stepper

STEPS = 5


def layer_of(kind, *, recurrent=True, gain=4.0):
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 3, 3, padding=1)
    again = nn.Conv2d(3, 3, 3, padding=1, bias=False) if recurrent else None
    with torch.no_grad():
        for each in (conv, again):
            if each is not None:
                each.weight.mul_(gain)
    return FeedbackLayer(OverTime(conv), kind(STEPS, 3), again)


def frames(seed=1):
    return torch.poisson(torch.full((STEPS, 2, 2, 4, 5), 0.7), torch.manual_seed(seed))


@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("kind", [Lif, Alif, Plif, Xlif, Relu])
def test_a_layer_is_its_equations(kind, recurrent):
    layer, x = layer_of(kind, recurrent=recurrent), frames()
    conv, sent, states = layer.conv.layer, torch.zeros(2, 3, 4, 5), None
    expected = []
    for x_t in x:
        current = conv2d(x_t, conv.weight, conv.bias, padding=1)
        if recurrent:
            current = current + conv2d(sent, layer.recurrent.weight, padding=1)
        if kind is Relu:
            sent = current.relu()
        else:
            given = [current]
            if kind in (Plif, Xlif):
                padded = nn.functional.pad(x_t.abs().mean(1, keepdim=True), (1, 1, 1, 1))
                given.append(padded.unfold(2, 3, 1).unfold(3, 3, 1).mean((4, 5)))
            states = states or [torch.zeros_like(current)] * len(layer.neuron.state_names)
            sent, *states = layer.neuron.step_function(3)(*given, *states)
        expected.append(sent)
    expected = torch.stack(expected)
    assert torch.allclose(layer(x), expected, atol=1e-6)
    assert 0.02 < float(expected.detach().ne(0).float().mean()) < 0.98
    if recurrent:  # it is not the layer without U
        layer.recurrent = None
        assert not torch.allclose(layer(x), expected)


@pytest.mark.parametrize("kind", [Lif, Alif, Plif, Xlif, Relu])
def test_steps_one_by_one_are_those_of_all_at_once(kind):
    layer, x = layer_of(kind).requires_grad_(False), frames()
    step = stepper(layer)
    assert torch.allclose(torch.stack([step(x_t) for x_t in x]), layer(x), atol=1e-5)


@pytest.mark.parametrize("kind", [Lif, Relu])
def test_dead_neurons_send_nothing_to_their_own_layer(kind):
    layer, x = layer_of(kind).requires_grad_(False), frames()
    whole = layer(x)
    alive = (torch.rand(3, 4, 5, generator=torch.manual_seed(2)) < 0.7).float()
    layer.silence(lambda shape: alive)
    sent, states, expected = torch.zeros(2, 3, 4, 5), [torch.zeros(2, 3, 4, 5)] * 2, []
    for x_t in x:
        current = layer.conv.layer(x_t) + conv2d(sent, layer.recurrent.weight, padding=1)
        if kind is Relu:
            sent = current.relu()
        else:
            sent, *states = layer.neuron.step_function(3)(current, *states)
        sent = sent * alive
        expected.append(sent)
    assert torch.allclose(layer(x), torch.stack(expected), atol=1e-5)
    step = stepper(layer)
    assert torch.allclose(torch.stack([step(x_t) for x_t in x]), layer(x), atol=1e-5)
    # Negative control: it is not enough to leave them out behind the layer.
    assert not torch.allclose(layer(x), whole * alive, atol=1e-3)


@pytest.mark.parametrize("kind", [Lif, Alif, Plif, Xlif, Relu])
def test_the_gradient_of_a_step_is_that_of_the_step_alone(kind):
    step, x = stepper(layer_of(kind)), frames().requires_grad_()
    step(x[0])
    step(x[1]).sum().backward()
    assert x.grad[1].any()
    assert not x.grad[0].any()


def test_the_recurrent_weights_have_a_gradient_and_the_reset_has_none():
    layer = layer_of(Lif)
    layer(frames()).sum().backward()
    assert layer.recurrent.weight.grad.abs().sum() > 0
    assert layer.conv.layer.weight.grad.abs().sum() > 0


def test_activity_is_the_mean_around_each_pixel():
    x = torch.randn(1, 1, 3, 4, 4, generator=torch.manual_seed(0))
    found = activity(x)
    assert float(found[0, 0, 0, 1, 2]) == pytest.approx(
        float(x[0, 0, :, 0:3, 1:4].abs().mean()), rel=1e-5
    )
    corner = x[0, 0, :, 0:2, 0:2].abs().sum() / 27  # 5 of 9 pixels are beyond the edge
    assert float(found[0, 0, 0, 0, 0]) == pytest.approx(float(corner), rel=1e-5)


def test_weights_decay_and_neurons_do_not():
    layer = layer_of(Xlif)
    found = {id(each) for each in decaying_parameters(layer)}
    assert found == {id(layer.conv.layer.weight), id(layer.recurrent.weight)}


def test_other_neurons_are_refused():
    with pytest.raises(ConfigError, match="this network cannot use neurons AdaptiveLeaky"):
        layer_of(AdaptiveLeaky)
