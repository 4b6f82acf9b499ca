"""Encoded images: their spikes, and the errors of the images decoded from them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...coding.base import Coding
from ...coding.draws import drawing, sample_keys
from ...coding.stored import StoredSteps
from ...core.errors import ConfigError
from .steps import CodeSteps, blocks_of


@dataclass
class EncodedImages:
    """Many images, encoded.

    Attributes:
        steps: those of the code, `[T, N, C, H, W]`.
        labels: `[N]`, or None.
        first: the first image, `[1, C, H, W]`.
        spikes: total number of spikes.
        squared_error, max_error: sum of the squared errors of the decoded images and the largest
            absolute error; None if nothing was decoded.
    """

    steps: StoredSteps
    labels: Tensor | None
    first: Tensor
    spikes: float
    squared_error: float | None
    max_error: float | None

    @property
    def code(self) -> Tensor:
        """`[T, N, C, H, W]`; uint8 if all values are 0 or 1, float32 otherwise."""
        return torch.from_numpy(self.steps.dense())

    def figures(self) -> dict[str, Any]:
        """Return shape, spikes per image and per value, and the errors if images were decoded."""
        shape = self.steps.shape
        images, values = shape[1], math.prod(shape[1:])
        found: dict[str, Any] = {
            "shape": list(shape),
            "images": images,
            "spikes_per_image": self.spikes / images,
            "spikes_per_pixel": self.spikes / values,
        }
        if self.squared_error is not None:
            assert self.max_error is not None
            found |= errors(self.squared_error / values, self.max_error)
        return found


@dataclass(frozen=True)
class EncodedImage:
    """One image, encoded and decoded.

    Attributes:
        coding: the code.
        image: `[C, H, W]` in [0, 1].
        steps: `[T, C, H, W]`: `coding.analog_steps` steps of values, then steps of spikes.
        decoded: `[C, H, W]`, or None if the code has no decoder.
    """

    coding: Coding
    image: Tensor
    steps: Tensor
    decoded: Tensor | None

    def spikes(self) -> Tensor:
        """Return the number of spikes of each value, `[C, H, W]`."""
        return self.steps[self.coding.analog_steps :].sum(0)

    def error(self) -> Tensor | None:
        """Return |decoded - image| `[C, H, W]`, or None without a decoder."""
        return None if self.decoded is None else (self.decoded - self.image).abs()

    def figures(self) -> dict[str, Any]:
        """Return spikes per value, the mean first step, the errors, and whether it is `exact`.

        `first_spike` is the mean over the values that fire, counted from step 1; None if none
        does. The errors and `exact` are None without a decoder.
        """
        found: dict[str, Any] = {
            "spikes_per_pixel": float(self.spikes().double().mean()),
            "first_spike": self._first_spike(),
        }
        error = self.error()
        if error is None:
            return found | dict.fromkeys(("rmse", "greatest_error", "psnr_db", "exact"))
        found |= errors(float(error.double().square().mean()), float(error.max()))
        return {**found, "exact": found["greatest_error"] == 0}

    def _first_spike(self) -> float | None:
        analog = self.coding.analog_steps
        if analog == len(self.steps):
            return None
        fires, first = (self.steps[analog:] > 0).to(torch.uint8).max(0)
        times = first[fires > 0].double()
        return float(times.mean()) + analog + 1 if len(times) else None


def code_of(coding: Coding, image: Tensor, steps: Tensor | None = None) -> EncodedImage:
    """Return one image, encoded and decoded.

    Args:
        coding: the code.
        image: `[C, H, W]` in [0, 1].
        steps: `[T, C, H, W]`, the encoded image; by default `coding` encodes it.
    """
    x = image.unsqueeze(0)
    code = coding.encode(x) if steps is None else steps.unsqueeze(1).to(x.dtype)
    try:
        decoded = coding.decode(code, coding.moments(x))[0]
    except ConfigError:
        decoded = None
    return EncodedImage(coding, image, code[:, 0], decoded)


def errors(mean_squared_error: float, max_error: float) -> dict[str, Any]:
    """Return the errors of decoded images.

    `psnr_db` is -20 log10(RMSE), for values in [0, 1]; None if decoding is exact.
    """
    rmse = math.sqrt(mean_squared_error)
    psnr = -20 * math.log10(rmse) if rmse > 0 else None
    return {"rmse": rmse, "greatest_error": max_error, "psnr_db": psnr}


def encode_images(
    coding: Coding,
    batches: Iterable[tuple[Tensor, Tensor | None]],
    count: int,
    *,
    decode: bool = False,
    seed: int = 0,
    first: int = 0,
) -> EncodedImages:
    """Encode batches one after another; memory holds the steps and one batch, or a block of it.

    Args:
        coding: the code.
        batches: images `[B, C, H, W]` in [0, 1] with labels `[B]` or None; at least one batch.
        count: the number of images.
        decode: decode the images and compute the errors.
        seed: of random codes; 0 draws what an evaluation draws.
        first: the index of the first image in its split.

    Raises:
        ConfigError: `decode` was requested, and the code has no decoder.
    """
    labels: list[Tensor] = []
    steps, shown = None, None
    spikes, squared_error, max_error = 0.0, 0.0, 0.0
    begin = 0
    for x, y in batches:
        if steps is None:
            steps, shown = CodeSteps(coding, count, tuple(x.shape[1:])), x[:1]
        keys = sample_keys(torch.arange(first + begin, first + begin + len(x)), seed)
        for value, block in blocks_of(coding, x):
            with drawing(keys):
                code = coding.encode(block)
            spikes += float(coding.count_spikes(code).sum())
            if decode:
                error = (coding.decode(code, coding.moments(block)) - block).double()
                squared_error += float(error.square().sum())
                max_error = max(max_error, float(error.abs().max()))
            steps.put(code, begin, value)
        begin += len(x)
        if y is not None:
            labels.append(y)
    assert steps is not None and shown is not None, "there are no images"
    return EncodedImages(
        steps=steps.stored(),
        labels=torch.cat(labels) if labels else None,
        first=shown,
        spikes=spikes,
        squared_error=squared_error if decode else None,
        max_error=max_error if decode else None,
    )
