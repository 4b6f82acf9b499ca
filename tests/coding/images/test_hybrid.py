"""Hybrid codes: the analog image, then the inner code over T - 1 steps."""

import pytest
import torch

from asnn.coding import create_coding
from asnn.core import ConfigError

PAIRS = [("hybrid", "temporal"), ("hybrid-embedding", "embedding")]


def image(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("rule", ["linear", "quantile"])
@pytest.mark.parametrize("steps", [2, 3, 5])
@pytest.mark.parametrize(("name", "inner"), PAIRS)
def test_first_step_is_the_image_and_the_rest_the_inner_code(name, inner, steps, rule):
    x = image(3, 2, 4, 5)
    code = create_coding(name, steps=steps, thresholds=rule).encode(x)
    assert torch.equal(code[0], x)
    assert torch.equal(code[1:], create_coding(inner, steps=steps - 1, thresholds=rule).encode(x))
    # The published code's second bug: slots for T steps instead of T - 1.
    if steps > 2:
        full = create_coding(inner, steps=steps, thresholds=rule).encode(x)
        assert not torch.equal(code[1:], full[: steps - 1])


@pytest.mark.parametrize("steps", [2, 5, 8])
def test_every_pixel_above_0_fires_once_the_brighter_the_earlier(steps):
    """The input of single-spike networks."""
    x = image(4, 1, 6, 6)
    x[:, :, 0] = 0
    spikes = create_coding("hybrid", steps=steps).encode(x)[1:]
    assert torch.equal(spikes.sum(0), (x > 0).float())
    first = torch.where(x > 0, spikes.argmax(0), steps).flatten()
    assert bool((first[x.flatten().argsort(descending=True)].diff() >= 0).all())
    # Negative control: the published variant fires for black pixels, too.
    published = create_coding("hybrid", steps=steps, variant="published").encode(x)[1:]
    assert not torch.equal(published.sum(0), (x > 0).float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("name", "inner"), PAIRS)
def test_dtype_is_kept_and_the_analog_step_is_exact_in_it(name, inner, dtype):
    x = image(2, 1, 3, 3).to(dtype)
    code = create_coding(name, steps=3).encode(x)
    assert code.dtype == dtype
    assert torch.equal(code[0], x)


@pytest.mark.parametrize("name", ["hybrid", "hybrid-embedding"])
def test_a_single_step_is_refused(name):
    with pytest.raises(ConfigError) as caught:
        create_coding(name, steps=1)
    assert str(caught.value) == f"the code '{name}' needs 2 steps or more, not 1"


@pytest.mark.parametrize("name", ["hybrid", "hybrid-embedding"])
def test_decoding_is_exact_and_only_spikes_are_counted(name):
    x = image(2, 1, 3, 3)
    coding = create_coding(name, steps=4)
    code = coding.encode(x)
    assert coding.analog_steps == 1
    assert not coding.static
    assert torch.equal(coding.decode(code), x)
    assert coding.count_spikes(code).tolist() == [code[1:, b].sum().item() for b in range(2)]
