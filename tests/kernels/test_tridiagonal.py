"""Block-tridiagonal systems: numba and cyclic reduction against a dense solver."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.kernels.tridiagonal import solve_tridiagonal

SIZES = st.tuples(*(st.integers(1, n) for n in (9, 3, 3, 3)))


def systems(steps, size, columns, count, seed=0):
    """Positive definite systems, as sums of squares of random rows."""
    g = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(shape, generator=g, dtype=torch.float64)

    own = random(steps, count, size + 1, size)
    here, after = random(2, steps - 1, count, size + 1, size)
    diagonal = own.mT @ own + 0.1 * torch.eye(size)
    diagonal[:-1] += here.mT @ here
    diagonal[1:] += after.mT @ after
    parts = diagonal, here.mT @ after
    return *(part.permute(0, 2, 3, 1) for part in parts), random(steps, size, columns, count)


def dense(diagonal, above, right):
    """Solve each system as one matrix."""
    steps, size, _, count = diagonal.shape
    found = torch.empty_like(right)
    for g in range(count):
        a = torch.zeros(steps, size, steps, size, dtype=torch.float64)
        for t in range(steps):
            a[t, :, t] = diagonal[..., g][t]
        for t in range(steps - 1):
            a[t, :, t + 1], a[t + 1, :, t] = above[t, :, :, g], above[t, :, :, g].T
        a = a.view(steps * size, -1)
        z = torch.linalg.solve(a, right[..., g].flatten(0, 1))
        found[..., g] = z.view(steps, size, -1)
    return found


def far(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["auto", "reference"])
@settings(max_examples=15, deadline=None)
@given(SIZES, st.integers(0, 100))
def test_solutions_are_those_of_a_dense_solver(kernels, sizes, seed):
    problem = systems(*sizes, seed=seed)
    assert far(solve_tridiagonal(*problem, kernels=kernels), dense(*problem)) < 1e-10


@pytest.mark.parametrize("columns, count", [(300, 1), (2, 150)])
def test_more_columns_or_systems_than_a_block(columns, count):
    problem = systems(4, 2, columns, count)
    found = solve_tridiagonal(*problem)
    assert far(found, solve_tridiagonal(*problem, kernels="reference")) < 1e-10


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_negative_control_a_block_of_the_other_sign(kernels):
    diagonal, above, right = systems(5, 2, 1, 1)
    expected = dense(diagonal, above, right)
    broken = above.clone()
    broken[2] *= -1
    assert far(solve_tridiagonal(diagonal, broken, right, kernels=kernels), expected) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("count", [1, 2])
def test_gradients(kernels, count):
    problem = [part.contiguous().requires_grad_() for part in systems(4, 2, 2, count)]

    def solved(diagonal, above, right):
        symmetric = (diagonal + diagonal.transpose(1, 2)) / 2
        return solve_tridiagonal(symmetric, above, right, kernels=kernels)

    assert torch.autograd.gradcheck(solved, problem, rtol=1e-6, atol=1e-8)
    gradients = torch.autograd.grad(solved(*problem).sum(), problem)
    assert all(int((each != 0).sum()) >= 0.9 * each.numel() for each in gradients)


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_a_singular_system_is_refused(kernels):
    diagonal, above, right = systems(3, 2, 1, 1)
    with pytest.raises(ConfigError, match="no unique solution.*not positive definite"):
        solve_tridiagonal(-diagonal, above, right, kernels=kernels)


def test_nan_shows_in_the_solution():
    diagonal, above, right = systems(3, 2, 1, 1)
    assert solve_tridiagonal(diagonal, above, right * torch.nan).isnan().all()
    diagonal[1] = torch.nan
    assert solve_tridiagonal(diagonal, above, right).isnan().any()


def test_the_input_stays_as_it_is():
    problem = systems(3, 2, 1, 1)
    before = [part.clone() for part in problem]
    solve_tridiagonal(*problem)
    assert all(torch.equal(*pair) for pair in zip(problem, before, strict=True))
