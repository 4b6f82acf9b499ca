"""Early exit: predict before the last step; accuracy and energy of each rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..models.readouts import Readout
from ..models.readouts.decision import first_crossing
from ..tasks.outcomes import Outcomes
from .cost.energy import energy_of_samples
from .cost.tables import CostTable
from .evaluation import Evaluation

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


def require_steps(readout: Readout) -> None:
    """Refuse early exit where there are no steps.

    Raises:
        ConfigError: the readout reads exact times.
    """
    if readout.reads_times:
        raise ConfigError(
            "--exit is for networks of time steps, this one has exact times",
            why="it has no steps at which it could exit; the readout earliest answers at the first "
            "output spike by itself",
            remedy="leave --exit out",
        )


def exit_steps(outcomes: Outcomes, rule: ExitRule) -> Tensor:
    """Return the output, of a step or window from 0, at which each sample exits, `[N]`."""
    return first_crossing(outcomes.confidence >= rule.threshold)[0]


def tradeoff(
    outcomes: Outcomes,
    rules: list[ExitRule],
    energy: Tensor | None = None,
    spikes: Tensor | None = None,
) -> list[dict[str, Any]]:
    """Return accuracy, mean steps and energy of every fixed number of steps and of every rule.

    Args:
        outcomes: of the split.
        rules: for early exit.
        energy: of each sample at each step, `[T, N]`; steps after the exit are not counted.
        spikes: of each sample at each step, `[T, N]`.

    Returns:
        For each: `exit` (None for fixed steps), `steps` (mean), `accuracy`, `leaving` (the share of
        samples that exit at each step or window), and `picojoules` and `spikes` of a sample up to
        its exit (None if they are not given).
    """
    total, samples = outcomes.predictions.shape
    fixed = [(None, torch.full((samples,), t)) for t in range(total)]
    ruled = [(rule, exit_steps(outcomes, rule)) for rule in rules]
    until = _cumulated(energy, spikes)
    return [
        {"exit": None if rule is None else str(rule), **_row(outcomes, steps, until)}
        for rule, steps in fixed + ruled
    ]


def at_steps(
    outcomes: Outcomes,
    steps: Tensor,
    energy: Tensor | None = None,
    spikes: Tensor | None = None,
) -> dict[str, Any]:
    """Return a row of `tradeoff` without its `exit`.

    Args:
        outcomes: of the split.
        steps: the output at which each sample exits, from 0, `[N]`.
        energy, spikes: of each sample at each step, `[T, N]`.
    """
    return _row(outcomes, steps, _cumulated(energy, spikes))


def decision(result: Evaluation, table: CostTable) -> dict[str, Any] | None:
    """Return a row of the decisions that the readout makes by itself; None if it does not.

    At exact times it has the mean `time` of the decisions instead of `steps` and `leaving`, None if
    there are none. A sample without a decision is wrong, and costs what it costs to the end.

    Args:
        result: of an evaluation that counted operations.
        table: of costs.
    """
    outcomes = result.outcomes
    if outcomes is None or result.counts is None:
        return None
    if result.counts_to_decision is not None and outcomes.times is not None:
        times = outcomes.times[outcomes.times.isfinite()]
        energy = energy_of_samples(result.counts_to_decision, table)
        return {
            "time": float(times.mean()) if len(times) else None,
            "accuracy": float(outcomes.correct[-1].double().mean()),
            "picojoules": None if energy is None else float(energy.sum(0).mean()),
            "spikes": result.spikes_to_decision,
        }
    if outcomes.steps is None:
        return None
    energy = energy_of_samples(result.counts, table)
    return at_steps(outcomes, outcomes.steps, energy, result.sample_spikes)


def decided_when(decision: dict[str, Any]) -> str:
    """Return when the decisions of a row are made, in words."""
    if "steps" in decision:
        return f"after {decision['steps']:.2f} steps"
    time = decision["time"]
    return "never" if time is None else f"at the time {time:.4g}"


def _cumulated(energy: Tensor | None, spikes: Tensor | None) -> dict[str, Tensor | None]:
    given = {"picojoules": energy, "spikes": spikes}
    return {name: None if each is None else each.cumsum(0) for name, each in given.items()}


def _row(outcomes: Outcomes, steps: Tensor, until: dict[str, Tensor | None]) -> dict[str, Any]:
    index = steps.view(1, -1)
    last = outcomes.network_steps(index)
    total, samples = outcomes.predictions.shape
    return {
        "steps": float((last + 1).double().mean()),
        "accuracy": float(outcomes.correct.gather(0, index).double().mean()),
        "leaving": (torch.bincount(steps, minlength=total) / samples).tolist(),
        **{
            name: None if each is None else float(each.gather(0, last).mean())
            for name, each in until.items()
        },
    }
