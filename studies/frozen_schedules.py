"""Whether learned schedules matter: the networks of a sweep with each schedule at its mean.

    python -m studies.frozen_schedules SWEEP [--picture FILE.png]

evaluates every finished member of a sweep with adaptive neurons three times: as trained; with
frozen schedules (leak, gain and scale replaced by their means over the steps); and with frozen
schedules and the statistics of batch norms estimated again on the training data, because they
depend on the schedules. It prints a table in Markdown, and draws the learned leak and gain, means
over the seeds, by layer and step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from asnn.core.files import atomic_file
from asnn.datasets import Batches, DataSet
from asnn.learning.recipe.schema import Recipe
from asnn.measure import evaluate, frozen_schedules, recalibrate, schedules
from asnn.measure.figures.style import COLOURS
from asnn.models.network import SpikingNetwork
from asnn.records.open_run import open_run
from asnn.sweeps.comparison import paired
from asnn.sweeps.folder import SweepFolder, find_sweep

BATCH = 256
FORMS = ("learned", "frozen", "frozen, new statistics")


@dataclass
class Point:
    """Results of the members of one point of the grid, a value for each seed.

    Attributes:
        accuracy: by form.
        learned: the result of `measure.schedules` for each seed.
    """

    accuracy: dict[str, list[float]] = field(default_factory=lambda: {form: [] for form in FORMS})
    learned: list[dict[str, dict[str, list[float]]]] = field(default_factory=list)


def main() -> None:
    """Evaluate, print the table, and draw the figure if requested."""
    parser = argparse.ArgumentParser(prog="python -m studies.frozen_schedules")
    parser.add_argument("sweep", type=Path, help="folder of a sweep")
    parser.add_argument("--picture", type=Path, help="draw the learned schedules")
    options = parser.parse_args()
    points = measure(find_sweep(options.sweep))
    if not points:
        sys.exit("no finished member has learned schedules: sweep model.neuron=adaptive")
    print("\n".join(table(points)))
    if options.picture:
        draw(options.picture, points)


def measure(sweep: SweepFolder) -> dict[str, Point]:
    """Return the results of finished members with adaptive neurons, by point of the grid."""
    points: dict[str, Point] = {}
    for folder in sorted(sweep.path.glob("*/evaluation.json")):
        run = open_run(sweep.run(folder.parent.name))
        recipe = run.recipe
        if recipe.model.neuron != "adaptive":
            continue
        print(folder.parent.name, file=sys.stderr)
        name = f"{recipe.model.name}, {recipe.coding.name}, T = {recipe.coding.steps}"
        point = points.setdefault(name, Point())
        model = run.model
        point.learned.append(schedules(model))
        for form, value in accuracies(model, run.data, recipe).items():
            point.accuracy[form].append(value)
    return points


def accuracies(model: SpikingNetwork, data: DataSet, recipe: Recipe) -> dict[str, float]:
    """Return the accuracy on test data, by form."""
    frozen = frozen_schedules(model)
    recalibrated = frozen_schedules(model)
    recalibrate(
        recalibrated,
        Batches(
            data.train,
            batch_size=recipe.train.batch_size,
            full_scale=data.full_scale,
            shuffle=True,
            generator=torch.Generator().manual_seed(0),
        ),
    )
    return {
        form: evaluate(
            network,
            data.test,
            classes=len(data.classes),
            full_scale=data.full_scale,
            batch_size=BATCH,
        ).accuracy
        for form, network in zip(FORMS, (model, frozen, recalibrated), strict=True)
    }


def table(points: dict[str, Point]) -> list[str]:
    """Return the lines of a table in Markdown: accuracies, and the cost of freezing."""
    heads = ["network", "n", *(f"{form}, %" for form in FORMS), "cost of freezing, points"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for name, point in points.items():
        cells = [_percent(point.accuracy[form]) for form in FORMS]
        pairs = zip(point.accuracy[FORMS[0]], point.accuracy[FORMS[2]], strict=True)
        cost = paired([learned - frozen for learned, frozen in pairs])
        interval = ""
        if cost["low"] is not None:
            interval = f" ({100 * cost['low']:+.2f} to {100 * cost['high']:+.2f})"
        cells.append(f"{100 * cost['difference']:+.2f}{interval}")
        lines.append(f"| {name} | {len(point.learned)} | {' | '.join(cells)} |")
    return lines


def _percent(shares: list[float]) -> str:
    mean = f"{100 * statistics.fmean(shares):.2f}"
    return f"{mean} ± {100 * statistics.stdev(shares):.2f}" if len(shares) > 1 else mean


def draw(path: Path, points: dict[str, Point]) -> None:
    """Draw leak and gain of each layer by step, means over seeds: a row for each network.

    Raises:
        AsnnError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.3 * len(points)), layout="constrained")
    grid = figure.subplots(len(points), 2, squeeze=False)
    for row, (name, point) in zip(grid, points.items(), strict=True):
        layers = [layer for layer, values in point.learned[0].items() if "gain" in values]
        for axes, kind in zip(row, ("leak", "gain"), strict=True):
            for i, layer in enumerate(layers):
                mean = _mean(learned[layer][kind] for learned in point.learned)
                steps = range(1, len(mean) + 1)
                # The leak of step 1 is not learned, because the membrane is 0 then.
                first = 1 if kind == "leak" else 0
                axes.plot(
                    steps[first:], mean[first:], marker="o", label=layer,
                    color=COLOURS[i % len(COLOURS)],
                )  # fmt: skip
            axes.axhline(0.5, color="#999999", linewidth=0.8, linestyle=":")
            axes.set_title(f"{kind}: {name}", fontsize=9)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
        if len(layers) <= len(COLOURS):
            row[1].legend(frameon=False, fontsize=7)
    for axes in grid[-1]:
        axes.set_xlabel("step")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _mean(values: Iterable[list[float]]) -> list[float]:
    return [statistics.fmean(each) for each in zip(*values, strict=True)]


if __name__ == "__main__":
    main()
