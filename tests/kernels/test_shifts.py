"""Sums of other steps against a loop, and their gradient against that of torch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.kernels.dispatch import backend
from asnn.kernels.shifts import shifted_sums

OFFSETS = [(-1, 0, 1), (-2, -1, 0), (0,), (3, -4)]


def by_loop(z, steps, offsets):
    total = []
    for t in range(steps):
        terms = [
            z[0 if len(z) == 1 else t + offset, :, k]
            for k, offset in enumerate(offsets)
            if 0 <= t + offset < steps
        ]
        total.append(sum(terms, 0 * z[0, :, 0]))
    return torch.stack(total)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 5),
    rows=st.sampled_from([0, 1, 7, 300]),
    channels=st.sampled_from([1, 3, 16, 17, 48]),
    offsets=st.sampled_from(OFFSETS),
    static=st.booleans(),
    threads=st.sampled_from([1, 2]),
)
def test_sums_and_gradient(steps, rows, channels, offsets, static, threads):
    generator = torch.Generator().manual_seed(steps)
    shape = (1 if static else steps, rows, len(offsets), channels)
    z = torch.randn(shape, generator=generator).requires_grad_()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = shifted_sums(z, steps, offsets, backend("cpu"))
        expected = by_loop(z, steps, offsets)
        weights = torch.randn(expected.shape, generator=generator)
        grads = [torch.autograd.grad(each, z, weights)[0] for each in (found, expected)]
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("static", [False, True])
def test_a_sum_by_hand(static):
    z = torch.arange(6.0).view(2, 1, 3, 1)  # taps 0, 1, 2 of the first step, 3, 4, 5 of the second
    given = z[:1] if static else z
    found = shifted_sums(given, 2, (-1, 0, 1), backend("cpu"))
    expected = [1 + 2, 0 + 1] if static else [1 + 5, 0 + 4]
    assert found.flatten().tolist() == expected
