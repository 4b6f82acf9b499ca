"""Corruptions of images before encoding, and of the spikes of a code.

The severities for images are the five of CIFAR-10-C, which are meant for small images: Hendrycks
and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations,
ICLR 2019, with the numbers of `make_cifar_c.py` (github.com/hendrycks/robustness). Images are not
rounded to 8 bits afterwards, as they are in CIFAR-10-C. There is no such standard for spikes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from .corrupted_coding import coding_corruption
from .sample_random import SampleRandom

IMAGES = frozenset({"image"})
TRUNCATE = 4.0  # standard deviations at which a Gaussian is cut off, as in scikit-image
MAX_DEVIATION = 100.0  # at which nothing of the input is left


def gaussian_noise(x: Tensor, severity: float, random: SampleRandom) -> Tensor:
    """x + σ n, n ~ N(0, 1), clipped to [0, 1]; σ is the severity."""
    return (x + severity * random.normal(x)).clamp(0, 1).to(x.dtype)


def salt_and_pepper(x: Tensor, severity: float, random: SampleRandom) -> Tensor:
    """A value becomes 1 with probability p/2, and 0 with probability p/2; p is the severity."""
    u = random.uniform(x)
    return x.masked_fill(u < severity / 2, 1).masked_fill(u >= 1 - severity / 2, 0)


def blur(x: Tensor, severity: float, random: SampleRandom) -> Tensor:
    """Convolve with a Gaussian of deviation σ in pixels, cut off at 4σ; borders are replicated."""
    radius = int(TRUNCATE * severity + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / severity) ** 2)
    taps = (weights / weights.sum()).tolist()
    # Tap by tap, because a convolution's rounding may depend on the number of images.
    for axis, border in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        size, padded = x.shape[axis], pad(x, border, mode="replicate")
        x = sum((tap * padded.narrow(axis, k, size) for k, tap in enumerate(taps)), x.new_zeros(()))
    return x


def contrast(x: Tensor, severity: float, random: SampleRandom) -> Tensor:
    """m + (1 - s)(x - m) with m the mean of each channel of the image; s is the severity."""
    mean = x.mean((-2, -1), keepdim=True, dtype=torch.float64).to(x.dtype)
    return mean + (1 - severity) * (x - mean)


def spike_drop(spikes: Tensor, severity: float, random: SampleRandom) -> Tensor:
    """Drop each spike with probability p, the severity; `[B, T, ...] -> [B, T, ...]`."""
    return spikes.masked_fill(random.uniform(spikes) < severity, 0)


def spike_jitter(spikes: Tensor, severity: float, random: SampleRandom) -> Tensor:
    """Move each spike from step t to t + round(σ n), n ~ N(0, 1), clamped to the steps of the code.

    σ, in steps, is the severity. Spikes that meet merge into one. `[B, T, ...] -> [B, T, ...]`
    """
    last = spikes.shape[1] - 1
    t = torch.arange(last + 1, device=spikes.device).view(-1, *[1] * (spikes.dim() - 2))
    to = (t + (severity * random.normal(spikes)).round()).clamp(0, last).long()
    return torch.zeros_like(spikes).scatter_reduce(1, to, spikes, "amax")


GAUSSIAN_NOISE = coding_corruption(
    "gaussian-noise",
    gaussian_noise,
    "deviation of the noise, for pixels in [0, 1]",
    *(0.04, 0.06, 0.08, 0.09, 0.1),
    most=MAX_DEVIATION,
    takes=IMAGES,
)
SALT_AND_PEPPER = coding_corruption(
    "salt-and-pepper",
    salt_and_pepper,
    "share of the values that become 0 or 1",
    *(0.01, 0.02, 0.03, 0.05, 0.07),
    takes=IMAGES,
)
BLUR = coding_corruption(
    "blur",
    blur,
    "deviation of the Gaussian, in pixels",
    *(0.4, 0.6, 0.7, 0.8, 1.0),
    most=MAX_DEVIATION,
    takes=IMAGES,
)
CONTRAST = coding_corruption(
    "contrast",
    contrast,
    "share of the contrast that is lost",
    *(0.25, 0.5, 0.6, 0.7, 0.85),
    takes=IMAGES,
)
SPIKE_DROP = coding_corruption(
    "spike-drop",
    spike_drop,
    "share of the code's spikes that are lost",
    *(0.05, 0.1, 0.2, 0.3, 0.5),
    of_spikes=True,
)
SPIKE_JITTER = coding_corruption(
    "spike-jitter",
    spike_jitter,
    "deviation of the shift of a spike, in steps",
    *(0.25, 0.5, 0.75, 1.0, 2.0),
    most=MAX_DEVIATION,
    of_spikes=True,
)
