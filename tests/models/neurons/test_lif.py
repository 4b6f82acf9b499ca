"""LIF, ALIF, PLIF and XLIF against loops over single numbers."""

import math

import pytest
import torch

from asnn.core import ConfigError
from asnn.measure.schedules import schedules
from asnn.models import create_model
from asnn.models.neurons.functional.lif import lif_step
from asnn.models.neurons.lif import Alif, Lif, Plif, Xlif
from asnn.models.stepwise import stepper

STEPS = 7


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@torch.no_grad()
def loop(neuron, c, x, activity):
    """Return the spikes of one neuron of channel c for numbers x and activities of all steps."""
    v = s = trace = 0.0
    leak = sigmoid(float(neuron.logit_leak[0, c]))
    kind, spikes = type(neuron), []
    for x_t, activity_t in zip(x, activity, strict=True):
        if kind in (Plif, Alif, Xlif):
            kept = sigmoid(float(neuron.logit_adaptation[0, c]))
        if kind in (Lif, Plif):
            threshold = max(float(neuron.threshold[0, c]), 0.01)
            if kind is Plif:
                trace = kept * trace + (1 - kept) * activity_t
                x_t = x_t - sigmoid(float(neuron.logit_weight[0, c])) * trace
            v = leak * v * (1 - s) + (1 - leak) * x_t
        else:
            base, slope = max(float(neuron.base[0, c]), 0.01), max(float(neuron.slope[0, c]), 0.0)
            v = leak * v + (1 - leak) * x_t - s * (base + slope * trace)
            trace = kept * trace + (1 - kept) * (s if kind is Alif else activity_t)
            threshold = base + slope * trace
        s = float(v > threshold)
        spikes.append(s)
    return spikes


def with_random_parameters(kind, channels):
    neuron = kind(STEPS, channels)
    generator = torch.manual_seed(3)
    with torch.no_grad():
        neuron.logit_leak.copy_(torch.randn(1, channels, generator=generator))
        for name in ("logit_adaptation", "logit_weight", "slope"):
            if hasattr(neuron, name):
                getattr(neuron, name).copy_(torch.randn(1, channels, generator=generator))
    return neuron


@pytest.mark.parametrize("kind", [Lif, Alif, Plif, Xlif])
def test_spikes_are_those_of_a_loop(kind):
    neuron = with_random_parameters(kind, 3)
    generator = torch.manual_seed(0)
    x = 3 * torch.randn(STEPS, 2, 3, 2, 2, generator=generator)
    activity = torch.rand(STEPS, 2, 1, 2, 2, generator=generator)
    step = neuron.step_function(3)
    states = [torch.zeros(2, 3, 2, 2)] * len(neuron.state_names)
    spikes = []
    for t in range(STEPS):
        given = [x[t], *([activity[t]] if neuron.reads_input else [])]
        s, *states = step(*given, *states)
        spikes.append(s)
    spikes = torch.stack(spikes).detach()
    assert 0.1 < float(spikes.mean()) < 0.9
    for b, c, i, j in torch.cartesian_prod(*(torch.arange(n) for n in (2, 3, 2, 2))).tolist():
        expected = loop(neuron, c, x[:, b, c, i, j].tolist(), activity[:, b, 0, i, j].tolist())
        assert spikes[:, b, c, i, j].tolist() == expected


@pytest.mark.parametrize("kind", [Lif, Alif])
def test_the_gradient_of_a_step_is_that_of_the_step_alone(kind):
    x = torch.ones(2, 1, 3, requires_grad=True)
    step = stepper(with_random_parameters(kind, 3))
    step(x[0])
    step(x[1]).sum().backward()
    assert x.grad[1].all()
    assert not x.grad[0].any()


