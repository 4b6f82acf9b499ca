"""The times of ReL-PSP neurons, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asnn.core import ConfigError
from asnn.models.timing.functional.rel_psp import rel_psp
from asnn.models.timing.rel_psp import RelPsp

KERNELS = ("reference", "fused")
INF = float("inf")


def drawn(batch: int, inputs: int, most: int, seed: int, silent: float = 0.3) -> Tensor:
    """Return random times `[B, N, S]` from 0 to 3, some of them simultaneous, some silent."""
    random = torch.Generator().manual_seed(seed)
    times = torch.rand(batch, inputs, most, generator=random, dtype=torch.float64) * 3
    times[:, ::3] = (times[:, ::3] * 4).round() / 4
    times[torch.rand(times.shape, generator=random) < silent] = INF
    return times.sort(2).values


def weights(neurons: int, inputs: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed + 1)
    return torch.randn(neurons, inputs, generator=random, dtype=torch.float64) * 0.8 + 0.2


def fired(times: Tensor, weight: Tensor, kernels: str, window: float = 4.0) -> Tensor:
    neuron = RelPsp(1, len(weight), window=window)
    return neuron.fire(times, weight, kernels=kernels)[..., 0]  # type: ignore[arg-type]


@pytest.mark.parametrize("kernels", KERNELS)
def test_first_crossing_by_hand(kernels: str) -> None:
    """V = 2 (t - 1) from 1 on, then also 3 (t - 1.25): V(1.25) = 0.5, so θ = 1 at 1.25 + 0.5/5."""
    times = torch.tensor([[[1.0], [1.25], [9.0]]], dtype=torch.float64)
    weight = torch.tensor([[2.0, 3.0, 9.0], [2.0, -3.0, 9.0]], dtype=torch.float64)
    out = fired(times, weight, kernels)
    torch.testing.assert_close(out, torch.tensor([[1.35, INF]], dtype=torch.float64))


@pytest.mark.parametrize("kernels", KERNELS)
def test_the_first_of_two_crossings(kernels: str) -> None:
    """V rises to 1.5 at t = 1.5, falls below θ, and crosses it again later."""
    times = torch.tensor([[[0.0], [1.5], [2.5]]], dtype=torch.float64)
    weight = torch.tensor([[1.0, -2.0, 5.0]], dtype=torch.float64)
    assert fired(times, weight, kernels).tolist() == [[1.0]]


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_late_input_does_not_move_the_spike(kernels: str) -> None:
    """Whether the crossing lies before the next input decides which inputs are causes."""
    early = torch.tensor([[[0.0], [2.0]]], dtype=torch.float64)
    late = torch.tensor([[[0.0], [0.5]]], dtype=torch.float64)
    weight = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    assert fired(early, weight, kernels).tolist() == [[1.0]]
    assert fired(late, weight, kernels).tolist() == [[0.5 + 0.5 / 4]]


@pytest.mark.parametrize("kernels", KERNELS)
def test_silent_without_inputs_and_beyond_the_window(kernels: str) -> None:
    times = torch.tensor([[[INF]], [[3.9]], [[4.5]]], dtype=torch.float64)
    weight = torch.tensor([[5.0]], dtype=torch.float64)
    assert fired(times, weight, kernels).tolist() == [[INF]] * 3
    assert fired(times, weight, kernels, window=4.2).tolist() == [[INF], [3.9 + 0.2], [INF]]


def simulated(times: Tensor, weight: Tensor, step: float, window: float) -> np.ndarray:
    """Return the first point of a grid of time at which V exceeds 1, in NumPy."""
    grid = np.arange(0, window + step / 2, step)
    found = np.full((len(times), len(weight)), np.inf)
    for b, of_sample in enumerate(times.numpy()):
        ramps = np.maximum(grid[:, None, None] - of_sample, 0).sum(2)  # of each input
        potential = ramps @ weight.numpy().T
        for j in range(len(weight)):
            above = np.flatnonzero(potential[:, j] > 1)
            found[b, j] = grid[above[0]] if len(above) else np.inf
    return found


@pytest.mark.parametrize("kernels", KERNELS)
def test_against_a_simulation_whose_error_falls_with_its_step(kernels: str) -> None:
    times, weight = drawn(3, 8, 2, seed=5), weights(6, 8, seed=5)
    exact = fired(times, weight, kernels).numpy()
    errors = []
    for step in (1e-2, 1e-3):
        found = simulated(times, weight, step, window=4.0)
        both = np.isfinite(found) & np.isfinite(exact)
        assert both.sum() >= 12 and (np.isfinite(found) == np.isfinite(exact)).all()
        errors.append(np.abs(found[both] - exact[both]).max())
        assert errors[-1] <= step * (1 + 1e-9)
    assert errors[1] < errors[0] / 5


@given(
    batch=st.integers(0, 4),
    inputs=st.integers(0, 9),
    most=st.integers(1, 3),
    neurons=st.integers(1, 70),
    seed=st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=25)
def test_kernels_are_the_reference(
    batch: int, inputs: int, most: int, neurons: int, seed: int
) -> None:
    times, weight = drawn(batch, inputs, most, seed), weights(neurons, inputs, seed)
    results = []
    for kernels in KERNELS:
        t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
        out = fired(t, w, kernels)
        factor = torch.arange(1.0, out.numel() + 1, dtype=torch.float64).view(out.shape)
        (torch.where(out.isfinite(), out, 0) * factor).sum().backward()
        results.append((out.detach(), t.grad, w.grad))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def worst_difference(function, weight: Tensor, gradient: Tensor, step: float = 1e-6) -> float:
    """Return the greatest difference of a gradient and central differences of a function, relative
    to the greatest gradient."""
    worst = 0.0
    for index in np.ndindex(*weight.shape):
        moved = []
        for sign in (1, -1):
            other = weight.clone()
            other[index] += sign * step
            moved.append(float(function(other)))
        worst = max(worst, abs((moved[0] - moved[1]) / (2 * step) - float(gradient[index])))
    return worst / float(gradient.abs().max())


def projected(out: Tensor) -> Tensor:
    """Return a sum of the times with different factors."""
    factor = torch.linspace(0.5, 1.5, out.numel(), dtype=out.dtype).view(out.shape)
    return (torch.where(out.isfinite(), out, 0) * factor).sum()


@pytest.mark.parametrize("kernels", KERNELS)
def test_gradients_are_finite_differences(kernels: str) -> None:
    times, weight = drawn(4, 10, 2, seed=7), weights(8, 10, seed=7)
    t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
    projected(fired(t, w, kernels)).backward()
    assert t.grad is not None and w.grad is not None
    assert int((w.grad != 0).sum()) >= 60 and int((t.grad != 0).sum()) >= 30
    assert not t.grad[times.isinf()].any()
    assert worst_difference(lambda o: projected(fired(times, o, kernels)), weight, w.grad) < 1e-6

    # Of two simultaneous inputs one would overtake the other: their times are moved apart.
    apart = times + torch.arange(10, dtype=torch.float64).view(1, -1, 1) * 1e-3
    t = apart.clone().requires_grad_()
    projected(fired(t, weight, kernels)).backward()
    assert t.grad is not None
    assert worst_difference(lambda o: projected(fired(o, weight, kernels)), apart, t.grad) < 1e-6


def test_a_wrong_set_of_causes_fails_the_gradient_check() -> None:
    """Negative control: the crossing tested at the last input, not at the next one."""

    def wrong(times: Tensor, weight: Tensor) -> Tensor:
        t, order = times[..., 0].sort(1)
        silent = t.isinf()
        t = torch.where(silent, 4.0, t)
        w = weight.t()[order].movedim(-1, 1) * ~silent.unsqueeze(1)
        slope, moment = w.cumsum(2), (w * t.unsqueeze(1)).cumsum(2)
        crosses = slope * t.unsqueeze(1) - moment > 1  # at t_k instead of t_{k+1}
        k = crosses.int().argmax(2, keepdim=True)
        when = (1 + moment.gather(2, k)) / slope.gather(2, k)
        return torch.where(crosses.any(2), when[..., 0], INF)

    times, weight = drawn(4, 10, 1, seed=7), weights(8, 10, seed=7)
    w = weight.clone().requires_grad_()
    projected(wrong(times, w)).backward()
    assert w.grad is not None and int((w.grad != 0).sum()) >= 40
    right = lambda o: projected(fired(times, o, "reference"))  # noqa: E731
    assert worst_difference(right, weight, w.grad) > 1e-2


def test_no_difference_of_infinities() -> None:
    times, weight = torch.full((2, 3, 2), INF, dtype=torch.float64), weights(4, 3, seed=0)
    times[0, 1, 0] = 0.5
    t, w = times.requires_grad_(), weight.requires_grad_()
    out = rel_psp(t, w, window=9.0)
    projected(out).backward()
    assert not out.isnan().any() and not t.grad.isnan().any() and not w.grad.isnan().any()


def test_operations_are_counted_until_a_neuron_fires() -> None:
    times = torch.tensor([[[0.0], [2.0], [3.0], [INF], [7.0]]], dtype=torch.float64)
    weight = torch.tensor([[1.0, 1, 1, 1, 1], [-1.0, 1, 1, 1, 1]], dtype=torch.float64)
    neuron = RelPsp(1, 2, window=6.0)
    out = neuron.fire(times, weight)
    assert out[0, 0, 0] == 1.0 and out[0, 1, 0].isinf()  # -6 + 4 + 3 = θ is not above it
    accumulates, macs = neuron.operations(times, weight, out)
    # The first neuron takes one input; the second all three before the end of the window.
    assert accumulates.tolist() == macs.tolist() == [4.0]


@pytest.mark.parametrize("option", ["threshold", "window", "output_window"])
@pytest.mark.parametrize("value", [0.0, -1.0, INF, float("nan")])
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{option} must be above 0 and finite, not {value}"):
        RelPsp(1, 2, **{option: value})


def test_several_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match="coding.steps is 4") as error:
        RelPsp(4, 2)
    assert error.value.remedy == "set coding.steps=1"


def test_kernels_of_float32_are_refused_where_they_are_asked_for() -> None:
    times, weight = torch.rand(2, 3, 1), torch.rand(4, 3)
    neuron = RelPsp(1, 4)
    assert neuron.fire(times, weight).dtype == torch.float32
    with pytest.raises(ConfigError, match="float64, not float32"):
        neuron.fire(times, weight, kernels="fused")
