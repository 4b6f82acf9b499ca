"""The rate code: equal to snnTorch's, reproducible with a seed, with mean x."""

import pytest
import torch
from snntorch import spikegen

from asnn.coding import create_coding


def image(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(3,), (2, 1, 5, 4)])
@pytest.mark.parametrize("steps", [1, 4, 9])
def test_equals_snntorch_under_the_same_seed(steps, shape):
    x = image(*shape)
    torch.manual_seed(7)
    expected = spikegen.rate(x, num_steps=steps)
    torch.manual_seed(7)
    assert torch.equal(create_coding("rate", steps=steps).encode(x), expected)
    torch.manual_seed(8)
    if x.numel() > 3:
        assert not torch.equal(create_coding("rate", steps=steps).encode(x), expected)


def test_with_a_seed_equal_images_get_equal_spikes():
    x = image(2, 1, 6, 6)
    coding = create_coding("rate", steps=3, seed=5)
    code = coding.encode(x)
    assert torch.equal(code, coding.encode(x))
    assert not torch.equal(code, create_coding("rate", steps=3, seed=6).encode(x))
    unseeded = create_coding("rate", steps=3)
    assert not torch.equal(unseeded.encode(x), unseeded.encode(x))


def test_a_seed_does_not_use_the_global_generator():
    before = torch.get_rng_state()
    create_coding("rate", steps=3, seed=5).encode(image(2, 1, 6, 6))
    assert torch.equal(torch.get_rng_state(), before)
    create_coding("rate", steps=3).encode(image(2, 1, 6, 6))
    assert not torch.equal(torch.get_rng_state(), before)


def sigmas(code: torch.Tensor, p: float) -> float:
    """Return the distance of the mean of Bernoulli samples from p, in standard deviations."""
    return abs(code.mean().item() - p) / (p * (1 - p) / code.numel()) ** 0.5


@pytest.mark.parametrize("p", [0.05, 0.5, 0.8])
def test_mean_is_the_value_within_sampling_error(p):
    code = create_coding("rate", steps=20, seed=1).encode(torch.full((1, 1, 50, 50), p))
    assert sigmas(code, p) < 5
    assert sigmas(code, p + 0.03) > 5
    # Steps are independent: both fire with p².
    assert sigmas(code[1:10] * code[11:], p * p) < 5


def test_0_and_1_are_deterministic():
    code = create_coding("rate", steps=50).encode(torch.tensor([[0.0, 1.0, -0.3, 1.7]]))
    assert code.mean(0).tolist() == [[0.0, 1.0, 0.0, 1.0]]  # values are clamped to [0, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_is_kept(dtype):
    code = create_coding("rate", steps=3, seed=0).encode(image(2, 1, 6, 6).to(dtype))
    assert code.dtype == dtype
    assert torch.isin(code, torch.tensor([0, 1], dtype=dtype)).all()


def test_decoding_is_the_mean_over_steps():
    code = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]], [[1.0, 0.0]], [[0.0, 0.0]]])
    assert create_coding("rate", steps=4).decode(code).tolist() == [[0.75, 0.25]]