@pytest.mark.parametrize("kind", [Lif, Alif])
@pytest.mark.parametrize("shape", [(3,), (3, 2, 4)])
def test_all_steps_are_the_steps_one_by_one(kind, shape):
    neuron = with_random_parameters(kind, 3)
    x = 3 * torch.randn(STEPS, 2, *shape, generator=torch.manual_seed(1))
    step = stepper(neuron)
    neuron.requires_grad_(False)
    assert torch.equal(neuron(x), torch.stack([step(x_t) for x_t in x]))
    assert neuron(x[:0]).shape == x[:0].shape


def test_the_surrogate_is_that_of_the_paper():
    x = torch.tensor([-2.0, -0.1, 0.0, 0.3], requires_grad=True)
    zero, half = torch.zeros(4), torch.tensor(0.5)
    s, *_ = lif_step(x, zero, zero, leak=half, threshold=zero)
    assert s.tolist() == [0, 0, 0, 1]
    s.sum().backward()
    assert torch.allclose(x.grad, 0.5 / (1 + 10 * (x.detach() / 2) ** 2))


def test_the_reset_has_no_gradient():
    neuron = Lif(2, 1)
    with torch.no_grad():
        neuron.logit_leak.fill_(0.0)
    x = torch.tensor([[[5.0]], [[1.0]]], requires_grad=True)
    neuron(x)[1].sum().backward()
    assert x.grad[0] == 0  # the spike of step 0 resets, so that its input has no other way


def test_start_values():
    torch.manual_seed(0)
    lif, alif = Lif(1, 4000), Alif(1, 4000)
    for values, mean in ((lif.logit_leak, -4), (lif.threshold, 0.8), (alif.logit_adaptation, -4)):
        assert float(values.detach().mean()) == pytest.approx(mean, abs=0.012)
        assert float(values.detach().std()) == pytest.approx(0.1, abs=0.01)
    assert torch.all(alif.base == 0.01)
    assert torch.all(alif.slope == 1.8)


@pytest.mark.parametrize("name", ["plif", "xlif"])
def test_neurons_that_read_the_layers_input_are_refused_by_other_networks(name):
    model = create_model("mlp", in_shape=(1, 2, 2), classes=2, features=[3], neuron=name)
    with pytest.raises(ConfigError, match=f"neurons {name} read the input of their layer") as error:
        model(torch.rand(2, 1, 2, 2))
    assert error.value.remedy == "set model.name=firenet, or model.neuron to lif or alif"


@pytest.mark.parametrize("name", ["lif", "alif"])
def test_other_networks_take_the_others(name):
    model = create_model("lenet", in_shape=(1, 8, 8), classes=2, widths=[4], hidden=5, neuron=name)
    model(torch.rand(2, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in model.body.spikes1.neuron.parameters())


@pytest.mark.parametrize("kind", [Lif, Alif])
def test_an_input_of_other_channels_is_refused(kind):
    with pytest.raises(ConfigError, match="parameters for 3 channels, the input has 4"):
        kind(STEPS, 3)(torch.zeros(STEPS, 2, 4))
    assert kind(STEPS, 3, granularity="layer")(torch.zeros(STEPS, 2, 4)).shape == (STEPS, 2, 4)


def test_options_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="leak must be above 0 and below 1, not 1"):
        Lif(1, 2, leak=1.0)
    with pytest.raises(ConfigError, match="unknown granularity 'pixel'"):
        Alif(1, 2, granularity="pixel")
    assert Alif(1, 5, granularity="layer").logit_leak.shape == (1, 1)


def test_its_schedules_are_the_means_over_channels_of_what_it_computes_with():
    model = create_model(
        "lenet", in_shape=(1, 8, 8), classes=2, widths=[4], hidden=5, steps=4, neuron="lif"
    )
    neuron = model.body.spikes1.neuron
    found = schedules(model)["spikes1"]
    assert found["leak"] == pytest.approx([float(neuron.logit_leak.detach().sigmoid().mean())])
    assert found["threshold"] == pytest.approx([float(neuron.threshold.detach().mean())])
    with torch.no_grad():
        neuron.threshold.fill_(-1.0)
    assert schedules(model)["spikes1"]["threshold"] == pytest.approx([0.01])
