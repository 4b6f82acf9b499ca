"""Corruptions of the input: of the image before encoding, or of the spikes of the code.

The severities for images are the five of CIFAR-10-C, which are meant for small images: Hendrycks
and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations,
ICLR 2019, with the numbers of `make_cifar_c.py` (github.com/hendrycks/robustness). Images are not
rounded to 8 bits afterwards, as they are in CIFAR-10-C. There is no such standard for spikes.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...coding.base import Coding
from ...models.network import SpikingNetwork
from .corruptions import Corruption

TRUNCATE = 4.0  # standard deviations at which a Gaussian is cut off, as in scikit-image
MAX_DEVIATION = 100.0  # at which nothing of the input is left


class SampleRandom:
    """Random numbers for each sample of a batch, which depend on a key and the sample alone.

    They do not depend on the batch or the severity: a stronger corruption extends a weaker one.
    """

    def __init__(self, images: Tensor, key: str) -> None:
        self.generators = []
        for image in images.detach().cpu().contiguous():
            content = image.flatten().view(torch.uint8).numpy().tobytes()
            digest = blake2b(content, digest_size=8, key=key.encode()).digest()
            self.generators.append(torch.Generator().manual_seed(int.from_bytes(digest)))

    def uniform(self, like: Tensor) -> Tensor:
        """Return uniform numbers in [0, 1), shaped like `[B, ...]`, float32."""
        return self._fill(like, lambda row, generator: row.uniform_(generator=generator))

    def normal(self, like: Tensor) -> Tensor:
        """Return standard normal numbers, shaped like `[B, ...]`, float32."""
        return self._fill(like, lambda row, generator: row.normal_(generator=generator))

    def _fill(self, like: Tensor, fill: Callable[[Tensor, torch.Generator], Tensor]) -> Tensor:
        values = torch.empty(like.shape)
        for row, generator in zip(values, self.generators, strict=True):
            fill(row, generator)
        return values.to(like.device)


Change = Callable[[Tensor, float, SampleRandom], Tensor]


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


class CorruptedCoding(Coding):
    """A code of corrupted images, or a code with corrupted spikes and unchanged analog steps.

    Args:
        coding: the code.
        change: the corruption, of images `[B, ...]` or of spikes `[B, T, ...]`.
        severity: of the corruption.
        key: the name of the corruption and the seed; seeds the random numbers.
        of_spikes: whether `change` is applied to the spikes and not to the images.
    """

    def __init__(
        self, coding: Coding, change: Change, severity: float, key: str, *, of_spikes: bool
    ) -> None:
        self.name = coding.name
        self.min_steps = coding.min_steps
        self.analog_steps = coding.analog_steps
        self.static = coding.static and not of_spikes
        super().__init__(steps=coding.steps)
        self.coding = coding
        self.change = change
        self.severity = severity
        self.key = key
        self.of_spikes = of_spikes

    def encode(self, x: Tensor) -> Tensor:
        random = SampleRandom(x, self.key)
        if not self.of_spikes:
            return self.coding.encode(self.change(x, self.severity, random))
        code = self.coding.encode(x)
        analog, spikes = code[: self.analog_steps], code[self.analog_steps :].transpose(0, 1)
        return torch.cat([analog, self.change(spikes, self.severity, random).transpose(0, 1)])


def _corruption(
    name: str,
    change: Change,
    unit: str,
    *severities: float,
    of_spikes: bool = False,
    most: float = 1.0,
) -> Corruption:
    def apply(model: SpikingNetwork, severity: float, seed: int) -> SpikingNetwork:
        coding = CorruptedCoding(
            model.coding, change, severity, f"{name} {seed}", of_spikes=of_spikes
        )
        corrupted = SpikingNetwork(coding, model.body)
        corrupted.training = model.training  # not .train(): the body is shared with the model
        if hasattr(model, "config"):
            corrupted.config = model.config
        return corrupted

    return Corruption(apply, unit, severities, most=most, of_spikes=of_spikes)


GAUSSIAN_NOISE = _corruption(
    "gaussian-noise",
    gaussian_noise,
    "deviation of the noise, for pixels in [0, 1]",
    *(0.04, 0.06, 0.08, 0.09, 0.1),
    most=MAX_DEVIATION,
)
SALT_AND_PEPPER = _corruption(
    "salt-and-pepper",
    salt_and_pepper,
    "share of the values that become 0 or 1",
    *(0.01, 0.02, 0.03, 0.05, 0.07),
)
BLUR = _corruption(
    "blur",
    blur,
    "deviation of the Gaussian, in pixels",
    *(0.4, 0.6, 0.7, 0.8, 1.0),
    most=MAX_DEVIATION,
)
CONTRAST = _corruption(
    "contrast", contrast, "share of the contrast that is lost", *(0.25, 0.5, 0.6, 0.7, 0.85)
)
SPIKE_DROP = _corruption(
    "spike-drop",
    spike_drop,
    "share of the code's spikes that are lost",
    *(0.05, 0.1, 0.2, 0.3, 0.5),
    of_spikes=True,
)
SPIKE_JITTER = _corruption(
    "spike-jitter",
    spike_jitter,
    "deviation of the shift of a spike, in steps",
    *(0.25, 0.5, 0.75, 1.0, 2.0),
    most=MAX_DEVIATION,
    of_spikes=True,
)
