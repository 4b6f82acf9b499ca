"""Linear differential equations against dense least squares on their rows."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.models.ode.equations import RowWeights, solve_ode


def random_problem(steps, batch, equations, variables, order, times, known, seed=0):
    g = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(shape, generator=g, dtype=torch.float64)

    c = random(steps, batch, equations, variables, order)
    # The values themselves are near the right-hand side, so that every problem has one solution.
    for d in range(min(equations, variables)):
        c[:, :, d, d, 0] += 3
    h = 0.5 + torch.rand(steps - 1, batch, generator=g, dtype=torch.float64)
    init = random(times, batch, variables, known) if times and known else None
    return c, random(steps, batch, equations), init, h


def dense(c, b, init, h, weights, sign=1.0):
    """Solve by lstsq on the rows, written one by one; `sign` is of the forward rows' ends."""
    steps, batch, equations, variables, order = c.shape
    found = np.empty((steps, batch, variables, order))
    for s in range(batch):
        rows, right = [], []

        def add(weight, entries, value=0.0, rows=rows, right=right):
            row = np.zeros((steps, variables, order))
            for at, factor in entries:
                row[at] += weight * factor
            rows.append(row.ravel())
            right.append(weight * value)

        for t in range(steps):
            for e in range(equations):
                terms = [
                    ((t, d, k), float(c[t, s, e, d, k]))
                    for d in range(variables)
                    for k in range(order)
                ]
                add(weights.equation, terms, float(b[t, s, e]))
        if init is not None:
            for t, d, k in np.ndindex(len(init), variables, init.shape[3]):
                add(weights.initial, [((t, d, k), 1.0)], float(init[t, s, d, k]))
        for t, d, k in np.ndindex(steps - 1, variables, order):
            size = float(h[t, s])
            for here, there, dt, end in ((t, t + 1, size, sign), (t + 1, t, -size, 1.0)):
                taylor = [
                    ((here, d, j), size**k * dt ** (j - k) / math.factorial(j - k))
                    for j in range(k, order)
                ]
                add(weights.smoothness, [*taylor, ((there, d, k), -end * size**k)])
        z = np.linalg.lstsq(np.stack(rows), np.array(right), rcond=None)[0]
        found[:, s] = z.reshape(steps, variables, order)
    return torch.from_numpy(found)


def far(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    st.tuples(*(st.integers(1, n) for n in (8, 2, 2, 2, 3))),
    st.integers(0, 1),
    st.integers(0, 50),
    st.sampled_from(["auto", "reference"]),
)
def test_solutions_are_those_of_dense_least_squares(sizes, times, seed, kernels):
    steps, batch, equations, variables, order = sizes
    equations = max(equations, variables)
    order = min(order, steps)  # so many times determine as many derivatives
    problem = random_problem(steps, batch, equations, variables, order, times, 1, seed)
    weights = RowWeights(1.3, 2.0, 0.7)
    found = solve_ode(*problem, weights=weights, kernels=kernels)
    assert far(found, dense(*problem, weights)) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("seed", [1, 2])  # with a pivot below 0, and one of 0
def test_too_few_times_for_the_derivatives_are_refused(seed, kernels):
    with pytest.raises(ConfigError, match="no unique solution"):
        solve_ode(
            *random_problem(2, 1, 1, 1, 3, 0, 1, seed),
            weights=RowWeights(1.3, 2.0, 0.7),
            kernels=kernels,
        )


def test_negative_control_a_taylor_row_of_the_other_sign():
    problem = random_problem(6, 1, 1, 1, 2, 1, 1)
    assert far(solve_ode(*problem), dense(*problem, RowWeights())) < 1e-10
    assert far(solve_ode(*problem), dense(*problem, RowWeights(), sign=-1.0)) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
def test_gradients_of_coefficients_right_hand_sides_initial_values_and_steps(shared):
    c, b, init, h = random_problem(4, 2, 2, 2, 2, 1, 2)
    problem = [c[:, :1], b, init, h[:, :1]] if shared else [c, b, init, h]
    problem = [part.clone().requires_grad_() for part in problem]
    assert torch.autograd.gradcheck(solve_ode, problem, rtol=1e-6, atol=1e-8)
    gradients = torch.autograd.grad(solve_ode(*problem).square().sum(), problem)
    assert all(int((each != 0).sum()) == each.numel() for each in gradients)


def test_one_system_of_all_samples_is_that_of_each():
    c, b, init, h = random_problem(5, 3, 1, 2, 2, 1, 1)
    shared = solve_ode(c[:, :1], b, init, h[:, :1])
    each = solve_ode(c[:, :1].expand(-1, 3, -1, -1, -1), b, init, h[:, :1].expand(-1, 3))
    assert far(shared, each) < 1e-12


def test_float32_is_solved_in_float64():
    problem = random_problem(50, 2, 1, 1, 3, 1, 1)
    rounded = [part.float() for part in problem]
    found = solve_ode(*rounded)
    assert found.dtype == torch.float32
    exact = solve_ode(*(part.double() for part in rounded))
    torch.testing.assert_close(found, exact.float(), rtol=1e-6, atol=1e-7)


def test_a_parabola_is_exact_where_the_order_holds_it():
    """z' = t with z(0) = 1: Taylor rows of order 3 hold for z = 1 + t² / 2, which is z_t then."""
    h, steps = 0.25, 9
    t = torch.arange(steps, dtype=torch.float64) * h
    c = torch.tensor([0.0, 1.0, 0.0]).expand(steps, 1, 1, 1, 3)
    found = solve_ode(c, t.view(-1, 1, 1), torch.ones(1, 1, 1, 1), h)[:, 0, 0]
    exact = torch.stack([1 + t**2 / 2, t, torch.ones_like(t)], 1)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-10)


def test_shapes_that_do_not_fit():
    c, b, init, h = random_problem(4, 2, 1, 1, 2, 1, 1)
    for wrong, match in (
        ((c[:3], b, init, h), r"c has the shape \[3, 2, 1, 1, 2\]"),
        ((c[:, :, :, 0], b, init, h), "c has the shape"),
        ((c, b[..., :0], init, h), "0 equations, as b has"),
        ((c, b, init[:, :1], h), "init has the shape"),
        ((c, b, init, h[:2]), r"h has the shape \[2, 2\], expected is \[3, 2 or 1\]"),
    ):
        with pytest.raises(ConfigError, match=match):
            solve_ode(*wrong)


def test_what_nothing_determines_is_refused():
    nothing = torch.zeros(4, 1, 1, 1, 2)
    with pytest.raises(ConfigError, match="no unique solution"):
        solve_ode(nothing, torch.zeros(4, 1, 1), None, 1.0)
