"""Time of one image: several implementations of a network, timed and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..coding.samples import Batch
from .timing import VISIT_SECONDS, Call, Rounds, interleave, warm_up

# From a batch of one sample, such as an image [1, C, H, W], to logits [1, K], a tensor or an array.
Implementation = Callable[[Any], Any]


def time_each(
    implementations: Mapping[str, Implementation],
    images: Batch,
    *,
    rounds: int,
    visit: float = VISIT_SECONDS,
) -> Rounds:
    """Time implementations, one image at a time, in interleaved rounds (`timing`).

    Args:
        implementations: by name.
        images: N samples, such as images `[N, C, H, W]`; each call goes through all of them.
        rounds: how many rounds to make; disturbed ones are repeated.
        visit: seconds that a visit should last at least.

    Returns:
        Rounds whose seconds are those of one image: the mean over the images.
    """
    singles = images.split(1)
    calls = {name: _over_images(each, singles) for name, each in implementations.items()}
    warm = {name: warm_up(call) for name, call in calls.items()}
    found = interleave(calls, warm, rounds=rounds, visit=visit)
    seconds = {
        name: [each / len(singles) for each in passes] for name, passes in found.seconds.items()
    }
    return replace(found, seconds=seconds)


def differing(
    implementations: Mapping[str, Implementation], images: Batch, *, base: str
) -> dict[str, int]:
    """Return for how many images each implementation predicts another class than `base`.

    A random code draws the same numbers for all implementations.

    Args:
        implementations: by name.
        images: N samples, such as images `[N, C, H, W]`.
        base: the name of the implementation with which the others are compared.
    """
    predictions = {
        name: [_predict(each, image) for image in images.split(1)]
        for name, each in implementations.items()
    }
    return {
        name: sum(a != b for a, b in zip(mine, predictions[base], strict=True))
        for name, mine in predictions.items()
    }


def _over_images(implementation: Implementation, singles: Sequence[Batch]) -> Call:
    def call() -> None:
        for image in singles:
            implementation(image)

    return call


def _predict(implementation: Implementation, image: Batch) -> int:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return int(np.asarray(implementation(image)).argmax())
