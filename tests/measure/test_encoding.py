"""Encoding in batches is encoding, and its figures are what a loop over values counts."""

import math

import pytest
import torch

from asnn.coding import create_coding
from asnn.core import ConfigError
from asnn.measure.encoding import encode_all

IMAGES = torch.rand(7, 2, 3, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(7)


@pytest.mark.parametrize("name", ["direct", "temporal", "hybrid", "embedding", "delta"])
def test_batches_make_no_difference(name):
    coding = create_coding(name, steps=3)
    whole = encode_all(coding, [(IMAGES, LABELS)], decode=True)
    parts = encode_all(coding, zip(IMAGES.split(3), LABELS.split(3), strict=True), decode=True)
    assert torch.equal(whole.code, parts.code)
    assert torch.equal(whole.code.float(), coding.encode(IMAGES))
    assert torch.equal(whole.labels, parts.labels)
    first, second = whole.figures(), parts.figures()
    assert first["shape"] == second["shape"]
    for key in ("spikes_per_image", "spikes_per_pixel", "rmse", "greatest_error"):
        assert first[key] == pytest.approx(second[key])
    assert whole.code.dtype == (torch.float32 if coding.analog_steps else torch.uint8)


def test_figures_are_counted():
    coding = create_coding("temporal", steps=3)
    found = encode_all(coding, [(IMAGES, None)], decode=True).figures()
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


def test_counts_are_kept_as_they_are():
    coding = create_coding("embedding", steps=4, variant="published")
    made = encode_all(coding, [(IMAGES, None)])
    assert made.code.max() > 1 and torch.equal(made.code, coding.encode(IMAGES))
    assert "rmse" not in made.figures() and made.labels is None
    with pytest.raises(ConfigError, match="cannot be decoded"):
        encode_all(coding, [(IMAGES, None)], decode=True)
