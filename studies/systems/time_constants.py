"""Whether many spikes have a best time constant, and one spike a neuron does not.

    python -m studies.systems.time_constants OUT [--data-dir data]
        [--taus 0.03 0.06 ...] [--seeds 0 1 2]

trains the recipe `multi-spike` into OUT for each τ_s, seed, and at most 30 spikes or one a neuron
(runs that are there are taken as they are), evaluates each on its test data, and prints a table in
Markdown. Thresholds are those of the recipe times τ_s / 0.13, as the response to a spike is, so
that only its shape differs; with those of the recipe nothing fires at a τ_s of 0.03.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from asnn.records.open_run import OpenRun

from .trained import trained

TAUS = ("0.03", "0.06", "0.13", "0.26", "0.5")
MOST = (30, 1)
RECIPE = 0.13  # its τ_s
THRESHOLDS = {"threshold": 0.1, "output_threshold": 0.3}  # of the recipe


class Point(NamedTuple):
    """One trained network.

    Attributes:
        tau_s: time constant of the synapses.
        most: spikes of a neuron at most.
        seed: of the training.
        accuracy: on test data.
        time: mean time of the decisions; None if there are none.
        spikes: of a sample.
        overflows: share of hidden neurons that would have fired more often.
    """

    tau_s: float
    most: int
    seed: int
    accuracy: float
    time: float | None
    spikes: float
    overflows: float


def main() -> None:
    """Train what is missing, evaluate and print."""
    parser = argparse.ArgumentParser(prog="python -m studies.systems.time_constants")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--taus", nargs="+", default=TAUS)
    parser.add_argument("--most", nargs="+", type=int, default=MOST)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], help="key=value of the recipe")
    given = parser.parse_args()
    print("| τ_s | S | seed | accuracy % | time | spikes | would fire more often % |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for tau in given.taus:
        for most in given.most:
            for seed in given.seeds:
                path = given.out / f"{tau}-{most}-{seed}"
                keys = [f"neuron.tau_s={tau}", f"neuron.most={most}", *thresholds(float(tau))]
                keys += given.set
                print(
                    row(point(trained("multi-spike", path, keys, seed, given.data_dir))), flush=True
                )


def thresholds(tau_s: float) -> list[str]:
    """Return the thresholds for a τ_s, as keys of the recipe."""
    return [f"neuron.{key}={theta * tau_s / RECIPE:.6g}" for key, theta in THRESHOLDS.items()]


def point(run: OpenRun) -> Point:
    """Return the figures of a run on its test data."""
    found = run.evaluate("test")
    options = run.recipe.neuron.options()
    return Point(
        options["tau_s"],
        options["most"],
        run.recipe.train.seed,
        found.accuracy,
        found.values["mean_time"],
        found.spikes_per_sample,
        next(iter(found.overflows.values())),
    )


def row(point: Point) -> str:
    """Return a row of the table."""
    time = "–" if point.time is None else f"{point.time:.3f}"
    return (
        f"| {point.tau_s:g} | {point.most} | {point.seed} | {100 * point.accuracy:.2f} | {time} | "
        f"{point.spikes:.0f} | {100 * point.overflows:.2f} |"
    )


if __name__ == "__main__":
    main()
