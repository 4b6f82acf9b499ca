"""Encoding in batches equals encoding at once; figures equal a loop over values."""

import math

import pytest
import torch

from asnn.coding import create_coding
from asnn.core import ConfigError
from asnn.measure.encoding.images import code_of, encode_images

IMAGES = torch.rand(7, 2, 3, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(7)


@pytest.mark.parametrize("name", ["direct", "temporal", "hybrid", "embedding", "delta"])
def test_batches_make_no_difference(name):
    coding = create_coding(name, steps=3)
    once = encode_images(coding, [(IMAGES, LABELS)], 7, decode=True)
    parts = encode_images(
        coding, zip(IMAGES.split(3), LABELS.split(3), strict=True), 7, decode=True
    )
    assert torch.equal(once.code, parts.code)
    assert torch.equal(once.code.float(), coding.encode(IMAGES))
    assert torch.equal(once.labels, parts.labels)
    first, second = once.figures(), parts.figures()
    assert first["shape"] == second["shape"]
    for key in ("spikes_per_image", "spikes_per_pixel", "rmse", "greatest_error"):
        assert first[key] == pytest.approx(second[key])
    assert once.code.dtype == (torch.float32 if coding.analog_steps else torch.uint8)


def test_figures_equal_a_loop_over_values():
    coding = create_coding("temporal", steps=3)
    found = encode_images(coding, [(IMAGES, None)], 7, decode=True).figures()
    decoded = coding.decode(coding.encode(IMAGES))
    errors = [
        abs(a - b) for a, b in zip(decoded.flatten().tolist(), IMAGES.flatten().tolist(),
                                   strict=True)
    ]  # fmt: skip
    rmse = math.sqrt(sum(e * e for e in errors) / len(errors))
    assert found["rmse"] == pytest.approx(rmse, rel=1e-6)
    assert found["greatest_error"] == pytest.approx(max(errors), rel=1e-6)
    assert found["psnr_db"] == pytest.approx(-20 * math.log10(rmse))
    assert found["spikes_per_image"] == int((IMAGES > 0).sum()) / 7
    assert found["spikes_per_pixel"] == int((IMAGES > 0).sum()) / IMAGES.numel()


def test_counts_above_one_are_kept():
    coding = create_coding("embedding", steps=4, variant="published")
    made = encode_images(coding, [(IMAGES, None)], 7)
    assert made.code.max() > 1 and torch.equal(made.code, coding.encode(IMAGES))
    assert "rmse" not in made.figures() and made.labels is None
    with pytest.raises(ConfigError, match="cannot be decoded"):
        encode_images(coding, [(IMAGES, None)], 7, decode=True)


def test_figures_of_one_image_equal_those_of_a_batch_of_one():
    for name in ("direct", "temporal", "hybrid", "latency", "delta"):
        coding = create_coding(name, steps=3)
        one = code_of(coding, IMAGES[0])
        assert torch.equal(one.steps, coding.encode(IMAGES[:1])[:, 0])
        figures = one.figures()
        batch = encode_images(coding, [(IMAGES[:1], None)], 1, decode=True).figures()
        for key in ("spikes_per_pixel", "rmse", "greatest_error", "psnr_db"):
            assert figures[key] == pytest.approx(batch[key])
        assert figures["exact"] is (name in ("direct", "hybrid"))


def test_first_spike_equals_a_loop_over_steps():
    for name in ("delta", "hybrid", "embedding"):
        coding = create_coding(name, steps=5)
        one = code_of(coding, IMAGES[0])
        firsts = []
        for values in one.steps.flatten(1).T.tolist():
            times = [t + 1 for t in range(coding.analog_steps, 5) if values[t]]
            firsts += times[:1]
        assert one.figures()["first_spike"] == pytest.approx(sum(firsts) / len(firsts))
    assert code_of(create_coding("direct", steps=5), IMAGES[0]).figures()["first_spike"] is None


def test_given_steps_are_not_encoded_again():
    coding = create_coding("rate", steps=4)
    steps = coding.encode(IMAGES[:1])[:, 0]
    one = code_of(coding, IMAGES[0], steps.to(torch.uint8))
    assert torch.equal(one.steps, steps)
    assert torch.equal(one.spikes(), steps.sum(0))
    assert torch.equal(one.error(), (steps.mean(0) - IMAGES[0]).abs())


def test_code_without_decoder_has_no_error():
    one = code_of(create_coding("embedding", steps=3, variant="published"), IMAGES[0])
    assert one.decoded is None and one.error() is None
    found = one.figures()
    assert all(found[key] is None for key in ("rmse", "greatest_error", "psnr_db", "exact"))
