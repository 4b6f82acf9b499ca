"""Accuracy, operations and energy of the networks of a sweep, and of their ANN counterparts.

    python -m studies.energy SWEEP [--twins SWEEP] [--tables NAME|FILE ...] [--exit P]

evaluates every finished member of a sweep on its test images and counts its operations. It prints a
table in Markdown, means over the seeds: accumulates and multiply-accumulates of an image and their
energy by each table of costs, also as a share of that of the dense ANN counterpart; accuracy, steps
and energy (by the first table) with early exit at confidence P; and, last, the ANN counterpart:
dense, and without operations on zeros as trained in another sweep (`--twins`, a sweep with
`model.neuron=relu`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from asnn.datasets import DataSet
from asnn.measure import evaluate
from asnn.measure.cost.ann import dense_ann_counts
from asnn.measure.cost.energy import energy_of_samples, energy_report, total_cost
from asnn.measure.cost.tables import DEFAULT, CostTable, read_cost_table
from asnn.measure.early_exit import ExitRule, tradeoff
from asnn.models.network import SpikingNetwork
from asnn.records.open_run import open_run
from asnn.sweeps.folder import RECORD, SweepFolder, find_sweep

HEADS = ("code", "neuron", "T", "n", "accuracy, %", "AC, k", "MAC, k")
Tables = list[CostTable]


class Cost(NamedTuple):
    """Cost per image of one network, means over all test images; energy in pJ."""

    accuracy: float
    ac: float
    mac: float
    energies: list[float]
    early_accuracy: float
    early_steps: float
    early_energy: float


Points = dict[tuple[str, str, int], list[Cost]]


def main() -> None:
    """Evaluate and print the table."""
    parser = argparse.ArgumentParser(prog="python -m studies.energy")
    parser.add_argument("sweep", type=Path, help="folder of a sweep")
    parser.add_argument("--twins", type=Path, help="folder of a sweep of ANN counterparts")
    parser.add_argument("--tables", nargs="+", default=[DEFAULT], help="tables of costs")
    parser.add_argument("--exit", type=float, default=0.9, help="confidence for early exit")
    options = parser.parse_args()
    costs = [read_cost_table(name) for name in options.tables]
    rule = ExitRule("confidence", options.exit)
    points, model = measure(find_sweep(options.sweep), costs, rule)
    if model is None:
        sys.exit("no member of the sweep is finished")
    anns: list[Cost] = []
    if options.twins:
        ann_points, _ = measure(find_sweep(options.twins), costs, rule)
        anns = [cost for of_point in ann_points.values() for cost in of_point]
    print("\n".join(table(points, anns, model, costs, rule)))


def measure(
    sweep: SweepFolder, costs: Tables, rule: ExitRule
) -> tuple[Points, SpikingNetwork | None]:
    """Return the costs of the finished members by code, neuron and steps, and one network."""
    points: Points = {}
    model = None
    for record in sorted(sweep.path.glob(f"*/{RECORD}")):
        print(record.parent.name, file=sys.stderr)
        run = open_run(record.parent)
        recipe, data, model = run.recipe, run.data, run.model
        found = _cost(model, data, costs, rule)
        key = (recipe.coding.name, recipe.model.neuron, recipe.coding.steps)
        points.setdefault(key, []).append(found)
    return points, model


def _cost(model: SpikingNetwork, data: DataSet, costs: Tables, rule: ExitRule) -> Cost:
    found = evaluate(
        model, data.test, classes=len(data.classes), full_scale=data.full_scale, count=True
    )
    assert found.counts is not None
    reports = [energy_report(found.counts, each) for each in costs]
    early = tradeoff(found.class_outcomes, [rule], energy_of_samples(found.counts, costs[0]))[-1]
    return Cost(
        found.accuracy,
        reports[0]["accumulates"],
        reports[0]["multiply_accumulates"],
        [report["picojoules_per_sample"] for report in reports],
        early["accuracy"],
        early["steps"],
        early["picojoules"],
    )


def table(
    points: Points, anns: list[Cost], model: SpikingNetwork, costs: Tables, rule: ExitRule
) -> list[str]:
    """Return the lines of a table in Markdown."""
    ann = dense_ann_counts(model)
    counted = [total_cost(ann, each, dense=True) for each in costs]
    dense = [each.total(cost) for each, cost in zip(counted, costs, strict=True)]
    heads = [*HEADS, *(head for each in costs for head in (f"{each.name}, nJ", "of dense ANN"))]
    early = [f"accuracy at {rule}, %", "steps", f"{costs[0].name}, nJ"]
    lines = [f"| {' | '.join([*heads, *early])} |"]
    lines += ["| --- | --- |" + " ---: |" * (len(heads) + len(early) - 2)]
    for (code, neuron, steps), each in sorted(points.items(), key=lambda item: item[0]):
        lines.append(_line([code, neuron, str(steps)], each, dense))
    ac, mac = float(counted[0].ac.sum()), float(counted[0].mac.sum())
    bare = ["analog", "ReLU, dense", "1", "", "", _k(ac), _k(mac), *_energies(dense, dense)]
    lines.append(f"| {' | '.join([*bare, '', '', ''])} |")
    if anns:
        lines.append(_line(["analog", "ReLU, without zeros", "1"], anns, dense, early=False))
    return lines


def _line(names: list[str], each: list[Cost], dense: list[float], *, early: bool = True) -> str:
    cells: list[Any] = [
        *names,
        len(each),
        _percent([s.accuracy for s in each]),
        _k(fmean(s.ac for s in each)),
        _k(fmean(s.mac for s in each)),
        *_energies([fmean(es) for es in zip(*(s.energies for s in each), strict=True)], dense),
    ]
    cells += [
        _percent([s.early_accuracy for s in each]),
        f"{fmean(s.early_steps for s in each):.2f}",
        f"{fmean(s.early_energy for s in each) / 1e3:,.0f}",
    ] if early else ["", "", ""]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def _energies(energies: list[float], dense: list[float]) -> list[str]:
    pairs = zip(energies, dense, strict=True)
    return [text for e, of in pairs for text in (_k(e), f"{e / of:.2f}")]


def _percent(shares: list[float]) -> str:
    mean = f"{100 * fmean(shares):.2f}"
    return f"{mean} ± {100 * stdev(shares):.2f}" if len(shares) > 1 else mean


def _k(value: float) -> str:
    return f"{value / 1e3:,.0f}"


if __name__ == "__main__":
    main()
