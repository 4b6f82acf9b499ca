"""The code of one spike a window: the level of a value, and what a network reads of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding import create_coding
from asnn.core import ConfigError
from asnn.models import create_model


@settings(deadline=None, max_examples=50)
@given(steps=st.integers(1, 40), pixels=st.lists(st.integers(0, 255), min_size=1, max_size=20))
def test_the_step_of_a_spike_is_that_of_the_level(steps, pixels):
    """By whole numbers: ⌊x L + 1/2⌋ of x = p / 255 is ⌊(2 p L + 255) / 510⌋."""
    x = torch.tensor(pixels, dtype=torch.float64) / 255
    code = create_coding("ttfs", steps=steps).encode(x)
    expected = np.zeros((steps, len(pixels)))
    for i, p in enumerate(pixels):
        q = (2 * p * steps + 255) // 510
        if q > 0:
            expected[steps - q, i] = 1
    assert np.array_equal(code.numpy(), expected)


def test_decoding_and_rounding_give_the_level():
    x = torch.linspace(0, 1, 101)
    code = create_coding("ttfs", steps=8)
    rounded = create_coding("direct", steps=1, levels=8).encode(x)[0]
    assert torch.equal(code.decode(code.encode(x)), rounded)
    assert torch.equal(code.encode(x).cumsum(0).mean(0), rounded)  # what a stem reads
    assert float((rounded - x).abs().max()) <= 1 / 16 + 1e-6
    assert len(rounded.unique()) == 9


def test_a_stem_reads_a_spike_until_the_end_of_the_window():
    network = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=5, coding="ttfs",
                           mean=[0.4], std=[0.2], features=[3])  # fmt: skip
    stem = network.body.linear1.eval()
    x = torch.tensor([0.0, 0.3, 0.5, 1.0]).view(1, 1, 2, 2)
    code = network.coding.encode(x)
    level = torch.tensor([0, 2, 3, 5])
    read = (torch.arange(5)[:, None] >= 5 - level).float()
    weight = stem.spikes[1].weight
    torch.testing.assert_close(stem(code)[:, 0], read @ weight.T)
    step = stem.stepper()
    torch.testing.assert_close(torch.stack([step(each) for each in code]), stem(code))
    torch.testing.assert_close(stem.mean_output(code), stem(code).mean(0))
    # Negative control: a stem that reads the spikes alone.
    stem.opens = False
    assert float((stem(code)[:, 0] - read @ weight.T).abs().max().detach()) > 0.1


def test_the_rounded_image_is_not_normalised():
    options = {"in_shape": (1, 2, 2), "classes": 2, "steps": 1, "coding": "direct"}
    plain = create_model("mlp", mean=[0.4], std=[0.2], **options)
    rounded = create_model("mlp", mean=[0.4], std=[0.2], coding_options={"levels": 4}, **options)
    assert plain.body.linear1.mean.flatten().tolist() == pytest.approx([0.4])
    assert rounded.body.linear1.mean.flatten().tolist() == [0.0]
    assert rounded.body.linear1.std.flatten().tolist() == [1.0]


def test_levels_are_checked():
    with pytest.raises(ConfigError, match="levels must be from 1 to 65,535, not 0"):
        create_coding("direct", steps=1, levels=0)
