"""Axes of steps and samples: found by sizes, and put where a file has them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asnn.exporters.others.layout import arranged, as_steps, layouts_of


@pytest.mark.parametrize(
    ("dims", "shape", "found"),
    [
        ([None, 12], (12,), ["N"]),
        ([2, 12], (12,), ["N"]),
        ([None, 784], (1, 28, 28), ["N"]),
        ([None, 28, 28], (1, 28, 28), ["N"]),
        ([None, 1, 28, 28], (1, 28, 28), ["N"]),
        ([None, 1, None, None], (1, 28, 28), ["N"]),
        ([4, None, 12], (12,), ["TN"]),
        ([None, 4, 12], (12,), ["NT"]),
        ([3, 4, 12], (12,), ["NT"]),
        ([4, None, 1, 28, 28], (1, 28, 28), ["TN"]),
        ([5, 6, 12], (12,), []),
        ([None, 11], (12,), []),
        ([None], (12,), []),
        ([None, None, 784], (1, 28, 28), ["TN", "NT"]),
    ],
)
def test_layouts(dims, shape, found) -> None:
    assert layouts_of(dims, shape, steps=4) == found


def test_a_known_batch_leaves_one() -> None:
    assert layouts_of([4, 3, 12], (12,), steps=4, batch=3) == ["TN"]
    assert layouts_of([3, 4, 12], (12,), steps=4, batch=3) == ["NT"]


@given(st.integers(1, 4), st.integers(1, 3), st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_codes_are_put_and_taken_back(steps, batch, shape) -> None:
    code = np.random.default_rng(0).random((steps, batch, *shape))
    flat = code.reshape(steps, batch, -1)
    for layout in ("TN", "NT"):
        for rest in (shape, [flat.shape[2]], [None] * len(shape)):
            assert np.array_equal(as_steps(arranged(code, layout, rest), layout), flat)
    assert np.array_equal(as_steps(arranged(code, "N", shape), "N"), flat[0])
