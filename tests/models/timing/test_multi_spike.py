"""Many exact spike times, and their gradients, against independent computations."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asnn.core import ConfigError
from asnn.models.timing import multi_spike as module
from asnn.models.timing.functional.multi_spike import MEMBRANES, MultiSpikeOptions
from asnn.models.timing.multi_spike import MultiSpike, fire

INF = float("inf")
EPSILON = 1e-6


def problem(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return input times `[2, 10, 2]`, some of them silent, and weights `[6, 10]`."""
    random = torch.Generator().manual_seed(seed)
    times = 0.15 * torch.rand(2, 10, 2, dtype=torch.float64, generator=random)
    times = times.sort(-1).values
    times[:, :2], times[:, 3:5, 1] = INF, INF
    weight = 2.2 * torch.rand(6, 10, dtype=torch.float64, generator=random) - 0.6
    return times, weight


def options(membrane: str = "double", **changes: object) -> MultiSpikeOptions:
    return dataclasses.replace(MultiSpikeOptions(membrane, 0.13, 0.1, 0.3, 6), **changes)  # type: ignore[arg-type]


def time_constants(of: MultiSpikeOptions) -> tuple[float, float]:
    return {"double": 2.0, "integrator": INF, "equal": 1.0}[of.membrane] * of.tau_s, of.tau_s


def membrane_at(t: float, inputs: np.ndarray, own: list[float], of: MultiSpikeOptions) -> float:
    """Return V(t) as the plain sum over inputs (time, weight) and own spikes."""
    tau, tau_s = time_constants(of)
    v = 0.0
    for at, w in inputs:
        d = t - at
        if d <= 0:
            continue
        if tau == tau_s:
            v += w * d * math.exp(-d / tau)
        elif tau == INF:
            v += w * tau_s * (1 - math.exp(-d / tau_s))
        else:
            v += w / (1 / tau_s - 1 / tau) * (math.exp(-d / tau) - math.exp(-d / tau_s))
    return v - sum(of.threshold * math.exp(-(t - at) / tau) for at in own)


def bisected(inputs: np.ndarray, of: MultiSpikeOptions) -> list[float]:
    """Return the spikes of a neuron by bisection of V, bracketed on a fine grid."""
    spikes: list[float] = []
    borders = sorted({*np.linspace(0, of.window, 601), *(t for t, _ in inputs if t < of.window)})
    low = 0.0
    for high in borders[1:]:
        while len(spikes) < of.most and membrane_at(high, inputs, spikes, of) >= of.threshold:
            a, b = low, high
            for _ in range(60):
                middle = (a + b) / 2
                if membrane_at(middle, inputs, spikes, of) >= of.threshold:
                    b = middle
                else:
                    a = middle
            spikes.append(b)
            low = b
        low = high
    return spikes


def inputs_of(times: Tensor, weight: Tensor) -> np.ndarray:
    """Return (time, weight) of the inputs `[N, S]` of one neuron."""
    pairs = [(t, w) for row, w in zip(times.tolist(), weight.tolist(), strict=True) for t in row]
    return np.array([(t, w) for t, w in pairs if t < INF]).reshape(-1, 2)


