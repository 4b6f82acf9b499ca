"""Accuracy against the mean step of the decision: networks that answer at a first crossing beside
networks that answer with a mean.

    python -m studies.systems.first_spike RUN...

evaluates each run on its test data without noise and prints a table in Markdown. A network with the
readout `first-crossing` is read at several levels. One with the readout `mean` exits early at
several confidences, as `asnn eval --exit` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

from asnn.measure import evaluate
from asnn.measure.early_exit import ExitRule, tradeoff
from asnn.measure.repeats import draws
from asnn.models.noise import without_noise
from asnn.models.readouts.crossing import FirstCrossingReadout
from asnn.records.open_run import OpenRun, open_run

LEVELS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
CONFIDENCES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
BATCH = 256


class Point(NamedTuple):
    """One point of the curve of a run.

    Attributes:
        run: its folder.
        rule: the level or the confidence.
        step: mean step of the decision, from 1.
        accuracy: of the decision.
        undecided: share of samples that never decide.
    """

    run: str
    rule: str
    step: float
    accuracy: float
    undecided: float


def main() -> None:
    """Evaluate the runs, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m studies.systems.first_spike")
    parser.add_argument("runs", nargs="+", help="folders of runs")
    print("| run | answers at | mean step | accuracy, % | undecided, % |")
    print("|---|---|---:|---:|---:|")
    for folder in parser.parse_args().runs:
        for point in curve(open_run(folder)):
            print(
                f"| {point.run} | {point.rule} | {point.step:.2f} | {100 * point.accuracy:.2f} | "
                f"{100 * point.undecided:.1f} |"
            )


def curve(run: OpenRun) -> Iterator[Point]:
    """Yield the points of a run, the earliest answers first."""
    model, task = run.model, run.task
    if draws(model):
        model = without_noise(model)
    task.use_readout(model.readout)
    options: dict[str, Any] = {"task": task, "full_scale": run.data.full_scale, "batch_size": BATCH}
    name, readout = run.path.name, model.readout
    if isinstance(readout, FirstCrossingReadout):
        for level in LEVELS:
            readout.level = level
            values = evaluate(model, run.data.test, **options).values
            yield Point(
                name, f"level {level:g}", values["mean_step"], values["accuracy"],
                values["undecided"],
            )  # fmt: skip
        return
    outcomes = evaluate(model, run.data.test, **options).class_outcomes
    for confidence in CONFIDENCES:
        rule = ExitRule("confidence", confidence)
        found = tradeoff(outcomes, [rule])[-1]
        undecided = (outcomes.confidence < confidence).all(0).double().mean()
        yield Point(name, str(rule), found["steps"], found["accuracy"], float(undecided))


if __name__ == "__main__":
    main()
