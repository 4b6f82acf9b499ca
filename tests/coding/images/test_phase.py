"""The phase code against binary digits, and against SpikingJelly's weighted phase encoder."""

import pytest
import torch

from asnn.coding import create_coding
from asnn.core import ConfigError


def test_eight_steps_are_the_bits_of_a_picture():
    x = torch.arange(256) / 255
    code = create_coding("phase", steps=8).encode(x).T.int().tolist()
    assert code == [[int(digit) for digit in f"{pixel:08b}"] for pixel in range(256)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("period", [1, 3, 5])
def test_digits_of_multiples_of_a_sixty_fourth(period, dtype):
    x = (torch.arange(65) / 64).to(dtype)  # exact in every dtype
    numbers = [min(k * 2**period // 64, 2**period - 1) for k in range(65)]
    code = create_coding("phase", steps=period, period=period).encode(x)
    assert code.dtype == dtype
    expected = [[int(digit) for digit in f"{n:0{period}b}"] for n in numbers]
    assert code.T.int().tolist() == expected


@pytest.mark.parametrize("steps", [1, 4, 8, 11])
def test_equals_the_encoder_of_spikingjelly(steps):
    encoding = pytest.importorskip("spikingjelly.activation_based.encoding")
    x = torch.rand(500, generator=torch.Generator().manual_seed(1)) * (1 - 2**-steps)
    expected = encoding.WeightedPhaseEncoder(steps).single_step_encode(x)
    found = create_coding("phase", steps=steps, period=steps).encode(x)
    assert torch.equal(found, expected)
    # The negative control: with the least digit first it is another code.
    assert steps == 1 or not torch.equal(found.flip(0), expected)


def test_the_digits_repeat_after_a_period():
    x = torch.rand(50, generator=torch.Generator().manual_seed(2))
    code = create_coding("phase", steps=8, period=3).encode(x)
    assert torch.equal(code[3:6], code[:3])
    assert torch.equal(code[6:], code[:2])
    assert not torch.equal(code[1:4], code[:3])


@pytest.mark.parametrize(("steps", "period"), [(4, None), (8, None), (9, 4), (12, 12)])
def test_the_decoding_error_is_at_most_half_a_digit(steps, period):
    coding = create_coding("phase", steps=steps, period=period)
    x = torch.rand(2_000, generator=torch.Generator().manual_seed(3))
    error = (coding.decode(coding.encode(x)) - x).abs().max()
    half = 2.0 ** -(coding.period + 1)
    assert half / 2 < error <= half + 1e-6


def test_values_outside_of_the_range_are_its_ends():
    code = create_coding("phase", steps=3).encode(torch.tensor([-0.5, 1.0, 1.5]))
    assert code.T.tolist() == [[0, 0, 0], [1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("period", [0, 5, 17])
def test_a_period_out_of_range_is_refused(period):
    with pytest.raises(ConfigError, match=f"period must be from 1 to 4, not {period}"):
        create_coding("phase", steps=4, period=period)
