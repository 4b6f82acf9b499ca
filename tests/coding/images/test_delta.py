"""The delta code against delta modulation with feedback, step by step, in exact fractions."""

from fractions import Fraction

import pytest
import torch
from snntorch import spikegen

from asnn.coding import create_coding
from asnn.core import ConfigError


def modulate(value: Fraction, delta: Fraction, steps: int) -> list[int]:
    """Return delta modulation with feedback: a spike adds δ to the transmitted sum."""
    sent, spikes = Fraction(0), []
    for _ in range(steps):
        fires = value - sent > delta
        sent += delta if fires else 0
        spikes.append(int(fires))
    return spikes


@pytest.mark.parametrize("steps", [1, 2, 4, 14, 16])
def test_equals_feedback_modulation_on_all_grey_levels(steps):
    # With T = 2, 4, 14 and 16, T + 1 divides 255: some grey levels are multiples of δ.
    x = torch.arange(256) / 255
    code = create_coding("delta", steps=steps).encode(x).T.int().tolist()
    assert code == [modulate(Fraction(k, 255), Fraction(1, steps + 1), steps) for k in range(256)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("delta", [0.0625, 0.25, 0.5])
def test_a_given_threshold_equals_feedback_modulation(delta, dtype):
    # Multiples of 1/32 are exact in every dtype.
    levels = range(33)
    x = (torch.arange(33) / 32).to(dtype)
    code = create_coding("delta", steps=6, threshold=delta).encode(x)
    assert code.dtype == dtype
    expected = [modulate(Fraction(k, 32), Fraction(delta), 6) for k in levels]
    assert code.T.int().tolist() == expected


def test_a_constant_signal_keeps_firing_unlike_in_snntorch():
    # Without feedback a constant signal changes at the first step only.
    x = torch.full((6, 1), 0.9)
    assert spikegen.delta(x, threshold=0.2).sum() < 2
    assert create_coding("delta", steps=6, threshold=0.2).encode(x[0]).sum() == 4  # ⌈0.9/0.2⌉ - 1


@pytest.mark.parametrize("steps", [1, 3, 4, 9])
def test_the_decoding_error_is_at_most_half_of_delta(steps):
    coding = create_coding("delta", steps=steps)
    x = torch.arange(256, dtype=torch.float64) / 255
    code = coding.encode(x)
    assert torch.equal(coding.count_spikes(code), code.sum(0))
    error = (coding.decode(code) - x).abs().max().item()
    # Zero decodes to δ/2, which reaches the bound.
    assert error == pytest.approx(1 / (steps + 1) / 2, abs=1e-12)


@pytest.mark.parametrize("threshold", [0.0, -0.1])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ConfigError) as caught:
        create_coding("delta", steps=4, threshold=threshold)
    assert str(caught.value) == f"threshold must be above 0, not {threshold}"
