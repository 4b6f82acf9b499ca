"""Fused filters against the reference, scipy and finite differences of the reference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.core import ConfigError
from asnn.kernels.dispatch import backend
from asnn.kernels.filters import fused_filter
from asnn.models import create_model, use_kernels
from asnn.models.synapses import base, create_synapse
from asnn.models.synapses.filters import pole_filter


def drawn(shape, poles, *, has_gain=True, seed=0):
    """Spikes, poles and a gain, and weights of the output."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(shape, generator=generator) < 0.3).float()
    p = 0.05 + 0.9 * torch.rand(poles, shape[2], generator=generator)
    gain = torch.rand(shape[2], generator=generator) if has_gain else None
    return x, p, gain, torch.randn(shape, generator=generator)


def differentiated(function, x, p, gain, weights):
    """Return the output, and the gradients of x, poles and gain; 0 for none."""
    leaves = [None if each is None else each.clone().requires_grad_() for each in (x, p, gain)]
    y = function(*leaves)
    (y * weights).sum().backward()
    of = [leaf for leaf in leaves if leaf is not None]
    return y.detach(), *(torch.zeros_like(i) if i.grad is None else i.grad for i in of)


def fused(x, p, gain):
    return fused_filter(x, p, gain, backend("cpu"))


def operator(x, p, gain):
    return fused_filter(x, p, gain, None)


def sizes():
    channels = st.sampled_from([1, 3, 16, 17, 32, 600])
    return st.tuples(st.integers(0, 5), st.integers(0, 9), channels)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(sizes(), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_the_values_of_the_reference_bit_for_bit(shape, poles, has_gain, seed):
    """Forward and the gradient of the input; those of the poles, which are sums, to 1e-5."""
    case = drawn(shape, poles, has_gain=has_gain, seed=seed)
    expected = differentiated(pole_filter, *case)
    for function in (fused, operator):
        found = differentiated(function, *case)
        assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
        for one, other in zip(found[2:], expected[2:], strict=True):
            scale = float(other.abs().max()) if other.numel() else 0.0
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * max(scale, 1.0))


def test_many_rows_and_threads(monkeypatch):
    """Several groups of rows in a block; the result is the same for any number of threads."""
    monkeypatch.setattr("asnn.kernels.cpu.filters.MAX_BLOCKS", 3)
    case = drawn((4, 500, 7), 2)
    threads, found = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        found.append(differentiated(fused, *case))
    torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    exact = differentiated(pole_filter, *(each.double() for each in case))
    for one, other in zip(found[0], exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("poles", [1, 2])
def test_gradients_by_finite_differences(poles):
    """Of the reference in float64, one pole after the other."""
    x, p, gain, weights = (each.double() for each in drawn((6, 3, 4), poles))

    def value(p, gain):
        return float((pole_filter(x, p, gain) * weights).sum())

    single = [each.float() for each in (x, p, gain, weights)]
    _, _, of_poles, of_gain = differentiated(fused, *single)
    step = 1e-5
    for i in range(p.numel()):
        by = torch.zeros_like(p)
        by.view(-1)[i] = step
        expected = (value(p + by, gain) - value(p - by, gain)) / (2 * step)
        assert float(of_poles.view(-1)[i]) == pytest.approx(expected, rel=1e-3, abs=1e-4)
    for c in range(len(gain)):
        by = torch.zeros_like(gain)
        by[c] = step
        expected = (value(p, gain + by) - value(p, gain - by)) / (2 * step)
        assert float(of_gain[c]) == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(("p", "q"), [(0.8, 0.3), (0.95, 0.9)])
def test_the_dual_exponential_filter_is_that_of_scipy(p, q):
    x, _, _, _ = drawn((60, 4, 1), 1)
    expected = lfilter([p - q], [1.0, -(p + q), p * q], x.double().numpy(), axis=0)

    def found(first, second):
        return fused(x, torch.tensor([[first], [second]]), torch.tensor([first - second])).numpy()

    np.testing.assert_allclose(found(p, q), expected, rtol=1e-5, atol=1e-6)
    # Negative controls: p and q swapped, and a delay by one step.
    assert not np.allclose(found(q, p), expected, atol=1e-3)
    assert not np.allclose(found(p, q)[1:], expected[:-1], atol=1e-3)


def test_without_gradients_of_the_poles_the_input_is_not_kept():
    x, p, _, _ = drawn((4, 3, 5), 1)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        y = fused(x.requires_grad_(), p, None)
    assert [tuple(each.shape) for each in kept] == [(1, 5)]
    y.sum().backward()
    torch.testing.assert_close(x.grad, differentiated(pole_filter, x.detach(), p, None, 1)[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_has_states_in_float32(dtype):
    synapse = create_synapse("dual-exp", 5, steps=40, tau=50.0)
    x = (torch.rand(40, 3, 5, generator=torch.Generator().manual_seed(0)) < 0.5).to(dtype)
    found = synapse(x)
    synapse.kernels = "reference"
    assert found.dtype == dtype and torch.equal(found, synapse(x))
    assert torch.equal(found, synapse(x.float()).to(dtype))
    # The negative control: states in half precision are rounded at every step.
    rounded = pole_filter(x, synapse.poles.to(dtype), synapse.gain.to(dtype))
    assert not torch.equal(rounded, found)


# Synapses


@pytest.mark.parametrize("shape", [(6, 2, 5), (6, 2, 5, 3), (6, 2, 5, 4, 3)])
@pytest.mark.parametrize("name", ["exp", "dual-exp"])
def test_synapses_use_them(monkeypatch, name, shape):
    calls = []
    monkeypatch.setattr(base, "fused_filter", lambda *a: (calls.append(a), fused_filter(*a))[1])
    synapse = create_synapse(name, 5, steps=6)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    found = []
    for kernels in ("fused", "reference"):
        synapse.kernels = kernels
        leaf = x.clone().requires_grad_()
        y = synapse(leaf)
        assert y.shape == x.shape
        assert len(calls) == 1  # by the fused kernels alone
        synapse.zero_grad()
        y.square().sum().backward()
        found.append((y.detach(), leaf.grad, *(p.grad.clone() for p in synapse.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_use_kernels_sets_them():
    network = create_model("mlp", in_shape=(1, 3, 3), classes=2, steps=3, synapse="exp")
    use_kernels(network, "reference")
    assert [m.kernels for m in network.modules() if hasattr(m, "poles")] == ["reference"] * 2


def test_fused_refuses_what_it_cannot_compute():
    synapse = create_synapse("exp", 5, steps=6).double()
    x = torch.zeros(6, 2, 5, dtype=torch.float64)
    assert synapse(x).dtype == torch.float64  # by the reference
    synapse.kernels = "fused"
    with pytest.raises(ConfigError) as caught:
        synapse(x)
    assert str(caught.value) == (
        "the fused kernels cannot compute this synapse: fused filters do not compute in float64"
    )
    assert "use kernels 'auto'" in caught.value.remedy


@pytest.mark.slow
def test_a_compiled_synapse_gives_the_same_bits():
    synapse = create_synapse("dual-exp", 5, steps=6)
    x = torch.rand(6, 2, 5, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(synapse, backend="aot_eager", fullgraph=True)
    expected = differentiated(lambda x, *_: synapse(x), x, x, None, 1)[:2]
    found = differentiated(lambda x, *_: compiled(x), x, x, None, 1)[:2]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
