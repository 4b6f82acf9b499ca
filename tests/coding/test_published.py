"""`variant="published"` against a second implementation of the bugs in docs/codes.md."""

import numpy as np
import pytest
import torch

from asnn.coding import create_coding
from asnn.core import ConfigError

# 8-bit pixels, many of them exactly on a threshold.
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 2, 5, 4)).astype(np.float32) / 255
PIXELS[0, 0, 0] = (0.0, 1.0, 0.5, 0.25)


def naive(x: np.ndarray, *, planes: list[list[int]], steps: int, divisor: int) -> np.ndarray:
    """Return the code by a loop: a value fires at slot i if it is >= 1 - i/n and becomes 0.

    `planes[i - 1]` are the steps at which slot i fires.
    """
    code = np.zeros((steps, *x.shape), np.float32)
    for index in np.ndindex(x.shape):
        left = x[index]
        for i, members in enumerate(planes, start=1):
            if left >= np.float32(1 - i / divisor):
                left = np.float32(0)
                for t in members:
                    code[(t, *index)] += 1
    return code


def one_step_each(slots: int) -> list[list[int]]:
    return [[i] for i in range(slots)]


def digits(steps: int) -> list[list[int]]:
    return [[t for t in range(steps) if slot >> t & 1] for slot in range(1, 2**steps)]


def encode(name: str, steps: int) -> np.ndarray:
    code = create_coding(name, steps=steps, variant="published")
    return code.encode(torch.from_numpy(PIXELS)).numpy()


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 8])
def test_temporal(steps):
    expected = naive(PIXELS, planes=one_step_each(steps), steps=steps, divisor=steps)
    np.testing.assert_array_equal(encode("temporal", steps), expected)
    assert (encode("temporal", steps)[-1] == 1).all()
    if steps > 1:
        # The bug: a value that fires before the last step fires twice.
        assert (encode("temporal", steps).sum(0).max()) == 2


@pytest.mark.parametrize("steps", [2, 3, 4, 5, 8])
def test_hybrid(steps):
    code = encode("hybrid", steps)
    np.testing.assert_array_equal(code[0], PIXELS)
    expected = naive(PIXELS, planes=one_step_each(steps - 1), steps=steps - 1, divisor=steps)
    np.testing.assert_array_equal(code[1:], expected)
    # The lowest threshold is 1/T: smaller values never fire, the others once.
    np.testing.assert_array_equal(code[1:].sum(0), np.float32(1 - (steps - 1) / steps) <= PIXELS)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_embedding(steps):
    expected = naive(PIXELS, planes=digits(steps), steps=steps, divisor=steps)
    np.testing.assert_array_equal(encode("embedding", steps), expected)


@pytest.mark.parametrize("steps", [2, 3, 4, 5])
def test_hybrid_embedding(steps):
    code = encode("hybrid-embedding", steps)
    np.testing.assert_array_equal(code[0], PIXELS)
    expected = naive(PIXELS, planes=digits(steps - 1), steps=steps - 1, divisor=steps)
    np.testing.assert_array_equal(code[1:], expected)


def test_embedding_steps_hold_counts_up_to_8():
    # Four binary digits: each is set in 8 of the 15 slots, and slots 8 to 15 all fire.
    assert encode("embedding", 4).max() == 8


def test_the_strict_comparison_of_the_fixed_variant_differs():
    fixed = create_coding("temporal", steps=5).encode(torch.from_numpy(PIXELS)).numpy()
    assert (fixed[:-1] != encode("temporal", 5)[:-1]).any()


@pytest.mark.parametrize("name", ["temporal", "hybrid", "embedding", "hybrid-embedding"])
def test_quantile_thresholds_are_refused(name):
    with pytest.raises(ConfigError) as caught:
        create_coding(name, steps=3, variant="published", thresholds="quantile")
    assert caught.value.what == "variant 'published' needs linear thresholds"
    assert caught.value.why == "the published code has no other thresholds"
    assert caught.value.remedy == 'set thresholds = "linear" or variant = "fixed"'


def test_temporal_is_decoded_by_its_first_spike():
    x = torch.tensor([[0.9, 0.6, 0.3, 0.1]])
    coding = create_coding("temporal", steps=4, variant="published")
    # Slots 1 to 4 of 4, whose middles are 7/8, 5/8, 3/8 and 1/8.
    assert coding.decode(coding.encode(x)).tolist() == [[0.875, 0.625, 0.375, 0.125]]


def test_embedding_cannot_be_decoded():
    coding = create_coding("embedding", steps=3, variant="published")
    with pytest.raises(ConfigError) as caught:
        coding.decode(coding.encode(torch.rand(1, 4)))
    assert str(caught.value) == (
        "the published embedding cannot be decoded: "
        "its steps hold counts of several slots, not binary digits"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_is_kept(dtype):
    x = torch.from_numpy(PIXELS).to(dtype)
    assert create_coding("embedding", steps=3, variant="published").encode(x).dtype == dtype
