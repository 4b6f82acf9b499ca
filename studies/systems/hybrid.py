"""A hybrid network between its two ends, at equal layers: recordings of N-MNIST, several cuts.

    python -m studies.systems.hybrid OUT [--data-dir data] [--cuts 3] [--only hybrid,...]
        [--set KEY=VALUE]... [--table]

trains the recipe `hybrid-nmnist` and its rows on each cut of the 1,100 recordings, one after
another on one thread, and prints a table in Markdown. The first cut is that of the files, the
others are drawn, with as many test recordings. Each finished network has a file in OUT; the command
goes on where it was stopped. `--table` prints what is finished, and trains nothing.

The last column is the control: the same network, and recordings whose twelve windows of time are in
another order, each with its events. An ANN on one frame of all events cannot see that: its accuracy
must stay to the last digit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from asnn.core.units import joules, si
from asnn.datasets.base import Split
from asnn.datasets.events import Events
from asnn.measure import evaluate as evaluated
from asnn.records.open_run import OpenRun, open_run

from .one import evaluate, train
from .records import Work, chosen, finish

RECIPE = "hybrid-nmnist"
WINDOWS = 12  # of time, that the control shuffles: the steps of the recipe
RELU = {"model.neuron": "relu", "coding.value": "log-count"}
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "hybrid": ("hybrid, 3 windows", {}),
    "hybrid-1": ("hybrid, 1 window", {"model.windows": 1}),
    "ann": ("ANN, 3 frames of log counts", {**RELU, "coding.steps": 3}),
    "ann-1": ("ANN, 1 frame of log counts", {**RELU, "coding.steps": 1, "model.windows": 1}),
    "snn": ("spiking head, 12 steps", {"model.windows": WINDOWS, "model.units": "neurons"}),
}
ARRAYS = ("t", "x", "y", "p")
Figures = Mapping[str, Any]


def main() -> None:
    """Train what is not finished, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m studies.systems.hybrid")
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="with nmnist_small")
    parser.add_argument("--cuts", type=int, default=3)
    parser.add_argument("--only", default="", help="rows, by their names")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--table", action="store_true", help="print what is finished")
    given = parser.parse_args()
    rows = chosen(parser, given.only, ROWS)
    source = given.data_dir / "nmnist_small"
    works = [
        Work(
            f"{name} cut {cut}",
            given.out / f"{name}-{cut}.json",
            partial(measure, name, cut, given.set, source),
        )
        for cut in range(given.cuts)
        for name in ROWS
        if name in rows
    ]
    failed = [] if given.table else finish(works, 1)
    found: dict[str, list[Figures]] = {}
    for name in ROWS:
        records = (given.out / f"{name}-{cut}.json" for cut in range(given.cuts))
        finished = [json.loads(path.read_text()) for path in records if path.exists()]
        if name in rows and finished:
            found[ROWS[name][0]] = finished
    print(table(found))
    if failed:
        print("\n".join(failed), file=sys.stderr)
        sys.exit(1)


def measure(name: str, cut: int, changes: Sequence[str], source: Path, run: Path) -> dict[str, Any]:
    """Train a row on a cut of the recordings into the folder `run`, and return its figures."""
    files = cut_of(source, run.parent, cut)
    own = {**ROWS[name][1], "data.path": files / "train.npz", "data.test_path": files / "test.npz"}
    settings = [*(f"{key}={value}" for key, value in own.items()), *changes]
    usage = train(RECIPE, settings, cut, run)
    found, opened = evaluate(run), open_run(run)
    energy = found["energy"]
    crossings = energy["crossings"]
    return {
        **usage,
        "samples": found["samples"],
        "parameters": sum(each.numel() for each in opened.load_model().parameters()),
        "accuracy": found["accuracy"],
        "accuracies": found["accuracy_per_step"],
        "ends": found.get("output_steps"),
        "accumulates": energy["accumulates"],
        "multiply_accumulates": energy["multiply_accumulates"],
        "picojoules": energy["picojoules_per_sample"],
        "bits": crossings[0]["bits"] if crossings else None,
        "crossing_spikes": crossings[0]["spikes"] if crossings else None,
        "shuffled": accuracy_shuffled(opened, seed=cut),
    }


