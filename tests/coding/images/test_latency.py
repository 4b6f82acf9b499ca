"""The latency code against `snntorch.spikegen.latency`."""

import math

import pytest
import torch
from snntorch import spikegen

from asnn.coding import create_coding
from asnn.core import ConfigError


def pixels() -> torch.Tensor:
    """Return all 8-bit grey levels, including 0, and random values."""
    grey = torch.arange(256) / 255
    between = torch.rand(1024, generator=torch.Generator().manual_seed(0))
    return torch.cat([grey, between]).reshape(4, 1, 20, 16)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("threshold", [0.01, 0.2])
@pytest.mark.parametrize("tau", [1.0, 3.0])
@pytest.mark.parametrize("steps", [1, 2, 4, 9, 30])
def test_normalised_equals_snntorch(steps, tau, threshold, linear, clip):
    x = pixels()
    assert x.min() == 0  # snnTorch normalises by the latest spike of the batch
    options = {"tau": tau, "threshold": threshold, "linear": linear, "clip": clip}
    expected = spikegen.latency(x, num_steps=steps, normalize=True, bypass=True, **options)
    code = create_coding("latency", steps=steps, **options).encode(x)
    assert torch.equal(code, expected)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("threshold", [0.01, 0.2])
@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("steps", [1, 2, 4, 9])
def test_unnormalised_equals_snntorch(steps, tau, threshold, linear, clip):
    options = {"tau": tau, "threshold": threshold, "linear": linear, "clip": clip}
    # With `bypass`, snnTorch drops late spikes instead of raising an error.
    expected = spikegen.latency(pixels(), num_steps=steps, bypass=True, **options)
    code = create_coding("latency", steps=steps, normalize=False, **options).encode(pixels())
    assert torch.equal(code, expected)


def test_each_option_changes_the_code():
    base = create_coding("latency", steps=9).encode(pixels())
    for options in ({"linear": True}, {"threshold": 0.2}, {"clip": True}, {"normalize": False}):
        assert not torch.equal(create_coding("latency", steps=9, **options).encode(pixels()), base)


@pytest.mark.parametrize("linear", [False, True])
def test_code_of_an_image_does_not_depend_on_its_batch(linear):
    coding = create_coding("latency", steps=9, linear=linear)
    x = pixels()
    x[1] = 0.5 + x[1] / 2  # an image without dark pixels
    single = torch.cat([coding.encode(image[None]) for image in x], dim=1)
    assert torch.equal(coding.encode(x), single)


def test_snntorch_depends_on_the_batch():
    # The documented difference, and a negative control of the test above.
    bright = 0.5 + pixels() / 2
    code = create_coding("latency", steps=9).encode(bright)
    assert not torch.equal(code, spikegen.latency(bright, num_steps=9, normalize=True))


def test_times_worked_out_by_hand():
    # Linear, T = 5: t = 4 (1 - x), at most 4 · 0.99, rounded: 0, 1, 2, 4.
    code = create_coding("latency", steps=5, linear=True).encode(
        torch.tensor([[1.0, 0.75, 0.5, 0.0]])
    )
    assert code.argmax(0).tolist() == [[0, 1, 2, 4]]
    # τ ln(x / (x - θ)) with τ = 4, θ = 1/2: x = 1 gives 4 ln 2 = 2.77, x = 3/4 gives 4 ln 3 = 4.39.
    code = create_coding("latency", steps=6, tau=4.0, threshold=0.5, normalize=False).encode(
        torch.tensor([[1.0, 0.75]])
    )
    assert code.argmax(0).tolist() == [[round(4 * math.log(2)), round(4 * math.log(3))]]
    assert code.sum().item() == 2


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_equals_float32_on_the_same_values(dtype, linear):
    # In half precision θ + 1e-7 rounds to θ, where the time is infinite.
    x = pixels().to(dtype)
    coding = create_coding("latency", steps=9, linear=linear)
    code = coding.encode(x)
    assert code.dtype == dtype
    assert torch.equal(code.float(), coding.encode(x.float()))
    assert (code.sum(0) == 1).all()


@pytest.mark.parametrize("linear", [False, True])
def test_a_value_fires_once_and_a_clipped_value_never(linear):
    x = pixels()
    assert (create_coding("latency", steps=7, linear=linear).encode(x).sum(0) == 1).all()
    clipped = create_coding("latency", steps=7, linear=linear, clip=True).encode(x).sum(0)
    assert torch.equal(clipped, (x >= 0.01).float())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 5, 16])
def test_the_decoded_value_has_the_same_code(steps, linear, dtype):
    coding = create_coding("latency", steps=steps, linear=linear, clip=True)
    code = coding.encode(pixels().to(dtype))
    decoded = coding.decode(code)
    assert decoded.dtype == dtype
    assert torch.equal(decoded == 0, code.sum(0) == 0)
    assert ((decoded >= 0) & (decoded <= 1)).all()
    # bfloat16 cannot represent θ + 1e-7, the value of the latest spike.
    if dtype != torch.bfloat16:
        assert torch.equal(coding.encode(decoded), code)


def test_unnormalised_decoding_has_the_same_code():
    coding = create_coding("latency", steps=12, tau=2.0, threshold=0.1, normalize=False)
    code = coding.encode(pixels())
    fired = code.sum(0) > 0
    assert torch.equal(coding.encode(coding.decode(code))[:, fired], code[:, fired])
    linear = create_coding("latency", steps=5, tau=4.0, linear=True, normalize=False)
    assert linear.decode(linear.encode(torch.tensor([[0.75, 0.5]]))).tolist() == [[0.75, 0.5]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "threshold must be between 0 and 1, not 0.0"),
        ({"threshold": 1.0}, "threshold must be between 0 and 1, not 1.0"),
        ({"tau": 0.0}, "tau must be above 0, not 0.0"),
        ({"tau": -1.0}, "tau must be above 0, not -1.0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ConfigError) as caught:
        create_coding("latency", steps=4, **options)
    assert str(caught.value) == message
