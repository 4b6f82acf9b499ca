"""Accuracy against severity by code: several runs under every corruption.

    python -m studies.robustness RUN... [--limit 2000] [--data-dir DIR] [--seed 0]
        [--picture FILE.png]

evaluates the network of each run on the first images of its test data, clean and under every
corruption that applies to it. It prints a table in Markdown, with a column for each run under the
name of its code; further runs of a code have the names of their folders.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from asnn.datasets.splits import head
from asnn.measure.figures.robustness import draw_robustness, severity_text
from asnn.measure.robustness.corruptions import corruption_registry, robustness
from asnn.records.open_run import open_run

Rows = list[dict[str, Any]]


def main() -> None:
    """Evaluate, print the table, and draw the figure if requested."""
    parser = argparse.ArgumentParser(prog="python -m studies.robustness")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--limit", type=int, default=2000, help="test images")
    parser.add_argument("--data-dir", type=Path, help="where the data set's files are")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers")
    parser.add_argument("--picture", type=Path, help="draw accuracy against severity")
    options = parser.parse_args()
    found: dict[str, Rows] = {}
    for path in options.runs:
        print(path, file=sys.stderr)
        code, rows = measure(path, options.limit, options.data_dir, options.seed)
        found[path.name if code in found else code] = rows
    print("\n".join(table(found)))
    if options.picture:
        draw_robustness(options.picture, found)


def measure(path: Path, limit: int, data_dir: Path | None, seed: int) -> tuple[str, Rows]:
    """Return the code of a run, and the accuracy of its network under every corruption."""
    run = open_run(path, data_dir=data_dir)
    recipe, data, model = run.recipe, run.data, run.model
    corruptions = {name: corruption_registry.get(name) for name in corruption_registry.names()}
    rows = robustness(
        model,
        head(data.test, limit),
        {name: each.severities for name, each in corruptions.items() if each.fits(model)},
        seed=seed,
        classes=len(data.classes),
        full_scale=data.full_scale,
    )
    return recipe.coding.name, rows


def table(found: dict[str, Rows]) -> list[str]:
    """Return the lines of a table in Markdown: accuracy in %, a column for each network."""
    heads = ["corruption", "severity", *found]
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]
    accuracies: dict[tuple[str, float], dict[str, float]] = {}
    for label, rows in found.items():
        for row in rows:
            # The clean network has one row, above all corruptions.
            key = (row["corruption"] if row["severity"] else "", row["severity"])
            accuracies.setdefault(key, {})[label] = row["accuracy"]
    order = ["", *corruption_registry.names()]
    for name, severity in sorted(accuracies, key=lambda key: order.index(key[0])):
        values = accuracies[name, severity]
        cells = [f"{100 * values[label]:.1f}" if label in values else "" for label in found]
        lines.append(f"| {name} | {severity_text(severity)} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
