"""Step-wise distillation from an ANN of all frames, beside its controls: accuracy of each step.

    python -m studies.systems.hsd OUT [--recipe hsd] [--seeds 0,1,2,3,4]
        [--scale 4] [--set KEY=VALUE]...

trains, for each seed, the ANN, the networks that start from it, and networks from scratch with as
many epochs as both together, and prints one table in Markdown. Finished runs in OUT are not trained
again. All accuracies are of the test data. `--scale` is the start value of s.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor

import asnn
from asnn.learning.methods.distillation import Distillation
from asnn.records.open_run import OpenRun, open_run

from .burst import _setting as setting
from .burst import asnn_recipe

ALONE = {"method.name": "bptt"}
SCRATCH = {**ALONE, "train.init": "none"}


def main() -> None:
    """Train, evaluate, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m studies.systems.hsd")
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--recipe", default="hsd")
    parser.add_argument("--seeds", default="0,1,2,3,4", help="numbers, with commas between them")
    parser.add_argument("--scale", type=float, default=4.0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    changes = dict(setting(text) for text in given.set)
    print("| seed | network | accuracy, % | of each step alone, % | spikes |")
    print("|---|---|---:|---|---:|")
    for seed in map(int, given.seeds.split(",")):
        settings = {**changes, "train.seed": seed}
        for name, run in runs(given.out / str(seed), given.recipe, given.scale, settings):
            found = run.evaluate("test")
            each = ", ".join(f"{100 * v:.0f}" for v in found.values["accuracy_of_each_step"])
            spikes = f"{found.spikes_per_sample:,.0f}"
            print(
                f"| {seed} | {name} | {100 * found.accuracy:.0f} | {each} | {spikes} |", flush=True
            )


def runs(
    out: Path, recipe: str, scale: float, changes: dict[str, Any]
) -> Iterator[tuple[str, OpenRun]]:
    """Yield the runs of one seed, each with its name."""
    tables = asnn_recipe(recipe)
    train, coding = tables["train"], tables["coding"]

    def run(name: str, **more: Any) -> OpenRun:
        path = out / name
        if not (path / "summary.json").is_file():
            asnn.train(recipe, out=path, changes={**changes, **more})
        return open_run(path)

    teacher = run(
        "teacher",
        **SCRATCH,
        **{
            "model.neuron": "qcfs",
            "neuron.levels": train["ann_levels"],
            "neuron.scale": scale,
            "coding.steps": coding["windows"],
            "train.epochs": train["ann_epochs"],
            "train.lr": train["ann_lr"],
        },
    )
    yield "ANN of all frames", teacher
    source = str(out / "teacher")
    start, taught = {"train.init": source}, {"train.init": source, "method.teacher": source}
    yield "converted", run("converted", **start, **ALONE, **{"train.epochs": 0})
    yield "cross-entropy", run("labels", **start, **ALONE)
    yield "+ distance of the mean", run("mean", **taught, **{"method.compare": "mean"})
    yield "+ distance of each step", run("steps", **taught)
    with patch.object(Distillation, "_logits", _rolled(Distillation._logits)):
        yield "control: teacher of the next sample", run("rolled", **taught)
    whole = {"train.epochs": train["ann_epochs"] + train["epochs"], "train.lr": train["ann_lr"]}
    for amplitude in (4.0, 1.0):
        name = f"from scratch, V = {amplitude:g}"
        more = {"neuron.amplitude": amplitude}
        yield name, run(f"scratch-{amplitude:g}", **SCRATCH, **whole, **more)


def _rolled(logits: Any) -> Any:
    """Return the teacher's logits of a batch, each given to the sample after it."""

    def of_another(self: Distillation, training: Any, x: Any) -> Tensor:
        return logits(self, training, x).roll(1, 0)

    return of_another


if __name__ == "__main__":
    main()
