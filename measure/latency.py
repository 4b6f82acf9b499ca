"""What one image costs in time: ways to compute the same answer, timed against each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .timing import VISIT_SECONDS, Call, Rounds, interleave, warm_up

Way = Callable[[Tensor], Any]  # an image [1, C, H, W] to logits [1, K], a tensor or an array


def time_each(
    ways: Mapping[str, Way],
    images: Tensor,
    *,
    rounds: int,
    visit: float = VISIT_SECONDS,
) -> Rounds:
    """Time ways to answer, one image at a time, in interleaved rounds (`timing`).

    Args:
        ways: what to time, by name.
        images: `[N, C, H, W]`; each visit of a way goes through all of them.
        rounds: how many rounds to make; disturbed ones are made again.
        visit: seconds that a visit should last at least.

    Returns:
        Rounds whose seconds are those of one image: the mean over a visit.
    """
    singles = images.split(1)
    calls = {name: _through(way, singles) for name, way in ways.items()}
    warm = {name: warm_up(call) for name, call in calls.items()}
    found = interleave(calls, warm, rounds=rounds, visit=visit)
    seconds = {
        name: [each / len(singles) for each in passes] for name, passes in found.seconds.items()
    }
    return replace(found, seconds=seconds)


def differing(ways: Mapping[str, Way], images: Tensor, *, base: str) -> dict[str, int]:
    """Return on how many images each way answers another class than the way `base`.

    A code that draws random numbers draws the same ones for all ways.

    Args:
        ways: what is compared, by name.
        images: `[N, C, H, W]`.
        base: the name of the way that the others are held to.
    """
    answers = {
        name: [_answer(way, image) for image in images.split(1)] for name, way in ways.items()
    }
    return {
        name: sum(a != b for a, b in zip(mine, answers[base], strict=True))
        for name, mine in answers.items()
    }


def _through(way: Way, singles: tuple[Tensor, ...]) -> Call:
    def call() -> None:
        for image in singles:
            way(image)

    return call


def _answer(way: Way, image: Tensor) -> int:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return int(np.asarray(way(image)).argmax())
