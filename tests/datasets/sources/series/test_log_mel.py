"""Log-mel frames: against a loop over the formula, and facts about tones, loudness and time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.datasets.sources.series.log_mel import FLOOR, MAX_SAMPLES, LogMel
from asnn.formats.errors import InvalidFile

RATE = 8_000


def mel(frequency):
    """O'Shaughnessy's scale in natural logarithms: 2595 / ln 10 = 1127.01."""
    return 2595 / math.log(10) * math.log1p(frequency / 700)


def hertz(mels):
    return 700 * math.expm1(mels * math.log(10) / 2595)


def by_loops(samples, starts, size, bands, rate, low, high):
    """Compute the formula with a sum for each Fourier coefficient and each weight."""
    step = (mel(high) - mel(low)) / (bands + 1)
    edges = [hertz(mel(low) + i * step) for i in range(bands + 2)]
    found = []
    for start in starts:
        window = [0.5 - 0.5 * math.cos(2 * math.pi * n / size) for n in range(size)]
        part = [samples[start + n] if start + n < len(samples) else 0.0 for n in range(size)]
        energy = []
        for k in range(size // 2 + 1):
            angles = [2 * math.pi * k * n / size for n in range(size)]
            products = [h * x for h, x in zip(window, part, strict=True)]
            real = sum(v * math.cos(a) for v, a in zip(products, angles, strict=True))
            imaginary = sum(v * math.sin(a) for v, a in zip(products, angles, strict=True))
            energy.append((real**2 + imaginary**2) / size)
        row = []
        for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
            total = FLOOR
            for k, value in enumerate(energy):
                f = k * rate / size
                if left < f <= centre:
                    total += value * (f - left) / (centre - left)
                elif centre < f < right:
                    total += value * (right - f) / (right - centre)
            row.append(math.log(total))
        found.append(row)
    return np.array(found)


@pytest.mark.parametrize("size", [40, 41])
@pytest.mark.parametrize(("low", "high"), [(20.0, None), (300.0, 3_000.0)])
def test_the_formula(size, low, high):
    samples = np.random.default_rng(0).normal(size=150) / 4
    features = LogMel(RATE, 5, size * 1000 / RATE, 4.0, low, high)
    found = features(samples, RATE, 6, stretch=False)
    starts = [32 * t for t in range(6)]  # 4 ms of 8,000 samples per second
    expected = by_loops(samples, starts, size, 5, RATE, low, high or RATE / 2)
    assert found.dtype == np.float32 and found.shape == (6, 5)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(found[5], math.log(FLOOR), rtol=1e-6)  # after the end
    # The loop finds another floor, window length or scale.
    for wrong in (LogMel(RATE, 5, size * 1000 / RATE, 4.0, low + 30, high),
                  LogMel(RATE, 5, (size - 1) * 1000 / RATE, 4.0, low, high)):  # fmt: skip
        assert np.abs(wrong(samples, RATE, 6, stretch=False) - expected).max() > 1e-2


def tone(frequency, seconds=0.5, rate=RATE, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@given(st.floats(150, 3_700))
@settings(max_examples=60, deadline=None)
def test_a_tone_is_in_the_band_of_the_nearest_centre(frequency):
    """Nearest in Hz between the two centres beside it, where the two triangles are equal."""
    features = LogMel(RATE, 20, 64.0)
    step = (mel(RATE / 2) - mel(20)) / 21
    centres = np.array([hertz(mel(20) + (i + 1) * step) for i in range(20)])
    distances = np.sort(np.abs(centres - frequency))
    loudest = features(tone(frequency), RATE, 10, stretch=False).argmax(1)
    # Within two steps of the spectrum of a tie, the lobe of the window is in both.
    if distances[1] - distances[0] > 4 * RATE / features.size:
        assert (loudest == np.abs(centres - frequency).argmin()).all()
    else:
        assert set(loudest) <= set(np.argsort(np.abs(centres - frequency))[:2])


def test_twice_the_amplitude_is_four_times_the_energy():
    features = LogMel(RATE, 20)
    quiet, loud = (
        features(tone(1_000, amplitude=a), RATE, 10, stretch=False).max(1) for a in (0.4, 0.8)
    )
    np.testing.assert_allclose(loud - quiet, math.log(4), atol=1e-5)


def test_silence_is_the_floor():
    silence = np.zeros(4_000)
    silence[::2] = 1 / 2**15  # the smallest step of 16 bits
    found = LogMel(RATE, 20)(silence, RATE, 10, stretch=False)
    np.testing.assert_allclose(found, math.log(FLOOR), atol=1e-2)
    assert np.isfinite(LogMel(RATE, 20)(np.zeros(1), RATE, 3, stretch=True)).all()


def test_a_cut_recording_is_padded_and_a_long_one_is_cut():
    features = LogMel(RATE, 20)
    samples = tone(1_000, 0.2)
    found = features(samples, RATE, 30, stretch=False)
    np.testing.assert_allclose(found[21:], math.log(FLOOR), rtol=1e-6)  # from 0.21 s on
    assert found[19].max() > -5 > found[21].max()
    np.testing.assert_array_equal(features(samples, RATE, 8, stretch=False), found[:8])


def test_stretched_windows_are_equally_spaced_over_the_recording():
    """A click at each of 11 places is loudest in the window that it is in the middle of."""
    features = LogMel(RATE, 20, 20.0)
    length = 160 + 10 * 400  # the first window begins at 0, the last at 4,000
    for t in range(11):
        click = np.zeros(length)
        click[400 * t + 80] = 1.0
        found = features(click, RATE, 11, stretch=True).sum(1)
        assert found.argmax() == t
        assert np.isclose(np.delete(found, t), 20 * math.log(FLOOR), rtol=1e-6).all()


def test_a_stretched_short_recording_is_one_window_many_times():
    found = LogMel(RATE, 20)(tone(1_000, 0.01), RATE, 4, stretch=True)
    assert (found == found[0]).all() and found.max() > -5


@pytest.mark.slow  # imports scipy.signal
@pytest.mark.parametrize("rate", [16_000, 11_025, 44_100, 6_000])
def test_another_rate_gives_the_frames_of_the_same_sound(rate):
    features = LogMel(RATE, 20)
    expected = features(tone(900), RATE, 40, stretch=False)
    found = features(tone(900, rate=rate), rate, 40, stretch=False)
    assert found.shape == expected.shape
    # Not at the ends of the tone, where the filter of the resampling sees its edge.
    loud = expected > expected.max() - 6
    assert loud[1:40].sum() > 30
    np.testing.assert_allclose(found[2:38][loud[2:38]], expected[2:38][loud[2:38]], atol=0.02)
    # Negative control: without resampling the tone is at another frequency.
    wrong = features(tone(900, rate=rate), RATE, 40, stretch=False)
    assert np.abs(wrong[2:38][loud[2:38]] - expected[2:38][loud[2:38]]).max() > 1


@given(st.integers(1, 900), st.integers(1, 12), st.booleans())
@settings(max_examples=50, deadline=None)
def test_every_length_has_finite_frames(length, steps, stretch):
    samples = np.random.default_rng(length).uniform(-1, 1, length)
    found = LogMel(RATE, 8)(samples, RATE, steps, stretch=stretch)
    assert found.shape == (steps, 8) and np.isfinite(found).all()


def test_bands_without_a_frequency_are_refused():
    """Bands of 20 Hz and more, in windows of 10 ms with frequencies 100 Hz apart."""
    with pytest.raises(ConfigError, match="of 40 mel bands are narrower than") as caught:
        LogMel(RATE, 40, 10.0)
    assert "100 Hz apart" in caught.value.why and "longer data.window" in caught.value.remedy
    assert (LogMel(RATE, 40, 50.0).filters.max(1) > 0).all()
    with pytest.raises(ConfigError, match="no mel bands fit between 20 and 15 Hz"):
        LogMel(30, 1)


def test_hours_of_sound_are_refused():
    long = np.broadcast_to(np.zeros(1), (MAX_SAMPLES + 1,))
    with pytest.raises(InvalidFile, match=r"it lasts 8,389 s; at most 8,388 s"):
        LogMel(RATE, 8)(long, RATE, 3, stretch=False)
