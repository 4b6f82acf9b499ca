"""Answers before the last step: what they gain and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .outcomes import Outcomes

RULES = ("confidence",)


@dataclass(frozen=True)
class Exit:
    """A rule by which a sample is answered.

    Attributes:
        rule: what it looks at; `confidence`, the probability of the answer so far.
        least: it is answered at the first step where that is at least so much, at the last step
            otherwise.
    """

    rule: str
    least: float

    def __str__(self) -> str:
        return f"{self.rule}={self.least:g}"


def parse_exits(texts: list[str]) -> list[Exit]:
    """Return the rules in texts such as `confidence=0.9` or `confidence=0.8,0.9`.

    Raises:
        ConfigError: a text is no rule; all faults at once.
    """
    found, faults = [], []
    for text in texts:
        rule, _, values = text.partition("=")
        try:
            levels = [float(value) for value in values.split(",")]
        except ValueError:
            levels = []
        if rule not in RULES:
            faults.append(f"{text!r}: the rule is not one of {', '.join(RULES)}")
        elif not levels or not all(0 < level <= 1 for level in levels):
            faults.append(f"{text!r}: a probability above 0, up to 1, must follow the =")
        else:
            found += [Exit(rule, level) for level in levels]
    if faults:
        raise ConfigError(
            "--exit cannot be read", why="; ".join(faults), remedy="write --exit confidence=0.9"
        )
    return list(dict.fromkeys(found))


def exit_steps(outcomes: Outcomes, rule: Exit) -> Tensor:
    """Return at which step each sample is answered, counted from 0, `[N]`."""
    sure = outcomes.confidence >= rule.least
    sure[-1] = True
    return sure.int().argmax(0)


def tradeoff(
    outcomes: Outcomes, rules: list[Exit], energy: Tensor | None = None
) -> list[dict[str, Any]]:
    """Return accuracy, mean steps and energy of every fixed number of steps and of every rule.

    Args:
        outcomes: of the split.
        rules: to leave early.
        energy: of each sample at each step, `[T, N]`; what a sample that has left would have spent
            later is not counted.

    Returns:
        For each: `exit` (None for fixed steps), `steps` (mean), `accuracy`, `leaving` (the share of
        samples that leaves at each step), and `picojoules` of a sample (None without `energy`).
    """
    total, samples = outcomes.answers.shape
    fixed = [(None, torch.full((samples,), t)) for t in range(total)]
    ruled = [(rule, exit_steps(outcomes, rule)) for rule in rules]
    spent = None if energy is None else energy.cumsum(0)
    found = []
    for rule, at in fixed + ruled:
        here = at.view(1, -1)
        found.append(
            {
                "exit": None if rule is None else str(rule),
                "steps": float((at + 1).double().mean()),
                "accuracy": float(outcomes.right.gather(0, here).double().mean()),
                "leaving": (torch.bincount(at, minlength=total) / samples).tolist(),
                "picojoules": None if spent is None else float(spent.gather(0, here).mean()),
            }
        )
    return found
