"""`temporal` and `embedding` against naive loops and the binary digits of the slot number."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from asnn.coding import create_coding
from asnn.core import ConfigError

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SHAPES = npst.array_shapes(min_dims=1, max_dims=4, max_side=4)


def images(elements) -> st.SearchStrategy[np.ndarray]:
    return SHAPES.flatmap(lambda shape: npst.arrays(np.float32, shape, elements=elements))


def thresholds(steps: int) -> list[np.float32]:
    # Division in double and rounding to float32 is correctly rounded for small integers.
    return [np.float32((steps - i) / steps) for i in range(1, steps + 1)]


@st.composite
def near_thresholds(draw) -> tuple[int, np.ndarray]:
    """Draw a number of steps, and values many of which are on or next to a threshold."""
    steps = draw(st.integers(1, 12))
    table = thresholds(steps)
    one = np.float32(1)
    special = [*table, one, *(np.nextafter(t, one) for t in table)]
    special += [np.nextafter(t, np.float32(0)) for t in table]
    elements = st.one_of(st.sampled_from(special), st.floats(0, 1, width=32))
    return steps, draw(images(elements))


def naive_temporal(x: np.ndarray, steps: int) -> np.ndarray:
    """Return the code by a loop: a value fires at the first threshold that it exceeds."""
    code = np.zeros((steps, *x.shape), np.float32)
    for index in np.ndindex(x.shape):
        for t, threshold in enumerate(thresholds(steps)):
            if x[index] > threshold:
                code[(t, *index)] = 1
                break
    return code


@pytest.mark.slow
@given(near_thresholds())
def test_temporal_equals_a_naive_loop_and_fires_once(case):
    steps, x = case
    code = create_coding("temporal", steps=steps).encode(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(code, naive_temporal(x, steps))
    np.testing.assert_array_equal(code.sum(0), x > 0)


@pytest.mark.slow
@given(
    images(st.floats(0, 1, width=32)), st.integers(1, 9), st.sampled_from(["temporal", "embedding"])
)
def test_quantile_codes_fire_for_every_value(x, steps, name):
    code = create_coding(name, steps=steps, thresholds="quantile").encode(torch.from_numpy(x))
    assert torch.isin(code, torch.tensor([0.0, 1.0])).all()
    count = code.sum(0)
    # Embedding fires at least once, since no slot has the number 0.
    assert (count == 1).all() if name == "temporal" else (count >= 1).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["temporal", "embedding"])
@pytest.mark.parametrize("rule", ["linear", "quantile"])
def test_dtype_is_kept(name, rule, dtype):
    x = torch.linspace(0, 1, 24).reshape(2, 3, 4).to(dtype)
    assert create_coding(name, steps=3, thresholds=rule).encode(x).dtype == dtype


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6, 8])
def test_embedding_planes_are_the_binary_digits_of_the_slot(steps):
    count = 2**steps - 1
    x = torch.arange(256, dtype=torch.float32) / 255
    code = create_coding("embedding", steps=steps).encode(x)
    for k in range(256):
        # The first i with k/255 > 1 - i/K, in integers.
        slot = next((i for i in range(1, count + 1) if k * count > 255 * (count - i)), 0)
        digits = f"{slot:0{steps}b}"[::-1]  # least significant first
        assert "".join(str(int(bit)) for bit in code[:, k]) == digits


def test_the_least_significant_digit_is_first():
    # The value 1 has slot 1, whose only digit is at step 0.
    assert create_coding("embedding", steps=3).encode(torch.ones(1)).flatten().tolist() == [1, 0, 0]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_quantile_embedding_numbers_the_slots_of_quantile_temporal(steps):
    count = 2**steps - 1
    x = torch.rand(2, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    bits = create_coding("embedding", steps=steps, thresholds="quantile").encode(x)
    number = sum(2**t * bits[t] for t in range(steps))
    temporal = create_coding("temporal", steps=count, thresholds="quantile").encode(x)
    assert torch.equal(number, temporal.argmax(0) + 1.0)


def test_too_many_embedding_steps_are_refused():
    create_coding("embedding", steps=16)
    with pytest.raises(ConfigError, match="at most 16 for embedding, not 17") as caught:
        create_coding("embedding", steps=17)
    assert caught.value.why == "17 binary digits are finer than any image"


@pytest.mark.parametrize("name", ["temporal", "embedding", "hybrid", "hybrid-embedding"])
def test_unknown_variant_and_thresholds_are_refused(name):
    with pytest.raises(ConfigError) as caught:
        create_coding(name, steps=3, variant="publish")
    assert str(caught.value) == "unknown variant 'publish': choose from fixed, published"
    with pytest.raises(ConfigError, match="unknown thresholds 'log': choose from linear, quantile"):
        create_coding(name, steps=3, thresholds="log")
