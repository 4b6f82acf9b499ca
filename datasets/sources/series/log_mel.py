"""Log-mel frames of audio."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ....core.errors import ConfigError
from ....formats.errors import InvalidFile

MAX_SAMPLES = 2**26
"""Of a recording after resampling, 70 minutes at 16 kHz; 0.5 GiB."""

FLOOR = 1e-6
"""Added to the energy of a band before its logarithm: silence of 16 bits is below it."""


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

    Raises:
        ConfigError: a band holds none of the frequencies of a window.

    Source: Davis and Mermelstein, IEEE TASSP 28 (1980); the mel scale of O'Shaughnessy (1987).
    """

    rate: int
    bands: int = 32
    window: float = 25.0
    hop: float = 10.0
    low: float = 20.0
    high: float | None = None

    def __post_init__(self) -> None:
        if not self.low < self.highest <= self.rate / 2:
            raise ConfigError(
                f"no mel bands fit between {self.low:g} and {self.highest:g} Hz",
                why=f"audio of {self.rate} samples per second has frequencies up to "
                f"{self.rate / 2:g} Hz",
                remedy="set a higher data.rate",
            )
        empty = np.flatnonzero(self.filters.max(1) <= 0)
        if len(empty):
            edges = self.edges
            raise ConfigError(
                f"{len(empty)} of {self.bands} mel bands are narrower than a window resolves",
                why=f"the first goes from {edges[empty[0]]:.0f} to {edges[empty[0] + 2]:.0f} Hz, "
                f"and the frequencies of a window are {self.rate / self.size:.0f} Hz apart",
                remedy="set fewer data.bands, or a longer data.window",
            )

    @property
    def size(self) -> int:
        """The samples of a window."""
        return max(2, round(self.rate * self.window / 1000))

    @property
    def highest(self) -> float:
        """The highest frequency in Hz."""
        return self.rate / 2 if self.high is None else self.high

    @property
    def edges(self) -> np.ndarray:
        """The frequencies in Hz where bands begin, have their centre and end, `[bands + 2]`."""
        points = np.linspace(_mel(self.low), _mel(self.highest), self.bands + 2)
        return 700 * (10 ** (points / 2595) - 1)

    @cached_property
    def filters(self) -> np.ndarray:
        """The weights `[bands, size // 2 + 1]`."""
        edges = self.edges
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

        Raises:
            InvalidFile: more than 2²⁶ samples after resampling.
        """
        if len(samples) * self.rate > MAX_SAMPLES * rate:
            raise InvalidFile(
                f"it lasts {len(samples) / rate:,.0f} s; at most "
                f"{MAX_SAMPLES // self.rate:,} s are read at {self.rate} samples per second"
            )
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
        return np.log(FLOOR + energy @ self.filters.T).astype(np.float32)


def _mel(frequency: float) -> float:
    return 2595 * float(np.log10(1 + frequency / 700))
