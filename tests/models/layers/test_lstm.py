"""Long short-term memory: its equations as a loop over numbers, and gradients by differences."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.learning.optimizer import decaying
from asnn.models.layers.lstm import Lstm, Standardised


def layer(inputs=4, features=3, seed=0):
    torch.manual_seed(seed)
    return Lstm(inputs, features).double()


def sequence(steps=5, batch=2, inputs=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, batch, inputs, generator=generator, dtype=torch.float64)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def by_numbers(lstm, x):
    """h of each step, one gate of one feature of one sample after the other."""
    w, u = lstm.weight_ih_l0.tolist(), lstm.weight_hh_l0.tolist()
    b, d = lstm.bias_ih_l0.tolist(), lstm.bias_hh_l0.tolist()
    features = lstm.hidden_size
    found = np.zeros((*x.shape[:2], features))
    for sample in range(x.shape[1]):
        h, c = [0.0] * features, [0.0] * features
        for t in range(len(x)):
            x_t = x[t, sample].tolist()

            def gate(row, x_t=x_t, h=h):
                total = b[row] + d[row]
                total += sum(weight * value for weight, value in zip(w[row], x_t, strict=True))
                return total + sum(weight * value for weight, value in zip(u[row], h, strict=True))

            rows = range(features)
            c = [
                sigmoid(gate(features + k)) * c[k]
                + sigmoid(gate(k)) * math.tanh(gate(2 * features + k))
                for k in rows
            ]
            h = [sigmoid(gate(3 * features + k)) * math.tanh(c[k]) for k in rows]
            found[t, sample] = h
    return found


@given(
    steps=st.integers(1, 5),
    batch=st.integers(1, 3),
    inputs=st.integers(1, 4),
    features=st.integers(1, 4),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_outputs_equal_a_loop_over_numbers(steps, batch, inputs, features, seed):
    lstm, x = layer(inputs, features, seed), sequence(steps, batch, inputs, seed)
    found = lstm(x).detach().numpy()
    np.testing.assert_allclose(found, by_numbers(lstm, x), rtol=0, atol=1e-12)


def test_negative_control_gates_in_another_order_are_found():
    lstm, x = layer(), sequence()
    expected = by_numbers(lstm, x)
    with torch.no_grad():
        for value in lstm.parameters():
            value.copy_(value.reshape(4, 3, -1)[[1, 0, 2, 3]].reshape(value.shape))
    assert np.abs(lstm(x).detach().numpy() - expected).max() > 0.01


def test_gradients_equal_finite_differences():
    lstm, x = layer(), sequence().requires_grad_()
    parameters = tuple(lstm.parameters())

    def outputs(x, *parameters):
        names = dict(zip(dict(lstm.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(lstm, names, (x,))

    assert torch.autograd.gradcheck(outputs, (x, *parameters), atol=1e-6)


def test_it_is_causal_and_takes_an_empty_batch():
    lstm, x = layer(), sequence()
    torch.testing.assert_close(lstm(x)[:3], lstm(x[:3]), rtol=0, atol=1e-15)
    assert lstm(x[:, :0]).shape == (5, 0, 3)
    assert lstm(x[:0]).shape == (0, 2, 3)


def test_weights_side_by_side():
    lstm = layer()
    assert lstm.weight.shape == (12, 7)
    assert torch.equal(lstm.weight[:, :4], lstm.weight_ih_l0)
    assert torch.equal(lstm.weight[:, 4:], lstm.weight_hh_l0)
    assert sum(p.numel() for p in lstm.parameters()) == 4 * 3 * (4 + 3) + 2 * 4 * 3


def test_matrices_decay_and_biases_do_not():
    lstm = layer()
    chosen = {id(p) for p in decaying(lstm)}
    names = {name for name, p in lstm.named_parameters() if id(p) in chosen}
    assert names == {"weight_ih_l0", "weight_hh_l0"}


@pytest.mark.parametrize("analog_steps", [0, 1, 3])
def test_analog_steps_are_standardised_and_the_others_stay(analog_steps):
    module = Standardised(analog_steps, mean=[0.5, 1.0], std=[2.0, 4.0], rank=3)
    code = torch.rand(3, 4, 2, 5, 6)
    found = module(code)
    assert found.shape == (3, 4, 60)
    for t in range(3):
        for channel, (mean, std) in enumerate([(0.5, 2.0), (1.0, 4.0)]):
            x = code[t, :, channel].flatten(1)
            expected = (x - mean) / std if t < analog_steps else x
            assert torch.equal(found[t, :, channel * 30 : (channel + 1) * 30], expected)
    assert torch.equal(module(code[:2]), found[:2])
    flat = Standardised(analog_steps, mean=[0.5, 1.0], std=[2.0, 4.0], rank=1)
    assert flat(torch.rand(3, 4, 2)).shape == (3, 4, 2)