def finite_differences(of: MultiSpikeOptions, kernels: str = "auto") -> tuple[float, int, int]:
    """Compare the gradients of a random sum of the spike times with central differences.

    Returns:
        The worst relative difference, how many derivatives are not 0, and how many were skipped
        because a spike appeared or vanished.
    """
    times, weight = problem()
    factors = torch.randn(2, 6, of.most, generator=torch.Generator().manual_seed(9)).double()

    def loss(times: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        found, _ = fire(times, weight, of, kernels=kernels)  # type: ignore[arg-type]
        there = found.isfinite()
        return (torch.where(there, found, 0.0) * factors).sum(), there

    leaves = times.clone().requires_grad_(), weight.clone().requires_grad_()
    total, there = loss(*leaves)
    grads = torch.autograd.grad(total, leaves)
    worst, compared, skipped = 0.0, 0, 0
    for which, grad in enumerate(grads):
        for place in (times, weight)[which].isfinite().nonzero():
            values = []
            for step in (EPSILON, -EPSILON):
                moved = [times.clone(), weight.clone()]
                moved[which][tuple(place)] += step
                value, same = loss(*moved)
                values.append(value.item() if bool((same == there).all()) else math.nan)
            numeric = (values[0] - values[1]) / (2 * EPSILON)
            exact = grad[tuple(place)].item()
            if math.isnan(numeric):
                skipped += 1
            elif max(abs(numeric), abs(exact)) > 1e-4:
                compared += 1
                worst = max(worst, abs(numeric - exact) / max(abs(numeric), abs(exact)))
    return worst, compared, skipped


SLOW_REFERENCE = pytest.param("reference", marks=pytest.mark.slow)


@pytest.mark.parametrize("kernels", ["auto", SLOW_REFERENCE])
@pytest.mark.parametrize("membrane", MEMBRANES)
def test_gradients_are_those_of_finite_differences(membrane: str, kernels: str) -> None:
    worst, compared, skipped = finite_differences(options(membrane), kernels)
    assert compared >= 40
    assert skipped <= 5
    assert worst < 1e-6


def test_a_wrong_sign_of_own_spikes_fails_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: θ only stands in the effect of own spikes, and in which spikes graze."""

    right = module._MultiSpike

    class Wrong(right):
        @staticmethod
        def backward(ctx, *grads):
            ctx.options = dataclasses.replace(ctx.options, threshold=-ctx.options.threshold)
            return right.backward(ctx, *grads)

    monkeypatch.setattr(module, "_MultiSpike", Wrong)
    worst, compared, _ = finite_differences(options())
    assert compared >= 40
    assert worst > 1e-2


def test_a_comparison_without_spikes_compares_nothing() -> None:
    worst, compared, _ = finite_differences(options(threshold=100.0))
    assert (worst, compared) == (0.0, 0)


@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("membrane", MEMBRANES)
def test_times_are_those_of_bisection(membrane: str, kernels: str) -> None:
    of = options(membrane)
    times, weight = problem(1)
    found, _ = fire(times, weight, of, kernels=kernels)  # type: ignore[arg-type]
    number = 0
    for b, j in [(0, 0), (0, 2), (1, 1), (1, 4), (0, 5)]:
        expected = bisected(inputs_of(times[b], weight[j]), of)
        spikes = found[b, j][found[b, j].isfinite()].tolist()
        assert spikes == pytest.approx(expected, abs=1e-12)
        number += len(expected)
    assert number >= 5


def test_one_input_is_the_lambert_function() -> None:
    """w t exp(-t/τ) = θ, so that t = -τ W(-θ/(w τ))."""
    w, theta, tau = 3.0, 0.1, 0.13
    x, root = -theta / (w * tau), 0.0
    for _ in range(100):  # W exp(W) = x, by iteration
        root = x * math.exp(-root)
    found, _ = fire(
        torch.zeros(1, 1, 1, dtype=torch.float64),
        torch.full((1, 1), w, dtype=torch.float64),
        options("equal", most=1),
    )
    assert found.item() == pytest.approx(-tau * root, rel=1e-12)


@pytest.mark.parametrize("membrane", MEMBRANES)
def test_the_error_of_a_clocked_simulation_falls_with_its_step(membrane: str) -> None:
    of = options(membrane)
    times, weight = problem(2)
    exact, _ = fire(times, weight, of)
    errors = []
    for dt in (4e-4, 2e-4, 1e-4):
        found = clocked(times, weight, of, dt)
        assert torch.equal(found.isfinite().sum(-1), exact.isfinite().sum(-1))
        both = exact.isfinite()
        assert both.sum() >= 20
        errors.append((found - exact)[both].abs().mean().item())
        assert errors[-1] < 2 * dt
    assert errors[0] / errors[2] == pytest.approx(4, rel=0.5)


def clocked(times: Tensor, weight: Tensor, of: MultiSpikeOptions, dt: float) -> Tensor:
    """Return the spikes at multiples of dt, by the matrix exponential of the equations."""
    tau, tau_s = time_constants(of)
    matrix = torch.tensor([[-1 / tau, 1.0], [0.0, -1 / tau_s]], dtype=torch.float64)
    (p, q), (_, s) = (dt * matrix).matrix_exp().tolist()
    steps = round(of.window / dt)
    arrived = (times / dt).ceil().clamp(max=steps + 1)
    v, i = torch.zeros(2, 6).double(), torch.zeros(2, 6).double()
    found = torch.full((2, 6, of.most), INF, dtype=torch.float64)
    count = torch.zeros(2, 6, dtype=torch.long)
    by_step = torch.zeros(steps + 2, 2, 6).double()
    for b, n, k in times.isfinite().nonzero().tolist():
        # The part of the step behind the input is exact.
        rest = dt * arrived[b, n, k].item() - times[b, n, k].item()
        by_step[int(arrived[b, n, k]), b] += weight[:, n] * math.exp(-rest / tau_s)
    for step in range(1, steps + 1):
        v, i = p * v + q * i, s * i
        fires = (v >= of.threshold) & (count < of.most)
        for b, j in fires.nonzero().tolist():
            found[b, j, count[b, j]] = step * dt
        count += fires.long()
        v = torch.where(fires, v - of.threshold, v)
        i = i + by_step[step]
    return found


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    membrane=st.sampled_from(MEMBRANES),
    shape=st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(1, 3), st.integers(1, 40)),
    most=st.integers(1, 5),
)
def test_kernels_equal_the_reference(seed, membrane, shape, most) -> None:
    batch, inputs, each, neurons = shape
    random = torch.Generator().manual_seed(seed)
    times = torch.rand(batch, inputs, each, dtype=torch.float64, generator=random).sort(-1).values
    times = torch.where(torch.rand(times.shape, generator=random) < 0.2, INF, times)
    times = times.sort(-1).values.requires_grad_()
    weight = 2 * torch.rand(neurons, inputs, dtype=torch.float64, generator=random) - 0.5
    weight = weight.requires_grad_()
    of = options(membrane, most=most, window=1.2)
    results = []
    for kernels in ("reference", "auto"):
        found, lost = fire(times, weight, of, kernels=kernels)  # type: ignore[arg-type]
        total = torch.where(found.isfinite(), found, 0.0).square().sum()
        results.append(
            (found, lost, *torch.autograd.grad(total, (times, weight), allow_unused=True))
        )
    for expected, computed in zip(*results, strict=True):
        if expected is not None:
            torch.testing.assert_close(computed, expected, rtol=1e-7, atol=1e-9)


def test_more_room_only_adds_spikes() -> None:
    times, weight = problem(3)
    many, none_lost = fire(times, weight, options(most=50))
    few, lost = fire(times, weight, options(most=2))
    assert torch.equal(few, many[..., :2])
    assert torch.equal(lost == 1, many[..., 2].isfinite())
    assert lost.any()
    assert not none_lost.any()


def test_times_and_window_may_be_shifted() -> None:
    times, weight = problem(4)
    found, _ = fire(times, weight, options())
    shifted, _ = fire(times + 5, weight, options(window=5.3))
    torch.testing.assert_close(shifted, found + 5, rtol=0, atol=1e-12)


def test_late_events_of_short_time_constants_do_not_overflow() -> None:
    """exp(t/τ_s) would be exp(10,000)."""
    times = torch.tensor([[[1.0], [100.0]]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([[40.0, 40.0]], dtype=torch.float64, requires_grad=True)
    found, _ = fire(times, weight, options(tau_s=0.01, window=200.0))
    assert found.isfinite().sum() >= 2
    assert torch.allclose((found[..., 0] - 1), found[..., found.isfinite().sum() // 2] - 100)
    grads = torch.autograd.grad(found[found.isfinite()].sum(), (times, weight))
    assert all(grad.isfinite().all() for grad in grads)
    assert grads[0].sum().item() == pytest.approx(found.isfinite().sum().item())


def test_a_spike_that_grazes_has_no_gradient() -> None:
    """The peak of one input of weight w is w τ/4, of which θ = w τ/4 is touched."""
    weight = torch.full((1, 1), 2.0, dtype=torch.float64, requires_grad=True)
    times = torch.zeros(1, 1, 1, dtype=torch.float64)
    for below, is_dropped in ((1e-16, True), (1e-3, False)):
        of = options(threshold=2.0 * 0.26 / 4 * (1 - below), window=1.0, most=1)
        found, _ = fire(times, weight, of)
        assert found.isfinite().all()
        (grad,) = torch.autograd.grad(found.sum(), weight)
        assert (grad.item() == 0) is is_dropped


def test_simultaneous_inputs_are_one_event() -> None:
    of = options()
    one, _ = fire(torch.zeros(1, 1, 1).double(), torch.tensor([[2.0]]).double(), of)
    parts = torch.tensor([[0.5, 1.25, 0.25]]).double()
    many, _ = fire(torch.zeros(1, 3, 1).double(), parts, of)
    assert one.isfinite().any()
    assert torch.equal(one, many)


def test_silent_inputs_give_silence() -> None:
    weight = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    times = torch.full((2, 3, 1), INF, dtype=torch.float64, requires_grad=True)
    found, lost = fire(times, weight, options())
    assert found.isinf().all()
    assert not lost.any()
    grads = torch.autograd.grad(torch.where(found.isfinite(), found, 0.0).sum(), (times, weight))
    assert not any(grad.any() for grad in grads)


def test_the_neuron_counts_spikes_without_room() -> None:
    times, weight = problem()
    neuron = MultiSpike(1, 6, threshold=0.1, window=0.3, most=2)
    out = neuron.fire(times, weight)
    _, lost = fire(times, weight, options(most=2))
    assert out.shape == (2, 6, 2)
    assert neuron.overflows == lost.sum() > 0


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"tau_s": 0.0}, "tau_s must be above 0 and finite, not 0.0"),
        ({"threshold": -1.0}, "threshold must be above 0 and finite, not -1.0"),
        ({"output_window": INF}, "output_window must be above 0 and finite, not inf"),
        ({"most": 0}, "most, the spikes of a neuron, must be at least 1, not 0"),
        ({"membrane": "single"}, "unknown membrane 'single'"),
    ],
)
def test_wrong_options_are_refused(wrong: dict, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MultiSpike(1, 3, **wrong)
    assert text in str(caught.value)


def test_times_of_float32_are_computed_by_the_reference() -> None:
    times, weight = problem()
    with pytest.raises(ConfigError, match="exact times in float64, not float32"):
        fire(times.float(), weight.float(), options(), kernels="fused")
    found, _ = fire(times.float(), weight.float(), options())
    exact, _ = fire(times, weight, options())
    assert torch.equal(found.isfinite(), exact.isfinite())
    assert torch.allclose(found.double(), exact, atol=1e-5)
