"""Mean and deviation over draws, of networks whose code or neurons draw random numbers."""

from __future__ import annotations

import statistics
from typing import Any

from ..core.errors import ConfigError
from ..datasets.base import Split
from ..models.network import SpikingNetwork
from .evaluation import Evaluation, evaluate

MIN_REPEATS = 2
"""A deviation needs two draws."""


def draws(model: SpikingNetwork) -> bool:
    """Return whether the code or a neuron of a network draws random numbers."""
    return model.coding.draws or any(getattr(part, "draws", False) for part in model.modules())


def check_repeats(model: SpikingNetwork, repeats: int) -> None:
    """Refuse too few repeats, and a network that computes the same each time.

    Raises:
        ConfigError: with the reason.
    """
    if repeats < MIN_REPEATS:
        raise ConfigError(
            f"--repeats is {repeats}", why=f"a deviation needs {MIN_REPEATS} draws or more"
        )
    if draws(model):
        return
    seed = getattr(model.coding, "seed", None)
    if seed is not None:
        why = f"coding.seed = {seed} gives equal samples equal spikes, so each draw is the same"
    else:
        why = f"neither the code {model.coding.name!r} nor a neuron draws random numbers"
    raise ConfigError(
        "--repeats has nothing to repeat", why=why, remedy="leave --repeats out: one is exact"
    )


def repeated(
    model: SpikingNetwork, split: Split, first: Evaluation, repeats: int, **options: Any
) -> dict[str, Any]:
    """Return mean and standard deviation of the figures over draws.

    Args:
        model: the network.
        split: the samples.
        first: the evaluation of draw 0.
        repeats: number of draws.
        options: of `evaluate`.

    Returns:
        `draws`, and for each figure that is one number its `mean`, its `deviation` (n - 1 in the
        denominator) and `each`. All are None if a draw has no such figure.

    Raises:
        ConfigError: see `check_repeats`.
    """
    check_repeats(model, repeats)
    found = [first] + [evaluate(model, split, draw=draw, **options) for draw in range(1, repeats)]
    figures: dict[str, Any] = {}
    for name in _numbers(first):
        each = [one.as_dict()[name] for one in found]
        known = None not in each
        figures[name] = {
            "mean": statistics.fmean(each) if known else None,
            "deviation": statistics.stdev(each) if known else None,
            "each": each,
        }
    return {"draws": repeats, **figures}


def _numbers(found: Evaluation) -> list[str]:
    return [
        name
        for name, value in found.as_dict().items()
        if isinstance(value, float) and name != "samples_per_second"
    ]
