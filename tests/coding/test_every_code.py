"""Properties of every code: shapes, dtype, finite values, decoding, counting."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from asnn.coding import Coding, create_coding
from asnn.coding.images.thresholds import LAYER_NORM_EPS
from asnn.core import ConfigError
from tests.support.samples import IMAGE_CODES

SLOT_CODES = ["temporal", "hybrid", "embedding", "hybrid-embedding"]
CODES = [
    ("direct", {}),
    ("direct", {"levels": 4}),
    ("ttfs", {}),
    ("ttfs", {"window": 2}),
    ("impulse", {}),
    ("impulse", {"spread": True}),
    *((name, {}) for name in SLOT_CODES),
    *((name, {"thresholds": "quantile"}) for name in SLOT_CODES),
    *((name, {"variant": "published"}) for name in SLOT_CODES),
    ("rate", {}),
    ("rate", {"seed": 3}),
    ("latency", {}),
    ("latency", {"linear": True}),
    ("latency", {"normalize": False, "clip": True}),
    ("bins", {}),
    ("bins", {"background": "last"}),
    ("delta", {}),
    ("delta", {"threshold": 0.1}),
    ("phase", {}),
    ("phase", {"period": 2}),
    ("burst", {}),
    ("burst", {"most": 2, "longest": 2}),
]


def each(codes):
    ids = ["-".join([name, *map(str, options.values())]) for name, options in codes]
    return pytest.mark.parametrize(("name", "options"), codes, ids=ids)


every_code = each(CODES)
# Random numbers are drawn for a batch at once, in the order of its memory.
every_deterministic_code = each([code for code in CODES if code[0] != "rate"])
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SHAPES = [(3,), (2, 1, 1, 1), (2, 3, 4, 5), (1, 7), (0, 1, 4, 4), (0,)]


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_every_built_in_code_of_images_is_tested_here():
    assert {name for name, _ in CODES} == set(IMAGE_CODES)


@every_code
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shape_dtype_and_values(name, options, shape, dtype):
    coding = create_coding(name, steps=3, **options)
    assert (coding.name, coding.steps) == (name, 3)
    x = image(*shape).to(dtype)
    code = coding.encode(x)
    assert code.shape == (3, *shape)
    assert code.dtype == dtype
    assert torch.isfinite(code).all()
    shown = x / 3 if options.get("spread") else x
    if "levels" in options:
        shown = ((x.to(torch.float64) * 4 + 0.5).floor() / 4).to(dtype)
    assert torch.equal(code[: coding.analog_steps], shown.expand(coding.analog_steps, *shape))
    if not coding.draws:
        assert torch.equal(torch.stack(list(coding.each_step(x))), code)
    if options.get("variant") != "published":
        assert torch.isin(code[coding.analog_steps :], torch.tensor([0, 1], dtype=dtype)).all()
    assert coding.count_spikes(code).shape == shape[:1]


@every_code
@pytest.mark.parametrize("value", [0.0, 0.1, 0.5, 1.0])
def test_constant_images_are_finite(name, options, value):
    coding = create_coding(name, steps=4, **options)
    for shape in [(2, 1, 3, 3), (2, 1, 1, 1), (2,)]:
        x = torch.full(shape, value)
        code = coding.encode(x)
        assert code.isfinite().all()
        # Equal values have equal codes, except random ones.
        if name != "rate":
            assert (code.flatten(1) == code.flatten(1)[:, :1]).all()
        if (name, options) not in WITHOUT_DECODER:
            assert coding.decode(code, coding.moments(x)).isfinite().all()


WITHOUT_DECODER = [("embedding", {"variant": "published"})]


@every_code
def test_empty_batch_decodes_to_an_empty_batch(name, options):
    coding = create_coding(name, steps=3, **options)
    x = torch.zeros(0, 1, 4, 4)
    if (name, options) not in WITHOUT_DECODER:
        assert coding.decode(coding.encode(x), coding.moments(x)).shape == x.shape


@every_deterministic_code
def test_memory_layout_does_not_matter(name, options):
    coding = create_coding(name, steps=3, **options)
    x = image(4, 3, 5, 2)
    for view in (x.transpose(1, 3), x.flip(0)[::2], x[:1].expand(3, -1, -1, -1)):
        assert torch.equal(coding.encode(view), coding.encode(view.contiguous()))


@every_code
def test_the_input_is_not_modified(name, options):
    x = image(2, 1, 4, 4)
    create_coding(name, steps=3, **options).encode(x)
    assert torch.equal(x, image(2, 1, 4, 4))


@every_deterministic_code
def test_images_do_not_depend_on_their_batch(name, options):
    coding = create_coding(name, steps=4, **options)
    x = image(3, 2, 4, 4)
    single = torch.cat([coding.encode(one[None]) for one in x], dim=1)
    assert torch.equal(coding.encode(x), single)


@every_code
@pytest.mark.parametrize("steps", [0, -1])
def test_fewer_than_one_step_is_refused(name, options, steps):
    with pytest.raises(ConfigError, match=rf"the code '{name}' needs \d steps? or more, not"):
        create_coding(name, steps=steps, **options)


@every_code
def test_count_spikes_equals_a_loop(name, options):
    coding = create_coding(name, steps=3, **options)
    code = coding.encode(image(2, 2, 3, 3))
    expected = [0.0, 0.0]
    for t in range(coding.analog_steps, 3):
        for b in range(2):
            expected[b] += sum(code[t, b].flatten().tolist())
    assert coding.count_spikes(code).tolist() == expected
    if name in ("direct", "impulse"):
        assert expected == [0.0, 0.0]
    elif name != "rate":
        assert min(expected) > 0


def test_direct_is_a_view_of_the_image():
    x = image(2, 1, 3, 3)
    coding = create_coding("direct", steps=5)
    code = coding.encode(x)
    assert coding.static
    assert code.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert torch.equal(coding.decode(code), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "steps"), [("temporal", 1), ("temporal", 7), ("embedding", 5)])
def test_the_decoding_error_of_linear_slots_is_at_most_half_a_slot(name, steps, dtype):
    coding = create_coding(name, steps=steps)
    slots = 2**steps - 1 if name == "embedding" else steps
    x = torch.cat([torch.arange(256) / 255, image(1000)]).to(dtype)
    decoded = coding.decode(coding.encode(x))
    assert decoded.dtype == dtype
    error = (decoded - x).abs()
    assert error[x == 0].max() == 0
    assert error.max() <= 1 / (2 * slots) + 1e-6
    # The bound is tight: a table twice as fine would stay below half of it.
    assert error.max() > 1 / (4 * slots)


@pytest.mark.parametrize(("name", "steps"), [("temporal", 6), ("embedding", 4)])
def test_quantile_decoding_is_the_median_of_the_slot(name, steps):
    coding = create_coding(name, steps=steps, thresholds="quantile")
    slots = 2**steps - 1 if name == "embedding" else steps
    x = image(2, 1, 12, 12).double()
    code = coding.encode(x)
    flat = x.flatten(1)
    mean = flat.mean(1, keepdim=True)
    deviation = ((flat - mean).square().mean(1, keepdim=True) + LAYER_NORM_EPS).sqrt()
    z = ((flat - mean) / deviation).numpy()
    # Slot i holds p from 1 - i/K to 1 - (i-1)/K of a normal distribution; this is its median.
    slot = slots - np.floor(norm.cdf(z) * slots)
    median = norm.ppf(1 - (slot - 0.5) / slots)
    np.testing.assert_allclose(coding.decode(code).flatten(1), median, atol=1e-9)
    pixels = coding.decode(code, coding.moments(x)).flatten(1)
    np.testing.assert_allclose(pixels, median * deviation.numpy() + mean.numpy(), atol=1e-9)
    assert np.corrcoef(pixels.flatten(), flat.flatten())[0, 1] > 0.95


def test_linear_codes_need_no_moments():
    assert create_coding("temporal", steps=3).moments(image(2, 4)) is None
    assert create_coding("rate", steps=3).moments(image(2, 4)) is None


def test_a_code_without_a_decoder_refuses_to_decode():
    class Undecodable(Coding):
        name = "undecodable"

    with pytest.raises(ConfigError) as caught:
        Undecodable(steps=2).decode(torch.zeros(2, 1))
    assert str(caught.value) == "the code 'undecodable' cannot be decoded"
    with pytest.raises(NotImplementedError):
        Undecodable(steps=2).encode(torch.zeros(1))


@pytest.mark.parametrize("thresholds", ["linear", "quantile"])
def test_more_steps_keep_more_of_the_image(thresholds):
    x = image(1, 1, 32, 32)
    errors = []
    for steps in (1, 2, 4, 8):
        coding = create_coding("embedding", steps=steps, thresholds=thresholds)
        decoded = coding.decode(coding.encode(x), coding.moments(x))
        errors.append(math.sqrt((decoded - x).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 20
