"""Spikes that are drawn: their probability, their gradient, and whose random numbers they are."""

import math

import pytest
import torch

from asnn.coding.draws import drawing, sample_keys, uniforms
from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.layers.recurrent import Recurrent
from asnn.models.layers.spiking import SpikingLayer, use_kernels
from asnn.models.neurons import AdaptiveLeaky
from asnn.models.neurons.surrogates import drawn_spike
from asnn.models.noise import without_noise

VARIANTS = [{}, {"reset": "zero"}, {"learn_reset_size": True}, {"granularity": "channel"}]


def keys(number=6):
    return sample_keys(torch.arange(number), 0)


def currents(steps=5, batch=6):
    return 2 * torch.rand(steps, batch, 3, 2, generator=torch.Generator().manual_seed(1))


def sigmoid(u):
    return 1 / (1 + math.exp(-u))


@pytest.mark.slow
@pytest.mark.parametrize("u", [-0.5, 0.0, 0.3])
def test_the_mean_is_the_probability_and_the_gradient_its_derivative(u):
    number, kappa = 40_000, 4.0
    leaf = torch.full((number,), u, dtype=torch.float64, requires_grad=True)
    uniform = torch.rand(number, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spikes = drawn_spike(leaf, uniform, kappa)
    p = sigmoid(kappa * u)
    assert set(spikes.tolist()) == {0.0, 1.0}
    assert abs(float(spikes.detach().mean()) - p) <= 3 * math.sqrt(p * (1 - p) / number)
    spikes.sum().backward()
    h = 1e-6  # the mean of a spike, differentiated by finite differences
    slope = (sigmoid(kappa * (u + h)) - sigmoid(kappa * (u - h))) / (2 * h)
    assert leaf.grad.tolist() == pytest.approx([slope] * number, rel=1e-8)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_loop_over_numbers(options):
    neuron = AdaptiveLeaky(5, 3, noise="logistic", kappa=3.0, gain=1.0, **options)
    x = currents()
    with drawing(keys()), torch.no_grad():
        found = neuron(x)
    drawn = uniforms(keys(), 5, (3, 2), device=x.device, stream=1)
    theta = float(neuron.threshold)
    for b, c, i in ((b, c, i) for b in range(6) for c in range(3) for i in range(2)):
        v = 0.0
        for t in range(5):
            v = 0.5 * v + float(x[t, b, c, i])
            s = float(drawn[t, b, c, i] < sigmoid(3 * (v - theta)))
            assert found[t, b, c, i] == s
            size = 1.0 if neuron.reset_size is not None else theta
            v = v * (1 - s) if options.get("reset") == "zero" else v - size * s
    assert 0 < found.mean() < 1


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_little_noise_is_no_noise(options):
    steep = AdaptiveLeaky(5, 3, noise="logistic", kappa=1e6, gain=1.0, **options)
    plain = AdaptiveLeaky(5, 3, gain=1.0, **options)
    x = currents()
    assert torch.equal(steep(x), plain(x))
    noisy = AdaptiveLeaky(5, 3, noise="logistic", gain=1.0, **options)
    assert not torch.equal(noisy(x), plain(x))  # negative control
    noisy.stop_drawing()
    assert torch.equal(noisy(x), plain(x)) and not noisy.draws


def test_it_is_logistic_noise_on_the_threshold():
    """s = [uniform < σ(κ u)] = H(u - noise / κ), noise = log(uniform / (1 - uniform))."""
    u = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    uniform = torch.rand(1000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = (uniform / (1 - uniform)).log() / 4
    assert torch.equal(drawn_spike(u, uniform, 4.0), (u > noise).double())


def test_step_by_step_is_all_steps():
    neuron, x = AdaptiveLeaky(5, noise="logistic", once=True), currents()
    with drawing(keys()):
        mem, single = neuron.init_leaky(), []
        for x_t in x:
            spikes, mem = neuron(x_t, mem)
            single.append(spikes)
        assert torch.equal(torch.stack(single), neuron(x))
    assert neuron(x).sum(0).max() == 1


def test_what_is_drawn_does_not_depend_on_the_batch():
    neuron, x = AdaptiveLeaky(5, noise="logistic"), currents()
    with drawing(keys()):
        whole = neuron(x)
    with drawing(keys()[4:5]):
        assert torch.equal(neuron(x[:, 4:5]), whole[:, 4:5])
    with drawing(sample_keys(torch.arange(6), 1)):
        assert not torch.equal(neuron(x), whole)
    torch.manual_seed(0)
    free = neuron(x)
    torch.manual_seed(0)
    assert torch.equal(neuron(x), free) and not torch.equal(neuron(x), free)


def network(**options):
    torch.manual_seed(0)
    return create_model(
        "mlp", in_shape=(1, 4, 4), classes=3, steps=4, features=[6, 6],
        neuron_options={"noise": "logistic", "gain": 1.0, **options},
    ).eval()  # fmt: skip


def test_layers_draw_different_numbers_and_copies_the_same():
    model, x = network(), torch.rand(6, 1, 4, 4)
    neurons = [part for part in model.modules() if isinstance(part, AdaptiveLeaky)]
    assert [neuron.stream for neuron in neurons] == [1, 2]
    with drawing(keys()), torch.no_grad():
        torch.testing.assert_close(model.frozen()(x), model(x))
        quiet = without_noise(model)
        assert not torch.allclose(quiet(x), model(x))
        torch.testing.assert_close(quiet(x), without_noise(network())(x))
    with pytest.raises(ConfigError, match="no neuron and no readout of this network draws"):
        without_noise(quiet)


def test_a_part_that_cannot_stop_is_named():
    model = network()
    model.body.spikes1.neuron.stop_drawing = None
    with pytest.raises(ConfigError) as caught:
        without_noise(model)
    assert str(caught.value).startswith("body.spikes1.neuron cannot stop drawing")


def test_recurrent_neurons_draw_too():
    layer = Recurrent(AdaptiveLeaky(5, 3, noise="logistic"), 3)
    x = currents()[..., 0]
    with drawing(keys()):
        assert torch.equal(layer(x), layer(x))
    assert not torch.equal(layer(x), layer(x))
    layer.neuron.stop_drawing()
    assert torch.equal(layer(x), layer(x))


def test_the_fused_kernels_say_that_they_do_not():
    layer = SpikingLayer(None, AdaptiveLeaky(4, noise="logistic"))
    layer(torch.rand(4, 2, 3))
    assert layer.used == "reference"
    use_kernels(layer, "fused")
    with pytest.raises(ConfigError) as caught:
        layer(torch.rand(4, 2, 3))
    assert caught.value.why == "there is no fused kernel for neurons that draw their spikes"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kappa": 3.0}, "kappa is 3.0, noise is 'off'"),
        ({"noise": "logistic", "kappa": 0.0}, "kappa is 0.0, noise is 'logistic'"),
        ({"noise": "logistic", "surrogate": "atan"}, "spikes that are drawn have no surrogate"),
        ({"noise": "logistic", "alpha": 2.0}, "spikes that are drawn have no surrogate"),
        ({"noise": "gauss"}, "unknown noise 'gauss'"),
    ],
)
def test_options_that_contradict_each_other(options, message):
    with pytest.raises(ConfigError, match=message):
        AdaptiveLeaky(3, **options)


def test_an_export_is_refused_with_what_to_do():
    from asnn.exporters import source_of

    with pytest.raises(ConfigError) as caught:
        source_of(network())
    assert "its spikes are drawn at random" in caught.value.why
    assert "--noise off" in caught.value.remedy
    assert source_of(without_noise(network())).graph.neurons
