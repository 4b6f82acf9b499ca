"""Log-mel frames of audio."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np

from ....formats.errors import InvalidFile

FLOOR = 1e-6
"""Added to the energy of a band before its logarithm: silence of 16 bits is below it."""


def read_wav(content: bytes) -> tuple[np.ndarray, int]:
    """Return the samples `[N]` in [-1, 1], channels averaged, and the rate in Hz of a WAV file.

    Raises:
        InvalidFile: it is no WAV file, damaged, empty, or of a compressed kind.
    """
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks of metadata
            rate, samples = wavfile.read(io.BytesIO(content))
    except Exception as error:  # scipy documents no list of its exceptions
        raise InvalidFile(f"{error}" or type(error).__name__) from error
    if samples.size == 0:
        raise InvalidFile("it holds no samples")
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float64) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples / float(np.iinfo(samples.dtype).max + 1)
    samples = samples.astype(np.float64)
    if not np.isfinite(samples).all():
        raise InvalidFile("it holds samples that are not finite")
    return (samples.mean(1) if samples.ndim == 2 else samples), int(rate)


@dataclass(frozen=True)
class LogMel:
    """The energy of mel bands in windows of time, as logarithms.

        e[t, m] = log(ε + Σ_f w[m, f] |rfft(h x[t hop : t hop + n])[f]|² / n)

    with a Hann window h of n samples, and triangular filters w between equally spaced points of
    the mel scale, 2595 log10(1 + f / 700).

    Args:
        rate: samples per second; audio of another rate is resampled.
        bands: number of mel bands.
        window: length of h in ms.
        hop: time between two windows in ms.
        low, high: lowest and highest frequency in Hz; `high` is half the rate by default.

    Source: Davis and Mermelstein, IEEE TASSP 28 (1980); the mel scale of O'Shaughnessy (1987).
    """

    rate: int
    bands: int = 32
    window: float = 25.0
    hop: float = 10.0
    low: float = 20.0
    high: float | None = None

    @property
    def size(self) -> int:
        """The samples of a window."""
        return max(2, round(self.rate * self.window / 1000))

    def filters(self) -> np.ndarray:
        """Return the weights `[bands, size // 2 + 1]`."""
        high = self.rate / 2 if self.high is None else self.high
        points = np.linspace(_mel(self.low), _mel(high), self.bands + 2)
        edges = 700 * (10 ** (points / 2595) - 1)
        frequencies = np.fft.rfftfreq(self.size, 1 / self.rate)
        left, centre, right = (each[:, None] for each in (edges[:-2], edges[1:-1], edges[2:]))
        rising = (frequencies - left) / (centre - left)
        falling = (right - frequencies) / (right - centre)
        return np.clip(np.minimum(rising, falling), 0, None)

    def __call__(self, samples: np.ndarray, rate: int, steps: int, *, stretch: bool) -> np.ndarray:
        """Return the frames `[steps, bands]` float32 of the samples `[N]`.

        Args:
            samples: audio in [-1, 1].
            rate: its samples per second.
            steps: number of windows.
            stretch: space the windows equally over the recording; otherwise they begin every `hop`,
                silence is appended, and what is longer is cut.
        """
        if rate != self.rate:
            from scipy.signal import resample_poly

            common = np.gcd(rate, self.rate)
            samples = resample_poly(samples, self.rate // common, rate // common)
        size = self.size
        if stretch:
            last = max(0, len(samples) - size)
            starts = np.rint(np.linspace(0, last, steps)).astype(np.int64)
        else:
            starts = np.rint(np.arange(steps) * self.rate * self.hop / 1000).astype(np.int64)
        padded = np.zeros(max(len(samples), int(starts[-1]) + size))
        padded[: len(samples)] = samples
        frames = padded[starts[:, None] + np.arange(size)] * np.hanning(size + 1)[:-1]
        energy = np.abs(np.fft.rfft(frames)) ** 2 / size
        return np.log(FLOOR + energy @ self.filters().T).astype(np.float32)


def _mel(frequency: float) -> float:
    return 2595 * float(np.log10(1 + frequency / 700))
