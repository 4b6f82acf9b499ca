"""What a code makes of images: the code itself, its spikes, and what can be decoded from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..coding.base import Coding


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
        """Return shape, spikes per image and value, and the errors where images were decoded.

        `psnr_db` is -20 log10(RMSE), for values in [0, 1]; None where decoding is exact.
        """
        images = self.code.shape[1]
        values = math.prod(self.code.shape[1:])
        found: dict[str, Any] = {
            "shape": list(self.code.shape),
            "images": images,
            "spikes_per_image": self.spikes / images,
            "spikes_per_pixel": self.spikes / values,
        }
        if self.squares is not None:
            rmse = math.sqrt(self.squares / values)
            found["rmse"] = rmse
            found["greatest_error"] = self.greatest
            found["psnr_db"] = -20 * math.log10(rmse) if rmse > 0 else None
        return found


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
