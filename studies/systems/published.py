"""Published systems on data of their own, by their own recipes, with their controls.

    python -m studies.systems.published [--data-dir data] [--out published] [--seeds 3]
        [--only NAME,...] [--jobs N] [--table]

trains every row of `ROWS` with each seed and evaluates it on test data, each on one thread, and
prints a table in Markdown. Each finished network has a file in `--out`; the command goes on where
it was stopped. `--table` prints what is finished, and trains nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from .one import evaluate, train
from .records import Work, chosen, finish

HEADS = ("system", "data", "result", "beside it", "spikes", "energy, µJ", "CPU s", "peak MiB")
Records = Sequence[Mapping[str, Any]]

QTDB = {"data.path": "qtdb_ecg"}
IMAGES = {"data.dir": "."}
COUNTS = ("readout.name=spike-count", "train.loss=count", "neuron.threshold=0.2")
COUNTS += ("neuron.output_threshold=0.325", "neuron.output_window=0.2")
PLAIN = ("model.group=none", "model.widths=[24,48]", "model.hidden=40")
HIDDEN = ("model.features=[64]", "neuron.noise=logistic", "neuron.leak=0.0", "neuron.gain=1.0")
HIDDEN += ("train.lr=0.5", "train.batch_size=128")
LSQ = ("model.name=mlp", "model.features=[128,128]", "model.neuron=lsq-leaky", "neuron.tau=20.0")
LSQ += ("neuron.granularity=channel", "train.epochs=10")


@dataclass(frozen=True)
class Row:
    """One system on its data.

    Attributes:
        name: in the options and the names of files.
        title: in the table.
        data: in the table: data, size and epochs.
        recipe: a built-in one.
        changes: of the recipe, `KEY=VALUE`.
        paths: keys of `[data]` whose value is in the folder of the data.
        options: of `asnn eval`, for what stands beside the result.
        beside: that figure, as text of the records of all seeds.
        more: measures further figures of the run in a folder, `more` of its record.
    """

    name: str
    title: str
    data: str
    recipe: str
    changes: tuple[str, ...] = ()
    paths: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    beside: Callable[[Records], str] = lambda records: ""
    more: Callable[[Path, Path], dict[str, Any]] | None = None


def corrupted(name: str) -> Callable[[Records], str]:
    """Return the text of the accuracy under the corruption of the evaluation."""
    return lambda records: f"{name}: {percent(at(records, 'found.corruption.1.accuracy'))}"


def turned(records: Records) -> str:
    """Return the mean accuracy of images turned by 90, 180 and 270°, and the equal answers."""
    turns = [at(records, f"found.equivariance.{i}.accuracy") for i in range(3)]
    equal = [at(records, f"found.equivariance.{i}.equal_answers") for i in range(3)]
    means = ([fmean(each) for each in zip(*values, strict=True)] for values in (turns, equal))
    accuracy, answers = map(percent, means)
    return f"turned: {accuracy}; equal answers: {answers}"


def of_ann(records: Records) -> str:
    """Return the accuracy of the ANN that was converted."""
    return f"the ANN: {percent(at(records, 'teacher.accuracy'))}"


def nats(records: Records) -> str:
    """Return the divergence of the drawn spikes."""
    return f"{mean([sum(each['found']['divergence'].values()) for each in records], '.1f')} nats"


def labels(records: Records) -> str:
    """Return the balanced accuracy of steps, and the accuracy with the steps in random order."""
    balanced = percent(at(records, "found.balanced_accuracy"))
    return f"balanced: {balanced}; {corrupted('steps in random order')(records)}"


TIMES: dict[str, Any] = {
    "paths": IMAGES,
    "options": ("--corrupt", "time-shuffle=1"),
    "beside": corrupted("times traded"),
}
STEPS: dict[str, Any] = {
    "paths": QTDB,
    "options": ("--corrupt", "series-shuffle=1"),
    "beside": labels,
}
TURNS: dict[str, Any] = {"paths": IMAGES, "options": ("--equivariance", "rot90"), "beside": turned}

YIN_YANG = "Yin-Yang, 5,000 points, 60 epochs"
MNIST = "MNIST, {} images, {} epochs"
ECG = "QT database, {} epochs"

ROWS = (
    Row("yin-yang", "ReL-PSP", YIN_YANG, "yin-yang", **{**TIMES, "paths": {}}),
    Row("rel-psp", "ReL-PSP", MNIST.format("12,000", 8), "rel-psp", **TIMES),
    Row("multi-spike", "many exact spikes", MNIST.format("6,000", 4), "multi-spike", **TIMES),
    Row("multi-spike-1", "its control: one spike", MNIST.format("6,000", 4), "multi-spike",
        ("neuron.most=1",), **TIMES),
    Row("multi-spike-count", "many exact spikes, by counts", MNIST.format("6,000", 4),
        "multi-spike", COUNTS, **TIMES),
    Row("yoso", "YOSO", MNIST.format("12,000", 6), "yoso", paths=IMAGES, beside=of_ann),
    Row("p4", "p4", MNIST.format("4,000", 6), "p4", **TURNS),
    Row("p4-plain", "plain, of turned images", MNIST.format("4,000", 6), "p4",
        (*PLAIN, "augment.rot90=true"), **TURNS),
    Row("p4-upright", "plain, of upright images", MNIST.format("4,000", 6), "p4", PLAIN, **TURNS),
    Row("decolle", "DECOLLE", ECG.format(2), "decolle", **STEPS),
    Row("decolle-free", "DECOLLE, spikes free of cost", ECG.format(2), "decolle",
        ("method.rate_cost=0.0",), **STEPS),
    Row("decolle-bptt", "its network, by BPTT", ECG.format(2), "decolle", ("method.name=bptt",),
        **STEPS),
    Row("glm", "GLM", ECG.format(8), "glm", **STEPS),
    Row("glm-hidden", "GLM, 64 hidden neurons", ECG.format(8), "glm", HIDDEN, **STEPS),
    Row("ecg-lsq", "least-squares membranes, two layers", ECG.format(10), "ecg", LSQ, **STEPS),
    Row("ecg-leaky", "leaky neurons, two layers", ECG.format(10), "ecg",
        ("model.name=mlp", "model.features=[128,128]", "train.epochs=10"), **STEPS),
    Row("ecg", "recurrent neurons", ECG.format(10), "ecg", ("train.epochs=10",), **STEPS),
    Row("lorenz", "least squares", "Lorenz, 2,000 samples, 200 epochs", "lorenz"),
    Row("vdib", "VDIB, times", MNIST.format("10,000", 10), "vdib", paths=IMAGES, beside=nats),
    Row("vdib-rate", "VDIB, counts", MNIST.format("10,000", 10), "vdib",
        ("readout.decoder=rate",), paths=IMAGES, beside=nats),
)  # fmt: skip


def main() -> None:
    """Train what is not finished, and print the table."""
    study(ROWS, "published")


def study(rows: Sequence[Row], name: str, seeds: int = 3) -> None:
    """Train what is not finished of rows, and print their table, as the command line says.

    Args:
        rows: of the table.
        name: of the module, and of the folder of the records by default.
        seeds: number of trainings of a row by default.
    """
    parser = argparse.ArgumentParser(prog=f"python -m studies.systems.{name}")
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="folder of data sets")
    parser.add_argument("--out", type=Path, default=Path(name))
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--only", default="", help="rows, by their names")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--table", action="store_true", help="print what is finished")
    given = parser.parse_args()
    names = chosen(parser, given.only, [row.name for row in rows])
    rows = [row for row in rows if row.name in names]
    works = {
        (row.name, seed): Work(
            f"{row.name} {seed}",
            given.out / f"{row.name}-{seed}.json",
            partial(measured, row, seed, given.data_dir.resolve()),
        )
        for seed, row in product(range(given.seeds), rows)
    }
    failed = [] if given.table else finish(works.values(), given.jobs)
    found: dict[str, list[dict[str, Any]]] = {row.name: [] for row in rows}
    for (name, _), work in works.items():
        if work.record.exists():
            found[name].append(json.loads(work.record.read_text()))
    print(table(rows, found))
    if failed:
        print("\n".join(failed), file=sys.stderr)
        sys.exit(1)


def measured(row: Row, seed: int, data_dir: Path, run: Path) -> dict[str, Any]:
    """Train and evaluate a row with a seed, and the ANN that it was converted from.

    Raises:
        Failed: with the last lines of a command.
    """
    paths = [f"{key}={data_dir / value}" for key, value in row.paths.items()]
    found = {
        **train(row.recipe, [*row.changes, *paths], seed, run),
        "found": evaluate(run, *row.options),
    }
    if row.more is not None:
        found["more"] = row.more(run, data_dir)
    if (run / "teacher").exists():
        found["teacher"] = evaluate(run / "teacher")
    return found


def table(rows: Iterable[Row], found: Mapping[str, Records]) -> str:
    """Return the rows that have figures as a table in Markdown: means and deviations over seeds."""
    lines = [f"| {' | '.join(HEADS)} |", f"|---|---{'|---:' * (len(HEADS) - 2)}|"]
    lines += [f"| {' | '.join(_cells(row, found[row.name]))} |" for row in rows if found[row.name]]
    return "\n".join(lines) + "\n"


def _cells(row: Row, records: Records) -> Sequence[str]:
    metric = records[0]["found"]["metric"]
    values = at(records, f"found.{metric['name']}")
    result = percent(values) if metric["percent"] else mean(values, ".3g")
    if all("decision" in each["found"] for each in records):  # what is fired later does not count
        spikes = at(records, "found.decision.spikes")
        picojoules = at(records, "found.decision.picojoules")
    else:
        spikes = at(records, "found.spikes_per_sample")
        picojoules = at(records, "found.energy.picojoules_per_sample")
    return (
        row.title,
        row.data,
        f"{metric['name']} {result}",
        row.beside(records),
        f"{fmean(spikes):,.0f}" if all(spikes) else "–",
        _short(1e-6 * fmean(picojoules)),
        f"{fmean(at(records, 'cpu_seconds')):.0f}",
        f"{fmean(at(records, 'peak_mib')):.0f}",
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(values: Sequence[float]) -> str:
    """Return the mean and the deviation of shares in percent."""
    return f"{mean([100 * value for value in values], '.2f')} %"


def mean(values: Sequence[float], form: str) -> str:
    """Return the mean, and the deviation of more than one."""
    spread = f" ± {stdev(values):{form}}" if len(values) > 1 else ""
    return f"{fmean(values):{form}}{spread}"


def at(records: Records, path: str) -> list[Any]:
    """Return the value at a path of keys and indices in each record.

    >>> at([{"found": [{}, {"accuracy": 0.5}]}], "found.1.accuracy")
    [0.5]
    """
    found: list[Any] = list(records)
    for key in path.split("."):
        found = [each[int(key) if isinstance(each, list) else key] for each in found]
    return found


if __name__ == "__main__":
    main()
