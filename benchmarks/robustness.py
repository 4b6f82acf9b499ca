"""Accuracy against severity, by code: several runs under every corruption, side by side.

    python -m asnn.benchmarks.robustness RUN... [--limit 2000] [--data-dir DIR] [--seed 0]
        [--picture FILE.png]

evaluates the network of each run on the first images of its test data, clean and under every
corruption that it can suffer. It prints a table in Markdown, a column for each run under the name
of its code; runs of the same code are told apart by their folders.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from ..core.runs import find_run
from ..datasets.base import Split
from ..learning.checking import check_recipe
from ..learning.recipe import read_document
from ..measure.corruptions import corruption_registry, robustness
from ..measure.robustness_picture import draw_robustness, severity_text
from ..models.saved import load_model
from ..sweeps.member import load_data

Rows = list[dict[str, Any]]


def main() -> None:
    """Evaluate, print the table, and draw the picture if one is wanted."""
    parser = argparse.ArgumentParser(prog="python -m asnn.benchmarks.robustness")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--limit", type=int, default=2000, help="test images")
    parser.add_argument("--data-dir", type=Path, help="where the data set's files are")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
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
    """Return the code of a run, and what its network does under every corruption."""
    run = find_run(path)
    document = read_document(run.config)
    if data_dir is not None:
        document["data"]["dir"] = str(data_dir)
    recipe = check_recipe(document, source=str(run.config))
    data, model = load_data(recipe), load_model(run.model)
    corruptions = {name: corruption_registry.get(name) for name in corruption_registry.names()}
    images = [data.test.images[index] for index in range(min(limit, len(data.test)))]
    rows = robustness(
        model,
        Split(torch.stack(images), data.test.labels[:limit]),
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
            # The clean network stands once, above all corruptions.
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