def accuracy_shuffled(run: OpenRun, seed: int) -> float:
    """Return the accuracy on test recordings whose windows of time are in another order."""
    test, model = run.data.test, run.load_model()
    assert isinstance(test.inputs, Events)
    other = Split(shuffled(test.inputs, WINDOWS, seed), test.targets)
    task = run.task
    task.use_readout(model.readout)
    return evaluated(model, other, task=task, full_scale=run.data.full_scale).accuracy


def shuffled(events: Events, windows: int, seed: int) -> Events:
    """Return recordings whose windows of equal time are in an order drawn for each.

    Raises:
        ValueError: the duration is not a multiple of the windows.
    """
    width, rest = divmod(events.duration, windows)
    if rest:
        raise ValueError(f"{windows} windows do not divide {events.duration} µs")
    random = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
    for start, count in zip(events.start, events.count, strict=True):
        part = {name: getattr(events, name)[start : start + count] for name in ARRAYS}
        t = part["t"].astype(np.int64)
        order = random.permutation(windows)
        window = np.minimum(t // width, windows - 1)
        moved = np.where(t < events.duration, order[window] * width + t % width, t)
        by_time = moved.argsort(kind="stable")
        parts["t"].append(moved[by_time])
        for name in ARRAYS[1:]:
            parts[name].append(part[name][by_time])
    flat = {name: np.concatenate(values) for name, values in parts.items()}
    return replace(events, **flat, start=events.count.cumsum() - events.count)


def cut_of(source: Path, out: Path, cut: int) -> Path:
    """Return the folder with `train.npz` and `test.npz` of a cut: of the first the files as they
    are, of another all recordings in an order that its number draws."""
    folder = out.resolve() / f"cut-{cut}"
    if (folder / "test.npz").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    parts = [dict(np.load(source / f"nmnist_small_{name}.npz")) for name in ("train", "test")]
    number = len(parts[0]["labels"]), len(parts[1]["labels"])
    order = np.arange(sum(number))
    if cut:
        order = np.random.default_rng(cut).permutation(order)
    recordings = [each for part in parts for each in _recordings(part)]
    for name, chosen_ in (("train", order[: number[0]]), ("test", order[number[0] :])):
        of_part = [recordings[i] for i in chosen_]
        t, x, y, p = (np.concatenate([each[key] for each in of_part]) for key in ARRAYS)
        ends = np.cumsum([0, *(len(each["t"]) for each in of_part)])
        labels = np.array([each["label"] for each in of_part])
        np.savez(folder / f"{name}.npz", t=t, x=x, y=y, p=p, offsets=ends, labels=labels)
    return folder


def _recordings(part: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    ends = part["offsets"]
    return [
        {"label": label, **{key: part[key][begin:end] for key in ARRAYS}}
        for label, begin, end in zip(part["labels"], ends[:-1], ends[1:], strict=True)
    ]


def table(rows: Mapping[str, Sequence[Figures]]) -> str:
    """Return the means over cuts as a table in Markdown, with the accuracies of each cut."""
    lines = [
        "| network | parameters | accuracy by cut, % | mean | after each output, % | AC | MAC "
        "| bits across | energy | shuffled, % |",
        f"|---{'|---:' * 9}|",
    ]
    for name, cuts in rows.items():

        def mean(key: str, cuts: Sequence[Figures] = cuts) -> float | None:
            values = [each[key] for each in cuts]
            return None if None in values else fmean(values)

        by_output = [
            fmean(values) for values in zip(*(each["accuracies"] for each in cuts), strict=True)
        ]
        some = by_output if len(by_output) <= 4 else [by_output[i] for i in (0, 3, 7, -1)]
        bits, spent = mean("bits"), mean("picojoules")
        cells = (
            name,
            ", ".join(f"{n:,}" for n in sorted({each["parameters"] for each in cuts})),
            ", ".join(f"{100 * each['accuracy']:.0f}" for each in cuts),
            f"{100 * (mean('accuracy') or 0):.1f}",
            ", ".join(f"{100 * value:.1f}" for value in some),
            si(mean("accumulates") or 0),
            si(mean("multiply_accumulates") or 0),
            "–" if bits is None else si(bits, "bit"),
            "–" if spent is None else joules(spent),
            f"{100 * (mean('shuffled') or 0):.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
