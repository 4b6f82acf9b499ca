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
RELU = ("model.neuron=relu", "coding.steps=1")
COUNTS = (*RELU, "coding.value=count")
HEAD = ("model.name=hybrid", "model.head=detection", "model.windows=1")
HEAD += ("model.backbone=[44,88]", "model.convs=[179]")
DIGITS = "1 to 5 digits of MNIST, 96×96, 2,000 canvases, 12 epochs"
EVENTS = "1 or 2 digits of N-MNIST, 80×80, 2,000 canvases, 10 epochs"
NMNIST = {
    "data.of.path": "nmnist_small/nmnist_small_train.npz",
    "data.of.test_path": "nmnist_small/nmnist_small_test.npz",
}


def control(run: Path, data_dir: Path) -> dict[str, Any]:
    """Return the AP50 of the boxes of each test sample for the true ones of the next sample."""
    opened = open_run(run)
    data = opened.data
    found = evaluate(opened.model, data.test, full_scale=data.full_scale, task=opened.task).found
    assert found is not None
    next_ones = data.test.targets.roll(-1, 0)
    return {"control": average_precision_of(found, next_ones, len(data.classes), (0.5,))}


def beside(records: Records) -> str:
    """Return mAP, AP75, and the control."""
    average, ap75 = (percent(at(records, f"found.{name}")) for name in ("map", "ap75"))
    return f"mAP {average}; AP75 {ap75}; control: {percent(at(records, 'more.control'))}"


def digits(name: str, title: str, *changes: str) -> Row:
    """Return a row of images."""
    return Row(name, title, DIGITS, "detect-digits", (*CANVAS, *changes), {"data.dir": "."},
               beside=beside, more=control)  # fmt: skip


def events(name: str, title: str, *changes: str) -> Row:
    """Return a row of recordings."""
    return Row(name, title, EVENTS, "detect-events", changes, NMNIST, beside=beside, more=control)


ROWS = (
    digits("adaptive", "over time, adaptive"),
    digits("fixed", "over time, fixed", *FIXED),
    digits("flat", "in space, adaptive", *FLAT),
    digits("flat-fixed", "in space, fixed", *FLAT, *FIXED),
    digits("hybrid", "over time, adaptive, hybrid code", "coding.name=hybrid"),
    digits("ann", "ANN", *FLAT, *RELU),
    events("events-adaptive", "over time, adaptive"),
    events("events-fixed", "over time, fixed", *FIXED),
    events("events-flat", "in space, adaptive", *FLAT),
    events("events-flat-fixed", "in space, fixed", *FLAT, *FIXED),
    events("events-head", "spiking backbone, analog head", *HEAD),
    events("events-ann", "ANN, one frame of counts", *FLAT, *COUNTS),
)


def main() -> None:
    """Train what is not finished, and print the table."""
    study(ROWS, "detection", seeds=5)


if __name__ == "__main__":
    main()
