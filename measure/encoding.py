"""What a code makes of images: the code itself, its spikes, and what can be decoded from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..coding.base import Coding
from ..core.errors import ConfigError


@dataclass
class Encoded:
    """The code of many images.

    Attributes:
        code: `[T, N, C, H, W]`; uint8 where all steps are 0 or 1, float32 otherwise.
        labels: `[N]`, or None.
        first: the first image, `[1, C, H, W]`.
        spikes: spikes in all.
        squares, greatest: sum of the squared errors of the decoded images and the greatest
            error, or None where nothing was decoded.
    """

    code: Tensor
    labels: Tensor | None
    first: Tensor
    spikes: float
    squares: float | None
    greatest: float | None

    def figures(self) -> dict[str, Any]:
        """Return shape, spikes per image and value, and the errors where images were decoded."""
        images = self.code.shape[1]
        values = math.prod(self.code.shape[1:])
        found: dict[str, Any] = {
            "shape": list(self.code.shape),
            "images": images,
            "spikes_per_image": self.spikes / images,
            "spikes_per_pixel": self.spikes / values,
        }
        if self.squares is not None:
            assert self.greatest is not None
            found |= _errors(self.squares / values, self.greatest)
        return found


@dataclass(frozen=True)
class Coded:
    """One image and what a code makes of it.

    Attributes:
        coding: the code.
        image: `[C, H, W]` in [0, 1].
        steps: `[T, C, H, W]`: `coding.analog_steps` of values, then spikes.
        decoded: `[C, H, W]`, or None where the code has no decoder.
    """

    coding: Coding
    image: Tensor
    steps: Tensor
    decoded: Tensor | None

    def spikes(self) -> Tensor:
        """Return how often each value fires, `[C, H, W]`."""
        return self.steps[self.coding.analog_steps :].sum(0)

    def error(self) -> Tensor | None:
        """Return |decoded - image| `[C, H, W]`, or None where nothing is decoded."""
        return None if self.decoded is None else (self.decoded - self.image).abs()

    def figures(self) -> dict[str, Any]:
        """Return spikes for each value, their first step, the errors, and whether it is `exact`.

        `first_spike` is the mean over the values that fire, from step 1 on; None if none does.
        What tells of errors is None where nothing is decoded.
        """
        found: dict[str, Any] = {
            "spikes_per_pixel": float(self.spikes().double().mean()),
            "first_spike": self._first_spike(),
        }
        error = self.error()
        if error is None:
            return found | dict.fromkeys(("rmse", "greatest_error", "psnr_db", "exact"))
        found |= _errors(float(error.double().square().mean()), float(error.max()))
        return {**found, "exact": found["greatest_error"] == 0}

    def _first_spike(self) -> float | None:
        analog = self.coding.analog_steps
        if analog == len(self.steps):
            return None
        fires, first = (self.steps[analog:] > 0).to(torch.uint8).max(0)
        times = first[fires > 0].double()
        return float(times.mean()) + analog + 1 if len(times) else None


def code_of(coding: Coding, image: Tensor, steps: Tensor | None = None) -> Coded:
    """Return what a code makes of one image.

    Args:
        coding: the code.
        image: `[C, H, W]` in [0, 1].
        steps: `[T, C, H, W]`, where the image is encoded already.
    """
    x = image.unsqueeze(0)
    code = coding.encode(x) if steps is None else steps.unsqueeze(1).to(x.dtype)
    try:
        decoded = coding.decode(code, coding.moments(x))[0]
    except ConfigError:
        decoded = None
    return Coded(coding, image, code[:, 0], decoded)


def _errors(mean_square: float, greatest: float) -> dict[str, Any]:
    """Return the errors of what is decoded.

    `psnr_db` is -20 log10(RMSE), for values in [0, 1]; None where decoding is exact.
    """
    rmse = math.sqrt(mean_square)
    psnr = -20 * math.log10(rmse) if rmse > 0 else None
    return {"rmse": rmse, "greatest_error": greatest, "psnr_db": psnr}


def encode_all(
    coding: Coding, batches: Iterable[tuple[Tensor, Tensor | None]], *, decode: bool = False
) -> Encoded:
    """Encode batches of images one after another, so that memory holds the result and one batch.

    Args:
        coding: the code.
        batches: images `[B, C, H, W]` in [0, 1] with labels `[B]` or None; at least one batch.
        decode: reconstruct the images and compare.

    Raises:
        ConfigError: `decode` is asked of a code that has no decoder.
    """
    codes, labels, first = [], [], None
    spikes, squares, greatest = 0.0, 0.0, 0.0
    for x, y in batches:
        code = coding.encode(x)
        first = x[:1] if first is None else first
        spikes += float(coding.count_spikes(code).double().sum())
        if decode:
            error = (coding.decode(code, coding.moments(x)) - x).double()
            squares += float(error.square().sum())
            greatest = max(greatest, float(error.abs().max()))
        binary = coding.analog_steps == 0 and bool((code <= 1).all())
        codes.append(code.to(torch.uint8) if binary else code)
        if y is not None:
            labels.append(y)
    assert first is not None, "there are no images"
    return Encoded(
        code=torch.cat(codes, dim=1),
        labels=torch.cat(labels) if labels else None,
        first=first,
        spikes=spikes,
        squares=squares if decode else None,
        greatest=greatest if decode else None,
    )
