"""`bins` against a loop over the bins, and the background of the published form."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asnn.coding import create_coding
from asnn.core import ConfigError


def naive(x, steps, background):
    """The bin of each value by a loop from the brightest bin, its lower bound not in it."""
    code = np.zeros((steps, *x.shape), np.float32)
    for index in np.ndindex(x.shape):
        for t in range(steps):
            if x[index] > np.float32((steps - 1 - t) / steps):
                code[(t, *index)] = 1
                break
        else:
            code[(-1, *index)] = background == "last"
    return code


@pytest.mark.slow
@given(
    st.integers(1, 25),
    st.lists(st.integers(0, 255), min_size=1, max_size=12),
    st.sampled_from(["silent", "last"]),
)
def test_bins_equal_a_loop(steps, pixels, background):
    x = np.array(pixels, np.float32).reshape(1, 1, 1, -1) / np.float32(255)
    coding = create_coding("bins", steps=steps, background=background)
    code = coding.encode(torch.from_numpy(x))
    np.testing.assert_array_equal(code.numpy(), naive(x, steps, background))
    spikes = code.sum(0)
    assert bool((spikes == (1 if background == "last" else torch.from_numpy(x) > 0)).all())
    # Decoded as the middle of the bin.
    error = (coding.decode(code) - torch.from_numpy(x)).abs().max()
    assert float(error) <= 0.5 / steps + 1e-6


def test_the_silent_background_is_the_temporal_code():
    x = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    x[:, :, :2] = 0
    temporal = create_coding("temporal", steps=9).encode(x)
    assert torch.equal(create_coding("bins", steps=9).encode(x), temporal)
    published = create_coding("bins", steps=9, background="last").encode(x)
    assert torch.equal(published[:-1], temporal[:-1])
    assert torch.equal(published[-1] - temporal[-1], (x == 0).float())


def test_the_brightest_is_first():
    x = torch.tensor([1.0, 0.6, 0.3, 0.0]).view(1, 1, 1, 4)
    code = create_coding("bins", steps=4, background="last").encode(x)
    assert code.argmax(0).flatten().tolist() == [0, 1, 2, 3]


def test_an_unknown_background_is_refused():
    with pytest.raises(ConfigError, match="unknown background 'first'"):
        create_coding("bins", steps=4, background="first")
