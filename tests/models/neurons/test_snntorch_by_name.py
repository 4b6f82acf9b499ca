"""snnTorch's neurons by name, against snnTorch itself called step by step."""

import copy
import gc
import pickle

import pytest
import snntorch
import torch
from snntorch._neurons.neurons import SpikingNeuron

from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.neurons.registry import neuron_registry
from asnn.models.saved import load_model, save_model

STEPS = 9
CASES = [
    ("Leaky", {"beta": 0.8}),
    ("Leaky", {"beta": 0.8, "reset_delay": False}),
    ("Leaky", {"beta": 0.8, "reset_mechanism": "zero"}),
    ("Leaky", {"beta": 0.7, "reset_mechanism": "none", "threshold": 0.6}),
    ("Synaptic", {"alpha": 0.6, "beta": 0.7}),
    ("Synaptic", {"alpha": 0.6, "beta": 0.7, "reset_delay": False, "reset_mechanism": "zero"}),
    ("Alpha", {"alpha": 0.9, "beta": 0.5}),
    ("Lapicque", {"beta": 0.8}),
    ("RLeaky", {"beta": 0.8, "V": 0.5}),
    ("RSynaptic", {"alpha": 0.5, "beta": 0.6, "V": 0.4}),
]
NAMES = ("Leaky", "Synaptic", "Alpha", "Lapicque", "RLeaky", "RSynaptic")


def inputs(*shape):
    x = torch.rand(STEPS, *shape, generator=torch.Generator().manual_seed(0))
    return x * 1.5 - 0.3


def theirs(name, options, x, alpha=2.0):
    """Call snnTorch's neuron as its documentation does."""
    own = dict(options)
    if name.startswith("R"):
        own["all_to_all"] = False
    neuron = getattr(snntorch, name)(spike_grad=snntorch.surrogate.atan(alpha=alpha), **own)
    spk = syn = exc = inh = mem = torch.zeros_like(x[0])
    spikes = []
    for x_t in x:
        if name in ("Leaky", "Lapicque"):
            spk, mem = neuron(x_t, mem)
        elif name == "Synaptic":
            spk, syn, mem = neuron(x_t, syn, mem)
        elif name == "Alpha":
            spk, exc, inh, mem = neuron(x_t, exc, inh, mem)
        elif name == "RLeaky":
            spk, mem = neuron(x_t, spk, mem)
        else:
            spk, syn, mem = neuron(x_t, spk, syn, mem)
        spikes.append(spk)
    return torch.stack(spikes)


def ours(name, options, x):
    neuron = neuron_registry.get(f"snntorch.{name}")(STEPS, x.shape[2], **options)
    return neuron(x)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_spikes_and_gradients_are_those_of_snntorch(name, options):
    found = []
    for function in (theirs, ours):
        scale = 6 if name == "Lapicque" else 1  # its input is divided by a capacitance
        x = (scale * inputs(3, 4)).requires_grad_()
        spikes = function(name, options, x)
        weights = torch.rand(spikes.shape, generator=torch.Generator().manual_seed(1))
        (spikes * weights).sum().backward()
        found.append((spikes.detach(), x.grad))
    assert 0.02 < float(found[0][0].mean()) < 0.98
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_negative_control_another_decay_gives_other_spikes():
    x = inputs(3, 4)
    assert not torch.equal(ours("Leaky", {"beta": 0.8}, x), theirs("Leaky", {"beta": 0.5}, x))


@pytest.mark.parametrize("name", NAMES)
def test_a_call_leaves_no_state(name):
    neuron = neuron_registry.get(f"snntorch.{name}")(STEPS, 4)
    x = inputs(3, 4)
    first = neuron(x.requires_grad_())
    assert torch.equal(neuron(x), first)
    assert neuron(x[:, :2]).shape == (STEPS, 2, 4)
    again = pickle.loads(pickle.dumps(copy.deepcopy(neuron)))
    assert torch.equal(again(x), first)
    assert not any(name.endswith("mem") for name in neuron.state_dict())


@pytest.mark.slow
def test_snntorch_does_not_keep_them_alive():
    before = len(SpikingNeuron.instances)
    neuron = neuron_registry.get("snntorch.Leaky")(STEPS)
    assert len(SpikingNeuron.instances) == before
    del neuron
    gc.collect()


@pytest.mark.parametrize("model", ["mlp", "lenet"])
@pytest.mark.parametrize("name", NAMES)
def test_networks_train_and_predict_with_them(name, model):
    options = {"mlp": {"features": [6]}, "lenet": {"widths": [3], "hidden": 5}}[model]
    network = create_model(
        model, in_shape=(1, 6, 6), classes=3, steps=3, neuron=f"snntorch.{name}", **options
    )
    x = torch.rand(4, 1, 6, 6)
    network(x).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    predicted = network.eval().predict(x)
    with torch.no_grad():
        torch.testing.assert_close(predicted, network(x).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_networks_are_saved_and_loaded(name, tmp_path):
    options = {"learn_recurrent": False} if name == "RSynaptic" else {}
    network = create_model(
        "mlp",
        in_shape=(1, 3, 3),
        classes=3,
        steps=3,
        features=[6],
        neuron=f"snntorch.{name}",
        neuron_options=options,
    )
    save_model(tmp_path / "model.safetensors", network)
    x = torch.rand(4, 1, 3, 3)
    with torch.no_grad():
        expected = network.eval()(x)
        assert torch.equal(load_model(tmp_path / "model.safetensors")(x), expected)


def test_all_to_all_connections_and_what_learns():
    neuron = neuron_registry.get("snntorch.RLeaky")(STEPS, 4, all_to_all=True, learn_beta=True)
    names = {name for name, p in neuron.named_parameters() if p.requires_grad}
    assert names == {"neuron.beta", "neuron.recurrent.weight", "neuron.recurrent.bias"}
    assert neuron(inputs(3, 4)).shape == (STEPS, 3, 4)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"beta": 1.5}, "beta is 1.5"),
        ({"threshold": 0}, "threshold must be above 0"),
        ({"reset_mechanism": "half"}, "refuses its options"),
        ({"surrogate": "step"}, "unknown surrogate 'step'"),
    ],
)
def test_refused_options(options, text):
    with pytest.raises(ConfigError, match=text):
        neuron_registry.get("snntorch.Leaky")(STEPS, **options)
