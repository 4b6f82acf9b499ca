"""Optical flow learned from events: the four neurons beside flows that need no learning.

    python -m studies.systems.flow OUT --data-dir DATA [--seeds 0] [--only lif,relu]
        [--set KEY=VALUE]... [--recording FILE]

trains the recipe `flow-nmnist` with each neuron and seed, and prints one table in Markdown, all of
the test windows. Finished runs in OUT are not trained again. With a recording, such as
`MovingDarkBox.aedat`, it also trains on windows of that, whose flow is not known.

The flows without learning are 0; the mean flow of the training windows; for each window the motion
that makes it sharpest (the search that pseudo truth is made with); and the pseudo truth, as it is
and with the times of the events shuffled, which must make it worse than 0.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import tomli_w
import torch
from torch import Tensor

from asnn.cli.recipe_files import FOLDER
from asnn.coding.samples import EventBatch
from asnn.datasets.base import DataSet
from asnn.datasets.batches import Batches
from asnn.datasets.motion import global_motion
from asnn.datasets.sources.flow.nmnist import LENGTH, WINDOWS
from asnn.datasets.transforms.mixing import Targets
from asnn.measure import evaluate
from asnn.records.open_run import OpenRun
from asnn.tasks.flow import Flow

from .trained import trained

NEURONS = ("lif", "alif", "plif", "xlif", "relu")
FILES = {
    "path": "nmnist_small/nmnist_small_train.npz",
    "test_path": "nmnist_small/nmnist_small_test.npz",
}
"""Files of N-MNIST in the folder of data sets."""
SEARCHED = 300
"""Training windows of which the motion is searched."""
BATCH = 64


class Row(NamedTuple):
    """One row of the table; None where it is not known."""

    name: str
    aee: float | None
    outliers: float | None
    rsat: float
    fwl: float
    rate: float | None = None

    def __str__(self) -> str:
        shares = ["–" if v is None else f"{100 * v:.1f}" for v in (self.outliers, self.rate)]
        aee = "–" if self.aee is None else f"{self.aee:.2f}"
        cells = (self.name, aee, shares[0], f"{self.rsat:.3f}", f"{self.fwl:.2f}", shares[1])
        return f"| {' | '.join(cells)} |"


def main() -> None:
    """Train, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m studies.systems.flow")
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--data-dir", default="data", help="folder of data sets")
    parser.add_argument("--seeds", default="0", help="numbers, with commas between them")
    parser.add_argument("--only", default=",".join(NEURONS), help="neurons; '' for none")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--recording", help="a file of events, or a folder of such files")
    given = parser.parse_args()
    print("| flow | AEE, px | above 3 px, % | RSAT | FWL | spike rate, % |")
    print("|---|---:|---:|---:|---:|---:|")
    seeds = [int(seed) for seed in given.seeds.split(",")]
    neurons = [name for name in given.only.split(",") if name]
    places = [f"data.{key}={Path(given.data_dir) / file}" for key, file in FILES.items()]
    data = None
    for neuron in neurons:
        for seed in seeds:
            keys = [f"model.neuron={neuron}", *places, *given.set]
            run = trained("flow-nmnist", given.out / f"{neuron}-{seed}", keys, seed)
            if data is None:
                data = run.data
                for row in without_learning(data, run.task):  # type: ignore[arg-type]
                    print(row, flush=True)
            print(of_run(f"{neuron}, seed {seed}", run), flush=True)
    if given.recording is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        recipe = given.out / "recording.toml"
        recipe.write_text(of_recording(given.recording))
        path = given.out / "recording"
        run = trained(str(recipe), path, given.set, seeds[0])
        print(of_run("recording, lif", run), flush=True)
        for row in without_learning(run.data, run.task, "recording, "):  # type: ignore[arg-type]
            print(row, flush=True)
    if data is not None:
        print(f"\n{motions_text(data)}")


def of_recording(path: str) -> str:
    """Return the recipe `flow-nmnist` for windows of a recording, in smaller batches: there are few
    of them."""
    document = tomllib.loads((FOLDER / "flow-nmnist.toml").read_text())
    changes = {
        "name": "flow-recording",
        "data": {"name": "flow-events", "path": path, "count": 3000, "downsample": 2},
        "train": {**document["train"], "batch_size": 4},
    }
    return tomli_w.dumps({**document, **changes})


def of_run(name: str, run: OpenRun) -> Row:
    """Return the figures of a trained network on the test windows."""
    model, task = run.load_model(), run.task
    task.use_readout(model.readout)
    found = evaluate(model, run.data.test, task=task, full_scale=1.0, batch_size=BATCH)
    v = found.values
    rate = found.spike_rate if found.spike_rates else None
    return Row(name, v.get("aee"), v.get("outliers"), v["rsat"], v["fwl"], rate)


def without_learning(data: DataSet, task: Flow, prefix: str = "") -> Iterator[Row]:
    """Yield the rows of flows that no network computes, on the test windows."""
    size = data.spec.shape[1:]
    mean = data.train.targets.mean(0, keepdim=True)
    known = not bool(mean.isnan().any())

    def row(name: str, events: EventBatch, targets: Tensor, flow: Tensor) -> Row:
        flow = flow.expand(len(events), 2, *size)
        found = task.measured(flow, Targets(targets, targets, 1.0, None, events))
        aee, outliers, rsat, fwl = (
            float(found[key][found[key].isfinite()].mean()) if known or key[0] in "rf" else None
            for key in ("aee", "outliers", "rsat", "fwl")
        )
        return Row(prefix + name, aee, outliers, rsat, fwl)  # type: ignore[arg-type]

    events, targets = whole(data)
    yield row("none", events, targets, torch.zeros(1, 2, 1, 1))
    if known:
        yield row("mean of the training windows", events, targets, mean)
    found = torch.cat([global_motion(part, task.until(part)) for part in events.split(BATCH)])
    yield row("search for each window", events, targets, found[:, :, None, None])
    if known:
        yield row("pseudo truth", events, targets, targets)
        shuffled = with_shuffled_times(events)
        yield row("pseudo truth, times shuffled", shuffled, targets, targets)


def whole(data: DataSet) -> tuple[EventBatch, Tensor]:
    """Return all test windows as one batch, and their flow."""
    (found,) = Batches(data.test, batch_size=len(data.test), full_scale=1.0)
    assert isinstance(found[0], EventBatch)
    return found[0], found[1].first


def with_shuffled_times(events: EventBatch) -> EventBatch:
    """Return recordings whose events have the times of others of the same recording."""
    draw = torch.rand(len(events.t), generator=torch.manual_seed(0), dtype=torch.float64)
    order = (events.sample + draw).argsort()
    return replace(events, t=events.t[order])


def motions_text(data: DataSet) -> str:
    """Return the motion of the training windows by the search, a median for each movement."""
    count = len(WINDOWS)
    order = torch.arange(len(data.train)).view(-1, count)[: SEARCHED // count]
    lines = []
    for number, window in enumerate(WINDOWS):
        inputs = data.train.inputs
        events = inputs.batch(order[:, number])  # type: ignore[union-attr]
        found = global_motion(events, LENGTH) * (100_000 / LENGTH)
        low, middle, high = found.quantile(torch.tensor([0.25, 0.5, 0.75]), 0)
        lines.append(
            f"Movement {number + 1} ({window.begin // 1000} to {window.end // 1000} ms): "
            f"({middle[0]:.1f}, {middle[1]:.1f}) px in 100 ms; quartiles ({low[0]:.1f}, "
            f"{low[1]:.1f}) and ({high[0]:.1f}, {high[1]:.1f})."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
