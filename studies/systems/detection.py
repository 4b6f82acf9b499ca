"""Detection: convolutions over time and in space alone, adaptive and fixed neurons, an ANN.

    python -m studies.systems.detection [--data-dir data] [--out detection] [--seeds 5]
        [--only NAME,...] [--jobs N] [--table]

All networks have about as many parameters. `control` is the average precision of the boxes that are
found in a sample for the true boxes of the next one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asnn.measure.evaluation import evaluate
from asnn.records.open_run import open_run
from asnn.tasks.detection.meter import average_precision_of

from .published import Records, Row, at, percent, study

CANVAS = ("data.of=mnist", "data.size=96", "data.objects=5", "data.samples=2000", "data.scale=1.0")
CANVAS += ("train.epochs=12",)
FLAT = ("model.temporal=none", "model.widths=[28,56,112,108]")
FIXED = ("model.neuron=fixed",)
ANN = ("model.neuron=relu", "coding.steps=1")
DIGITS = "digits of MNIST, 96×96, 2,000 canvases, 12 epochs"
EVENTS = "N-MNIST, 80×80, {} canvases, {} epochs"


def control(run: Path, data_dir: Path) -> dict[str, Any]:
    """Return the AP50 of the boxes of each test sample for the true ones of the next sample."""
    opened = open_run(run, data_dir=str(data_dir))
    data = opened.data
    found = evaluate(opened.model, data.test, full_scale=data.full_scale, task=opened.task).found
    assert found is not None
    next_ones = data.test.targets.roll(-1, 0)
    return {"control": average_precision_of(found, next_ones, len(data.classes), (0.5,))}


def beside(records: Records) -> str:
    """Return mAP, AP75, and the control."""
    average, ap75 = (percent(at(records, f"found.{name}")) for name in ("map", "ap75"))
    return f"mAP {average}; AP75 {ap75}; control: {percent(at(records, 'more.control'))}"


def row(name: str, title: str, *changes: str, recipe: str = "detect-digits") -> Row:
    """Return a row of canvases of digits, or of recordings."""
    digits = recipe == "detect-digits"
    paths = {"data.dir": "."} if digits else {}
    data = DIGITS if digits else EVENTS.format("2,000", 12)
    return Row(name, title, data, recipe, (*CANVAS, *changes) if digits else changes, paths,
               beside=beside, more=control)  # fmt: skip


ROWS = (
    row("adaptive", "over time, adaptive"),
    row("fixed", "over time, fixed", *FIXED),
    row("flat", "in space, adaptive", *FLAT),
    row("flat-fixed", "in space, fixed", *FLAT, *FIXED),
    row("hybrid", "over time, adaptive, hybrid code", "coding.name=hybrid"),
    row("ann", "ANN", *FLAT, *ANN),
)


def main() -> None:
    """Train what is not finished, and print the table."""
    study(ROWS, "detection", seeds=5)


if __name__ == "__main__":
    main()
