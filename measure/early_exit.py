"""Early exit: predict before the last step; accuracy and energy of each rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..models.readouts.decision import first_crossing
from ..tasks.outcomes import Outcomes

CRITERIA = ("confidence",)


@dataclass(frozen=True)
class ExitRule:
    """A rule for early exit.

    Attributes:
        criterion: the quantity; `confidence` is the probability of the prediction so far.
        threshold: a sample exits at the first step at which the quantity is at least this, or at
            the last step.
    """

    criterion: str
    threshold: float

    def __str__(self) -> str:
        return f"{self.criterion}={self.threshold:g}"


def parse_exit_rules(texts: list[str]) -> list[ExitRule]:
    """Return the rules in texts such as `confidence=0.9` or `confidence=0.8,0.9`.

    Raises:
        ConfigError: a text is not a rule; the message lists every such text.
    """
    found, faults = [], []
    for text in texts:
        criterion, _, values = text.partition("=")
        try:
            thresholds = [float(value) for value in values.split(",")]
        except ValueError:
            thresholds = []
        if criterion not in CRITERIA:
            faults.append(f"{text!r}: the rule is not one of {', '.join(CRITERIA)}")
        elif not thresholds or not all(0 < threshold <= 1 for threshold in thresholds):
            faults.append(f"{text!r}: a probability above 0, up to 1, must follow the =")
        else:
            found += [ExitRule(criterion, threshold) for threshold in thresholds]
    if faults:
        raise ConfigError(
            "--exit cannot be read", why="; ".join(faults), remedy="write --exit confidence=0.9"
        )
    return list(dict.fromkeys(found))


def exit_steps(outcomes: Outcomes, rule: ExitRule) -> Tensor:
    """Return the step at which each sample exits, counted from 0, `[N]`."""
    return first_crossing(outcomes.confidence >= rule.threshold)[0]


def tradeoff(
    outcomes: Outcomes, rules: list[ExitRule], energy: Tensor | None = None
) -> list[dict[str, Any]]:
    """Return accuracy, mean steps and energy of every fixed number of steps and of every rule.

    Args:
        outcomes: of the split.
        rules: for early exit.
        energy: of each sample at each step, `[T, N]`; steps after the exit are not counted.

    Returns:
        For each: `exit` (None for fixed steps), `steps` (mean), `accuracy`, `leaving` (the share of
        samples that exit at each step), and `picojoules` of a sample (None without `energy`).
    """
    total, samples = outcomes.predictions.shape
    fixed = [(None, torch.full((samples,), t)) for t in range(total)]
    ruled = [(rule, exit_steps(outcomes, rule)) for rule in rules]
    spent = None if energy is None else energy.cumsum(0)
    return [
        {"exit": None if rule is None else str(rule), **at_steps(outcomes, steps, spent)}
        for rule, steps in fixed + ruled
    ]


def at_steps(outcomes: Outcomes, steps: Tensor, spent: Tensor | None = None) -> dict[str, Any]:
    """Return a row of `tradeoff` without its `exit`.

    Args:
        outcomes: of the split.
        steps: at which each sample exits, from 0, `[N]`.
        spent: energy of each sample up to each step, `[T, N]`.
    """
    index = steps.view(1, -1)
    total, samples = outcomes.predictions.shape
    return {
        "steps": float((steps + 1).double().mean()),
        "accuracy": float(outcomes.correct.gather(0, index).double().mean()),
        "leaving": (torch.bincount(steps, minlength=total) / samples).tolist(),
        "picojoules": None if spent is None else float(spent.gather(0, index).mean()),
    }
