"""Burst coding, taught layer by layer, beside its controls: accuracy by step, and spikes.

    python -m studies.systems.burst OUT [--recipe burst] [--seeds 0,1,2] [--set KEY=VALUE]...

trains, for each seed, the ANN counterpart, the networks that start from it and those with the
targets of other samples, and prints one table in Markdown. Finished runs in OUT are not trained
again. All accuracies are of the test data; those of taught layers are of the last epoch.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from safetensors.torch import load_file

import asnn
from asnn.learning.checkpoints.storage import newest_first
from asnn.learning.methods.ltl.method import LocalTandemLearning
from asnn.measure import evaluate
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.network import SpikingNetwork
from asnn.records.open_run import OpenRun, open_run

BATCH = 256
MEAN = {"readout.name": "mean"}


class Row(NamedTuple):
    """One row of the table.

    Attributes:
        name: what was evaluated.
        accuracies: after each step; of a decision, that of the decision alone.
        spikes: hidden spikes of a sample, over all steps.
        decision: mean step and undecided share; empty of a mean over the steps.
    """

    name: str
    accuracies: list[float]
    spikes: float
    decision: str = ""


def main() -> None:
    """Train, evaluate, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m studies.systems.burst")
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--recipe", default="burst")
    parser.add_argument("--seeds", default="0,1,2", help="numbers, with commas between them")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    changes = dict(_setting(text) for text in given.set)
    print("| seed | network | accuracy after steps 1, 2, 4, ..., % | spikes | decision |")
    print("|---|---|---|---:|---|")
    for seed in map(int, given.seeds.split(",")):
        for row in rows(given.out / str(seed), given.recipe, {**changes, "train.seed": seed}):
            steps = [2**i - 1 for i in range(len(row.accuracies).bit_length())]
            shown = ", ".join(f"{100 * row.accuracies[t]:.2f}" for t in steps)
            print(
                f"| {seed} | {row.name} | {shown} | {row.spikes:,.0f} | {row.decision} |",
                flush=True,
            )


def rows(out: Path, recipe: str, changes: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows of one seed."""

    def run(name: str, **more: Any) -> OpenRun:
        path = out / name
        if not (path / "summary.json").is_file():
            asnn.train(recipe, out=path, changes={**changes, **more})
        return open_run(path)

    def layers(name: str, **more: Any) -> OpenRun:
        """Train the layers alone, in as many epochs as the recipe gives them."""
        start = {"train.init": str(out / "converted" / "teacher"), "method.readout_epochs": 0}
        return run(name, **{**MEAN, **start, "train.epochs": epochs, **more})

    converted = run("converted", **{**MEAN, "train.epochs": 0, "method.readout_epochs": 0})
    settings = asnn_recipe(recipe)
    epochs = settings["train"]["epochs"] - settings["method"]["readout_epochs"]
    yield result("ANN counterpart", open_run(out / "converted" / "teacher"))
    yield result("converted", converted)
    most = settings["neuron"]["most"]
    yield result("control: the same V, one spike a step", converted, most=1)
    yield result("control: V = range", converted, factor=most)
    yield result("control: V = range, one spike a step", converted, factor=most, most=1)
    yield result("layers taught", layers("taught"), last=True)
    shifted = rolled(LocalTandemLearning._activations)
    with patch.object(LocalTandemLearning, "_activations", shifted):
        control = layers("rolled")
    yield result("control: targets of the next sample", control, last=True)
    gain = layers("gain", **{"method.gain": 5.0})
    yield result("published: gain 5, V = range", gain, last=True)
    yield result("first spikes decide", run("decides"))
    yield result("first spikes decide, gain 5", run("decides-gain", **{"method.gain": 5.0}))


def asnn_recipe(name: str) -> dict[str, Any]:
    """Return the tables of a recipe that comes with asnn."""
    from asnn.cli import recipe_files

    return tomllib.loads((Path(recipe_files.__path__[0]) / f"{name}.toml").read_text())


def rolled(activations: Any) -> Any:
    """Return the activations of a batch, each given to the sample before it."""

    def of_the_next(self: LocalTandemLearning, x: Any) -> dict[str, Any]:
        return {name: each.roll(-1, 0) for name, each in activations(self, x).items()}

    return of_the_next


def result(
    name: str, run: OpenRun, *, most: int | None = None, factor: float = 1.0, last: bool = False
) -> Row:
    """Evaluate a run; its neurons with other amplitudes or fewer spikes, if that is given.

    With `last` it has the weights of the last epoch, because the start, which is validated as an
    epoch, may be better than a control.
    """
    model = run.load_model()
    if last:
        model.load_state_dict(
            load_file(newest_first(run.files.checkpoints)[0] / "model.safetensors")
        )
    change_neurons(model, most, factor)
    task = run.task
    task.use_readout(model.readout)
    found = evaluate(
        model, run.data.test, task=task, full_scale=run.data.full_scale, batch_size=BATCH
    )
    values = found.values
    if "mean_step" not in values:
        return Row(name, found.accuracy_per_step, found.spikes_per_sample)
    decision = f"step {values['mean_step']:.2f}, {100 * values['undecided']:.1f} % undecided"
    return Row(name, [found.accuracy], found.spikes_per_sample, decision)


def change_neurons(model: SpikingNetwork, most: int | None, factor: float) -> None:
    """Multiply the amplitudes, and limit the spikes of a step."""
    for layer in model.modules():
        if isinstance(layer, SpikingLayer) and hasattr(layer.neuron, "raw_amplitude"):
            neuron: Any = layer.neuron
            neuron.raw_amplitude.data.mul_(factor)
            if most is not None:
                neuron.options = neuron.options._replace(most=most)


def _setting(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    try:
        return key, tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        return key, value


if __name__ == "__main__":
    main()
