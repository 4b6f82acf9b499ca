"""Neurons whose reset decays, against the loop of their equations, snnTorch and leaky neurons."""

import math

import pytest
import snntorch
import torch

from asnn.core import ConfigError
from asnn.exporters import export_nir, export_onnx
from asnn.models import AdaptiveLeaky, create_model
from asnn.models.neurons.iir import Iir
from asnn.models.stepwise import stepper
from asnn.models.synapses.filters import exp_filter
from tests.support.exported_networks import make_source, samples

T, TAU = 30, 3.0
D = math.exp(-1 / TAU)
FORMS = ["off", "on", "twice"]


def currents(scale=0.6, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return scale * torch.rand(T, 4, 5, generator=generator, dtype=torch.float64).to(dtype)


def spikes_of(x, form, theta, *, delayed=False):
    """The equations, sample by sample: a reset of R, of the spike before, or of both."""
    found = torch.zeros_like(x)
    for b in range(x.shape[1]):
        for i in range(x.shape[2]):
            v = reset = sent = 0.0
            for t in range(T):
                taken = sent if form == "on" else reset
                v = (D * v if form != "off" else 0.0) + float(x[t, b, i]) - taken
                spike = theta * (v > theta)
                reset = D * reset + (sent if delayed else spike)
                found[t, b, i], sent = float(v > theta), spike
    return found


@pytest.mark.parametrize("theta", [1.0, 0.7])
@pytest.mark.parametrize("form", FORMS)
def test_the_equations(form, theta):
    x = currents(3.0 if form == "off" else 1.2)
    found = Iir(T, tau=TAU, membrane_filter=form, threshold=theta).double()(x)
    assert torch.equal(found, spikes_of(x, form, theta))
    assert 0.05 < found.mean() < 0.95
    others = [spikes_of(x, other, theta) for other in FORMS if other != form]
    assert not any(torch.equal(found, other) for other in others)
    if form == "off":  # the negative control: a reset that comes a step late
        assert not torch.equal(found, spikes_of(x, form, theta, delayed=True))


def test_with_a_filter_it_is_snntorchs_leaky_neuron():
    """Without spikes in steps that follow each other: snnTorch subtracts while v is above θ."""
    x = currents(0.5)
    theirs = snntorch.Leaky(beta=D, reset_mechanism="subtract", reset_delay=True)
    mem, expected = theirs.init_leaky(), []
    for x_t in x:
        spike, mem = theirs(x_t, mem)
        expected.append(spike)
    expected = torch.stack(expected)
    assert not (expected[1:] * expected[:-1]).any() and 0.05 < expected.mean() < 0.5
    assert torch.equal(Iir(T, tau=TAU, membrane_filter="on").double()(x), expected)


def test_behind_an_exponential_filter_off_equals_on():
    x = currents(0.5)
    filtered = exp_filter(x, torch.tensor(D, dtype=torch.float64))
    off = Iir(T, tau=TAU).double()(filtered)
    assert torch.equal(off, Iir(T, tau=TAU, membrane_filter="on").double()(x))
    # A leaky neuron that is reset at once, by θ / d: v - θ s of the next step.
    leaky = AdaptiveLeaky(T, leak=D, gain=1.0, learn_schedule=False, learn_reset_size=True).double()
    leaky.reset_size.data.fill_(1 / D)
    leaky.threshold.fill_(D)
    assert torch.equal(off, leaky(x))
    # The negative control: another pole, and the reset filtered twice.
    other = exp_filter(x, torch.tensor(0.9 * D, dtype=torch.float64))
    assert not torch.equal(Iir(T, tau=TAU).double()(other), off)
    assert not torch.equal(Iir(T, tau=TAU, membrane_filter="twice").double()(x), off)


@pytest.mark.parametrize("form", FORMS)
def test_gradients(form):
    """Against autograd of the same equations, with H(u) + Φ(u/σ) - Φ(u/σ) for a spike."""
    x = currents(1.5).requires_grad_()
    neuron = Iir(T, tau=TAU, membrane_filter=form, learn=True).double()
    weights = torch.linspace(-1, 1, x.numel(), dtype=torch.float64).view_as(x)
    (neuron(x) * weights).sum().backward()
    leaf, logit = (
        x.detach().clone().requires_grad_(),
        neuron.logit.detach().clone().requires_grad_(),
    )
    d, v, reset, total = logit.sigmoid(), 0, 0, 0
    for t in range(T):
        v = (0 if form == "off" else d * v) + leaf[t] - reset
        smooth = torch.special.ndtr((v - 1) / 0.4)
        s = (v > 1).double() + smooth - smooth.detach()
        reset = (0 if form == "on" else d * reset) + s
        total = total + (s * weights[t]).sum()
    total.backward()
    torch.testing.assert_close(x.grad, leaf.grad)
    torch.testing.assert_close(neuron.logit.grad, logit.grad)
    assert neuron.logit.grad.abs() > 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_step_by_step(form):
    x, neuron = currents(1.5), Iir(T, tau=TAU, membrane_filter=form).double()
    step = stepper(neuron)
    assert torch.equal(torch.stack([step(x_t) for x_t in x]), neuron(x))


def test_values_and_refusals():
    neuron = Iir(3, tau=2.0)
    assert float(neuron.pole) == pytest.approx(math.exp(-1 / 2))
    assert not neuron.logit.requires_grad and neuron.decaying_parameters() == []
    half = neuron(torch.ones(3, 2, 2, dtype=torch.bfloat16) * 2)
    assert half.dtype == torch.bfloat16 and half.sum() > 0
    assert neuron(torch.zeros(0, 2)).shape == (0, 2)
    with pytest.raises(ConfigError, match="unknown membrane_filter 'of'.*off, on, twice"):
        Iir(3, membrane_filter="of")
    with pytest.raises(ConfigError, match="tau must be above 0, not 0"):
        Iir(3, tau=0)
    with pytest.raises(ConfigError, match="threshold must be above 0, not -1"):
        Iir(3, threshold=-1)


@pytest.mark.parametrize("form", FORMS)
def test_exports(tmp_path, form):
    source = make_source("mlp", neuron="iir", neuron_options={"membrane_filter": form, "tau": 2.0},
                         synapse="dual-exp", synapse_options={"tau": 2.0})  # fmt: skip
    report = export_onnx(source, tmp_path, samples=samples()).report
    assert report.verified and all(report.spikes.values())
    with pytest.raises(ConfigError, match="NIR"):
        export_nir(source, tmp_path / "a.nir", samples=samples())


def test_a_network_has_no_fused_kernel_for_it():
    from asnn.models import use_kernels

    network = create_model("mlp", in_shape=(1, 3, 3), classes=2, steps=3, neuron="iir")
    use_kernels(network, "fused")
    with pytest.raises(ConfigError, match="no fused kernel for Iir"):
        network(torch.rand(4, 1, 3, 3))
