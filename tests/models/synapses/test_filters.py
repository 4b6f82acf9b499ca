"""Synapses, against `scipy.signal.lfilter` and closed forms."""

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.synapses import Synapse, create_synapse, synapse_registry
from asnn.models.synapses.filters import exp_filter, pole_filter

T, B, C = 20, 3, 4
SHAPES = [(T, B, C), (T, B, C, 2, 5)]


def spikes(*shape):
    g = torch.Generator().manual_seed(0)
    return (torch.rand(*shape, generator=g) < 0.3).double()


def dual_exp_filter(x, p, q):
    return pole_filter(x, torch.stack([q, p]), p - q)


def poles(low, high):
    return torch.linspace(low, high, C, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_exponential_filter_is_that_of_scipy(shape):
    x, p = spikes(*shape), poles(0.1, 0.95)
    found = exp_filter(x, p).numpy()
    for c in range(C):
        expected = lfilter([1.0], [1.0, -float(p[c])], x[:, :, c].numpy(), axis=0)
        np.testing.assert_allclose(found[:, :, c], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_dual_exponential_filter_is_that_of_scipy(shape):
    x, p, q = spikes(*shape), poles(0.5, 0.95), poles(0.05, 0.6)
    found = dual_exp_filter(x, p, q).numpy()
    for c in range(C):
        a, b = float(p[c]), float(q[c])
        expected = lfilter([a - b], [1.0, -(a + b), a * b], x[:, :, c].numpy(), axis=0)
        np.testing.assert_allclose(found[:, :, c], expected, rtol=1e-10, atol=1e-12)


def test_impulse_responses():
    impulse = torch.zeros(T, 1, 1, dtype=torch.float64)
    impulse[0] = 1
    n = np.arange(T)
    p, q = torch.tensor([[0.8], [0.3]], dtype=torch.float64)
    np.testing.assert_allclose(exp_filter(impulse, p)[:, 0, 0], 0.8**n)
    expected = 0.8 ** (n + 1) - 0.3 ** (n + 1)
    np.testing.assert_allclose(dual_exp_filter(impulse, p, q)[:, 0, 0], expected)
    # Negative controls: poles in the wrong order, or a delay by one step.
    assert not np.allclose(dual_exp_filter(impulse, q, p)[:, 0, 0], expected)
    assert not np.allclose(dual_exp_filter(impulse, p, q)[1:, 0, 0], expected[:-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exp", "dual-exp"])
def test_gradients_of_the_poles(name):
    torch.manual_seed(0)
    synapse = create_synapse(name, C, steps=T).double()
    x = spikes(T, B, C).requires_grad_()
    names = [name for name, _ in synapse.named_parameters()]
    parameters = tuple(p.detach().clone().requires_grad_() for p in synapse.parameters())

    def function(x, *values):
        return torch.func.functional_call(synapse, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (x, *parameters))


def test_start_values_and_bounds():
    one = create_synapse("exp", C, steps=T, tau=5.0)
    assert one.poles[0].tolist() == pytest.approx([np.exp(-1 / 5)] * C)
    two = create_synapse("dual-exp", C, steps=T, tau=5.0, tau_rise=2.0)
    q, p = two.poles
    assert p.tolist() == pytest.approx([np.exp(-1 / 5)] * C)
    assert q.tolist() == pytest.approx([np.exp(-1 / 2)] * C)
    with torch.no_grad():
        for parameter in two.parameters():
            parameter.copy_(torch.tensor([-8.0, -1.0, 3.0, 8.0]))
    q, p = two.poles
    assert bool(((q > 0) & (q < p) & (p < 1)).all())
    assert not any(
        p.requires_grad for p in create_synapse("exp", 2, steps=2, learn=False).parameters()
    )


OWN = {
    "mlp": {"features": [5, 4]},
    "rsnn": {"features": [5, 4]},
    "lenet": {"widths": [3, 4]},
    "vgg": {"width": 4, "hidden": [5]},
    "sew-resnet": {"width": 3},
    "ms-resnet": {"width": 3},
    "spikformer": {"size": "1-16"},
}
# In front of all layers but the first; MS-ResNet's shortcuts read membranes, not spikes.
LAYERS = {
    "mlp": 2, "rsnn": 2, "lenet": 3, "vgg": 7 + 1 + 1, "sew-resnet": 8 * 2 + 3 + 1,
    "ms-resnet": 8 * 2 + 1, "spikformer": 3 + 1 + 2 + 2 + 1,
}  # fmt: skip


@pytest.mark.parametrize("model", OWN)
@pytest.mark.parametrize("name", [name for name in synapse_registry.builtin if name != "traces"])
def test_networks_train_and_predict_with_them(name, model):
    torch.manual_seed(0)
    network = create_model(
        model, in_shape=(1, 6, 6), classes=3, steps=4, synapse=name, **OWN[model]
    )
    found = [each for each in network.modules() if isinstance(each, Synapse)]
    assert len(found) == (0 if name == "none" else LAYERS[model])
    x = torch.rand(5, 1, 6, 6)
    network(x).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    with torch.no_grad():
        network.eval()
        torch.testing.assert_close(network.predict(x), network(x).mean(0), rtol=1e-3, atol=1e-4)
    assert ("synapse" in network.config) == (name != "none")


def test_refusals():
    with pytest.raises(ConfigError, match="tau is 0"):
        create_synapse("exp", C, steps=T, tau=0)
    with pytest.raises(ConfigError, match="must be above 0 and below tau") as refused:
        create_synapse("dual-exp", C, steps=T, tau=1.0, tau_rise=2.0)
    assert "tau_rise is 2.0" in str(refused.value)
    with pytest.raises(ConfigError, match="unknown synapse 'expp'"):
        create_synapse("expp", C, steps=T)
    with pytest.raises(ConfigError, match="model lstm has no synapses"):
        create_model("lstm", in_shape=(3, 4, 4), classes=2, synapse="exp")


def test_spikingjellys_filter_is_the_same_on_an_impulse_alone():
    """Theirs does not decay at a step with a spike: out ← out - (1 - x) out / τ + x."""
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    tau = 5.0
    pole = torch.tensor(1 - 1 / tau, dtype=torch.float64)

    def theirs(x):
        synapse = layer.SynapseFilter(tau=tau, learnable=False, step_mode="m")
        return synapse(x)

    impulse = torch.zeros(T, 1, 1, dtype=torch.float64)
    impulse[3] = 1
    torch.testing.assert_close(theirs(impulse), exp_filter(impulse, pole))
    # The negative control: of a train of spikes it is another filter.
    train = spikes(T, B, C)
    assert not torch.allclose(theirs(train), exp_filter(train, pole), rtol=1e-2)
    decayed, expected = torch.zeros_like(train[0]), []
    for x in train:
        decayed = decayed - (1 - x) * decayed / tau + x
        expected.append(decayed)
    torch.testing.assert_close(theirs(train), torch.stack(expected))
