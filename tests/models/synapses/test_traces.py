"""Traces of several time constants, against `scipy.signal.lfilter`."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.stepwise import stepper
from asnn.models.synapses import create_synapse

TAUS = [2.0, 5.0, 9.0]


def spikes(*shape):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(0)) < 0.3).double()


@settings(max_examples=15, deadline=None)
@given(
    steps=st.integers(1, 9),
    batch=st.integers(1, 3),
    channels=st.integers(1, 4),
    taus=st.lists(st.floats(0.5, 50), min_size=1, max_size=3),
)
def test_they_are_those_of_scipy(steps, batch, channels, taus):
    x = spikes(steps, batch, channels)
    found = create_synapse("traces", channels, steps=steps, tau=taus).double()(x).numpy()
    assert found.shape == (steps, batch, len(taus) * channels)
    for k, tau in enumerate(taus):
        p = np.exp(-1 / tau)
        expected = lfilter([1 - p], [1, -p], x.numpy(), axis=0)
        part = found[:, :, k * channels : (k + 1) * channels]
        np.testing.assert_allclose(part, expected, rtol=2e-6, atol=1e-9)
    assert found.min() >= 0 and found.max() <= 1


def test_the_order_of_time_constants_matters():
    """Negative control of the comparison."""
    x = spikes(9, 2, 4)
    one, other = (create_synapse("traces", 4, steps=9, tau=taus) for taus in (TAUS, TAUS[::-1]))
    assert not torch.allclose(one(x), other(x))
    torch.testing.assert_close(one(x)[..., :4], other(x)[..., 8:])


def test_step_by_step():
    synapse = create_synapse("traces", 4, steps=9, tau=TAUS)
    x = spikes(9, 2, 4).float()
    step = stepper(synapse)
    torch.testing.assert_close(torch.stack([step(each) for each in x]), synapse(x))


@pytest.mark.parametrize("name", ["traces", "exp", "dual-exp"])
def test_a_step_has_the_gradient_of_the_step_alone(name):
    synapse = create_synapse(name, 4, steps=2, learn=False)
    step, first = stepper(synapse), spikes(2, 4).float().requires_grad_()
    step(first)
    last = spikes(2, 4).float().requires_grad_()
    step(last).sum().backward()
    assert first.grad is None and last.grad is not None


def test_time_constants_are_learned_only_if_asked():
    assert not any(p.requires_grad for p in create_synapse("traces", 2, steps=3).parameters())
    synapse = create_synapse("traces", 2, steps=3, learn=True)
    synapse(spikes(3, 1, 2).float()).sum().backward()
    assert synapse.logit.grad.abs().min() >= 0 and synapse.logit.grad.any()


@pytest.mark.parametrize("model", ["mlp", "lenet", "rsnn"])
def test_networks_whose_weights_read_one_value_refuse_them(model):
    with pytest.raises(ConfigError, match="synapse traces sends .* values for") as refused:
        create_model(model, in_shape=(1, 8, 8), classes=3, steps=2, synapse="traces")
    assert refused.value.remedy == "choose model.name=trace-mlp, or synapse.name=exp"


def test_refusals():
    with pytest.raises(ConfigError, match="tau is empty"):
        create_synapse("traces", 2, steps=3, tau=[])
    with pytest.raises(ConfigError, match=r"tau is 0\.0"):
        create_synapse("traces", 2, steps=3, tau=[1.0, 0.0])
