"""Corruptions of what a network sees: of the image before its code, or of the spikes of the code.

The severities of images are the five of CIFAR-10-C, which are meant for small images: Hendrycks
and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations,
ICLR 2019, with the numbers of `make_cifar_c.py` (github.com/hendrycks/robustness). Images are not
rounded to 8 bits afterwards, as they are there. For spikes there is no such standard.
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

TRUNCATE = 4.0  # a Gaussian ends after so many deviations, as in scikit-image
MOST_DEVIATION = 100.0  # nothing is left to harm


class Chance:
    """Random numbers for each sample of a batch, from a key and the values of that sample alone.

    Neither the batch nor the severity changes them: a stronger corruption is more of the same.
    """

    def __init__(self, images: Tensor, key: str) -> None:
        self.generators = []
        for image in images.detach().cpu().contiguous():
            content = image.flatten().view(torch.uint8).numpy().tobytes()
            digest = blake2b(content, digest_size=8, key=key.encode()).digest()
            self.generators.append(torch.Generator().manual_seed(int.from_bytes(digest)))

    def uniform(self, like: Tensor) -> Tensor:
        """Return uniform numbers in [0, 1), shaped like `[B, ...]`, float32."""
        return self._drawn(like, lambda row, generator: row.uniform_(generator=generator))

    def normal(self, like: Tensor) -> Tensor:
        """Return standard normal numbers, shaped like `[B, ...]`, float32."""
        return self._drawn(like, lambda row, generator: row.normal_(generator=generator))

    def _drawn(self, like: Tensor, fill: Callable[[Tensor, torch.Generator], Tensor]) -> Tensor:
        drawn = torch.empty(like.shape)
        for row, generator in zip(drawn, self.generators, strict=True):
            fill(row, generator)
        return drawn.to(like.device)


Change = Callable[[Tensor, float, Chance], Tensor]


def gaussian_noise(x: Tensor, severity: float, chance: Chance) -> Tensor:
    """x + σ n, n ~ N(0, 1), kept within [0, 1]; σ is the severity."""
    return (x + severity * chance.normal(x)).clamp(0, 1).to(x.dtype)


def salt_and_pepper(x: Tensor, severity: float, chance: Chance) -> Tensor:
    """A value becomes 1 with probability p/2, and 0 with probability p/2; p is the severity."""
    u = chance.uniform(x)
    return x.masked_fill(u < severity / 2, 1).masked_fill(u >= 1 - severity / 2, 0)


def blur(x: Tensor, severity: float, chance: Chance) -> Tensor:
    """Convolve with a Gaussian of deviation σ in pixels, cut off after 4σ; borders repeat."""
    radius = int(TRUNCATE * severity + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / severity) ** 2)
    taps = (weights / weights.sum()).tolist()
    # Tap by tap, because a convolution's rounding may depend on the number of images.
    for axis, border in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        size, wide = x.shape[axis], pad(x, border, mode="replicate")
        x = sum((tap * wide.narrow(axis, k, size) for k, tap in enumerate(taps)), x.new_zeros(()))
    return x


def contrast(x: Tensor, severity: float, chance: Chance) -> Tensor:
    """m + (1 - s)(x - m) with m the mean of each channel of the image; s is the severity."""
    mean = x.mean((-2, -1), keepdim=True, dtype=torch.float64).to(x.dtype)
    return mean + (1 - severity) * (x - mean)


def spike_drop(spikes: Tensor, severity: float, chance: Chance) -> Tensor:
    """Each spike is lost with probability p, the severity; `[B, T, ...] -> [B, T, ...]`."""
    return spikes.masked_fill(chance.uniform(spikes) < severity, 0)


def spike_jitter(spikes: Tensor, severity: float, chance: Chance) -> Tensor:
    """Each spike moves from step t to t + round(σ n), n ~ N(0, 1), and no further than the ends.

    σ, in steps, is the severity. Spikes that meet are one spike. `[B, T, ...] -> [B, T, ...]`
    """
    last = spikes.shape[1] - 1
    t = torch.arange(last + 1, device=spikes.device).view(-1, *[1] * (spikes.dim() - 2))
    to = (t + (severity * chance.normal(spikes)).round()).clamp(0, last).long()
    return torch.zeros_like(spikes).scatter_reduce(1, to, spikes, "amax")


class CorruptedCoding(Coding):
    """A code of corrupted images, or the corrupted spikes of a code; its analog steps stay.

    Args:
        coding: the code.
        change: what is done, to images `[B, ...]` or to spikes `[B, T, ...]`.
        severity: how strongly.
        key: the name of the corruption and the seed, from which chance is drawn.
        of_spikes: whether the spikes are changed, and not the images.
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
        chance = Chance(x, self.key)
        if not self.of_spikes:
            return self.coding.encode(self.change(x, self.severity, chance))
        code = self.coding.encode(x)
        analog, spikes = code[: self.analog_steps], code[self.analog_steps :].transpose(0, 1)
        return torch.cat([analog, self.change(spikes, self.severity, chance).transpose(0, 1)])


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
        corrupted.training = model.training  # alone: its body is that of the model
        if hasattr(model, "config"):
            corrupted.config = model.config
        return corrupted

    return Corruption(apply, unit, severities, most=most, of_spikes=of_spikes)


GAUSSIAN_NOISE = _corruption(
    "gaussian-noise",
    gaussian_noise,
    "deviation of the noise, for pixels in [0, 1]",
    *(0.04, 0.06, 0.08, 0.09, 0.1),
    most=MOST_DEVIATION,
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
    most=MOST_DEVIATION,
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
    most=MOST_DEVIATION,
    of_spikes=True,
)
