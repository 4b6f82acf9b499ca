"""Recurrent neurons: spikes against a loop over numbers, gradients against the adjoint by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.learning.optimizer import decaying
from asnn.models.layers.recurrent import START_GAIN, Recurrent
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.neurons.leaky import AdaptiveLeaky, FixedLeaky


def layer(steps=4, features=3, seed=0, *, dtype=torch.float64, **options):
    """Recurrent neurons with random weights and schedules, in which spikes meet a threshold."""
    torch.manual_seed(seed)
    found = Recurrent(AdaptiveLeaky(steps, features, **options), features).to(dtype)
    with torch.no_grad():
        for name, value in found.named_parameters():
            if name == "weight":
                value.copy_(torch.randn_like(value))
            elif not name.endswith("threshold"):
                value.copy_(0.3 + torch.rand_like(value))
    return found


def currents(steps=4, batch=5, features=3, seed=1, dtype=torch.float64):
    return 2 * torch.rand(steps, batch, features, generator=torch.Generator().manual_seed(seed),
                          dtype=dtype)  # fmt: skip


def by_numbers(recurrent, x):
    """The equation of `Recurrent`, one neuron of one sample after the other."""
    neuron, weight = recurrent.neuron, recurrent.weight.tolist()
    leak, gain = neuron.leak.tolist(), neuron.gain.tolist()
    size = None if neuron.reset_size is None else neuron.reset_size.tolist()
    theta = float(neuron.threshold)
    steps, batch, features = x.shape
    spikes = np.zeros(x.shape)

    def at(schedule, t, i):
        return schedule[t][i] if isinstance(schedule[t], list) else schedule[t]

    for sample in range(batch):
        v = [0.0] * features
        for t in range(steps):
            for i in range(features):
                current = float(x[t, sample, i])
                if t:
                    before = spikes[t - 1, sample]
                    current += sum(weight[i][j] * before[j] for j in range(features))
                v[i] = at(leak, t, i) * v[i] + at(gain, t, i) * current
                r = theta if size is None else at(size, t, i)
                fires = v[i] > (theta if size is None else theta * r)
                spikes[t, sample, i] = fires
                if neuron.options.reset == "zero":
                    v[i] *= not fires
                elif neuron.options.reset == "subtract":
                    v[i] -= r * fires
    return spikes


OPTIONS = [
    {},
    {"reset": "zero"},
    {"reset": "none"},
    {"granularity": "channel"},
    {"schedule": "shared"},
    {"learn_reset_size": True, "granularity": "channel"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_spikes_equal_a_loop_over_numbers(options):
    if options.get("schedule") == "shared":
        recurrent = layer(**options)
        recurrent.neuron.leak.data = recurrent.neuron.leak.data.expand(4).clone()
        recurrent.neuron.gain.data = recurrent.neuron.gain.data.expand(4).clone()
    else:
        recurrent = layer(**options)
    x = currents()
    found = recurrent(x).detach().numpy()
    np.testing.assert_array_equal(found, by_numbers(recurrent, x))
    assert 0 < found.mean() < 1
    # Negative control: with other recurrent weights the spikes are others.
    with torch.no_grad():
        recurrent.weight.neg_()
    assert (recurrent(x).detach().numpy() != found).any()


@given(
    steps=st.integers(1, 6),
    batch=st.integers(0, 3),
    features=st.integers(1, 5),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_spikes_of_every_shape(steps, batch, features, seed):
    recurrent = layer(6, features, seed)
    x = currents(steps, batch, features, seed)
    np.testing.assert_array_equal(recurrent(x).detach().numpy(), by_numbers(recurrent, x))


def adjoint(recurrent, x, upstream, *, through_recurrence=True):
    """The gradients of Σ upstream · spikes, by the adjoint equations of reset `subtract`.

    From the last step to the first, with σ' the surrogate's derivative:

        ds_t = upstream_t + Uᵀ gain_{t+1} dv_{t+1} - θ leak_{t+1} dv_{t+1}
        dv_t = leak_{t+1} dv_{t+1} + σ'(v_t - θ) ds_t
    """
    leak, gain, weight = (
        value.detach().numpy()
        for value in (recurrent.neuron.leak, recurrent.neuron.gain, recurrent.weight)
    )
    theta = float(recurrent.neuron.threshold)
    x, upstream = x.detach().numpy(), upstream.numpy()
    v, s = np.zeros_like(x[0]), np.zeros_like(x[0])
    before, input, distance, spikes = [], [], [], []
    for t in range(len(x)):
        before.append((v, s))
        input.append(x[t] + s @ weight.T)
        u = leak[t] * v + gain[t] * input[t] - theta
        s = (u > 0).astype(float)
        v = u + theta - theta * s
        distance.append(u)
        spikes.append(s)
    found = {"x": np.zeros_like(x), "weight": np.zeros_like(weight),
             "leak": np.zeros_like(leak), "gain": np.zeros_like(gain)}  # fmt: skip
    kept, sent = np.zeros_like(v), np.zeros_like(v)
    for t in reversed(range(len(x))):
        sigma = 1 / (1 + np.exp(-4 * distance[t]))
        ds = upstream[t] - theta * kept + (sent if through_recurrence else 0)
        dv = kept + 4 * sigma * (1 - sigma) * ds
        found["x"][t] = gain[t] * dv
        found["leak"][t] = (dv * before[t][0]).sum()
        found["gain"][t] = (dv * input[t]).sum()
        found["weight"] += gain[t] * dv.T @ before[t][1]
        kept, sent = leak[t] * dv, gain[t] * dv @ weight
    return np.stack(spikes), found


def test_gradients_equal_the_adjoint_by_hand():
    recurrent, x = layer(5, 4), currents(5, 6, 4).requires_grad_()
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).double()
    spikes = recurrent(x)
    (spikes * upstream).sum().backward()
    expected_spikes, expected = adjoint(recurrent, x, upstream)
    np.testing.assert_array_equal(spikes.detach().numpy(), expected_spikes)
    neuron = recurrent.neuron
    found = {"x": x, "weight": recurrent.weight, "leak": neuron.leak, "gain": neuron.gain}
    for name, value in found.items():
        np.testing.assert_allclose(value.grad.numpy(), expected[name], atol=1e-12, err_msg=name)
    # Negative control: without the path through the spikes of the step before.
    _, wrong = adjoint(recurrent, x, upstream, through_recurrence=False)
    assert np.abs(wrong["x"] - expected["x"]).max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_recurrent_weights_of_zero_are_no_recurrence_bit_for_bit(dtype):
    recurrent = layer(5, 4, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    x = currents(5, 7, 4, dtype=torch.float64).to(dtype)
    assert not torch.equal(recurrent(x), recurrent.neuron(x))  # negative control
    with torch.no_grad():
        recurrent.weight.zero_()
    found = recurrent(x)
    assert found.dtype == dtype and 0 < found.float().mean() < 1
    assert torch.equal(found, recurrent.neuron(x))


def test_the_first_step_has_no_recurrence():
    recurrent = layer(5, 4)
    x = currents(5, 7, 4)
    assert torch.equal(recurrent(x[:1]), recurrent.neuron(x[:1]))
    assert torch.equal(recurrent(x)[:3], recurrent(x[:3]))  # causal
    assert recurrent(x[:0]).shape == (0, 7, 4)


def test_more_steps_than_the_schedules_have_are_refused():
    with pytest.raises(ConfigError) as caught:
        layer(2)(currents(3))
    assert caught.value.what == ("the input has 3 steps or more, the neuron has parameters for 2")


def test_the_initial_weights_are_orthogonal_with_a_gain_below_1():
    recurrent = Recurrent(FixedLeaky(2), 6)
    product = recurrent.weight.detach() @ recurrent.weight.detach().T
    torch.testing.assert_close(product, START_GAIN**2 * torch.eye(6), rtol=0, atol=1e-6)
    assert math.isclose(START_GAIN, 0.5)


def test_the_recurrent_weight_decays_and_the_schedules_do_not():
    spiking = SpikingLayer(None, Recurrent(AdaptiveLeaky(3, 4, granularity="channel"), 4))
    assert [id(p) for p in decaying(spiking)] == [id(spiking.neuron.weight)]
    # Negative control: a matrix of a neuron that does not name it is a schedule.
    plain = SpikingLayer(None, AdaptiveLeaky(3, 4, granularity="channel"))
    assert plain.neuron.leak.dim() == 2 and decaying(plain) == []


def test_the_fused_kernels_refuse_it():
    spiking = SpikingLayer(None, layer(4, 3, dtype=torch.float32))
    spiking(currents(dtype=torch.float32))
    assert spiking.used == "reference"
    spiking.kernels = "fused"
    with pytest.raises(ConfigError) as caught:
        spiking(currents(dtype=torch.float32))
    assert caught.value.why == "there is no fused kernel for Recurrent"
