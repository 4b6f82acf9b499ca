"""The curve of a bottleneck: distortion against information, and what the times of spikes matter.

    python -m studies.bottleneck OUT [--data-dir data] [--betas 1e-4 1e-3 ...] [--seeds 0 1 ...]

trains the recipe `vdib` for each β, decoder and seed into OUT (runs that are there are taken as
they are), evaluates each on its test data, prints a table in Markdown and draws OUT/bottleneck.png.
The last column is the control: the same network with the spikes of each neuron of the bottleneck
moved to other steps, their counts kept.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asnn.cli.app import run as asnn
from asnn.measure import evaluate
from asnn.models.network import SpikingNetwork
from asnn.models.readouts.bottleneck import BottleneckReadout
from asnn.records.open_run import OpenRun, open_run

BETAS = ("1e-4", "1e-3", "1e-2", "1e-1", "1")
DECODERS = ("time", "rate")


class Point(NamedTuple):
    """One trained network.

    Attributes:
        decoder: what it reads.
        beta: β.
        seed: of the training.
        nats: of an image, see `BottleneckReadout.divergence`.
        spikes: of the bottleneck, of an image.
        loss, mse: of the rebuilt images.
        moved: mse with moved spikes.
    """

    decoder: str
    beta: str
    seed: int
    nats: float
    spikes: float
    loss: float
    mse: float
    moved: float


def main() -> None:
    """Train what is missing, evaluate, print and draw."""
    parser = argparse.ArgumentParser(prog="python -m studies.bottleneck")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--betas", nargs="+", default=BETAS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", action="append", default=[], help="key=value of the recipe")
    given = parser.parse_args()
    print("| decoder | β | seed | nats | spikes | loss | mse | mse, spikes moved |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    points = []
    for seed in given.seeds:
        for beta in given.betas:
            for decoder in DECODERS:
                path = given.out / f"{decoder}-{beta}-{seed}"
                keys = [f"readout.decoder={decoder}", f"method.beta={beta}", *given.set]
                points.append(point(trained(path, keys, seed, given.data_dir)))
                print(row(points[-1]), flush=True)
    draw(given.out / "bottleneck.png", points)


def trained(path: Path, keys: list[str], seed: int, data_dir: str) -> OpenRun:
    """Return the run in a folder, trained now if there is none."""
    if not (path / "summary.json").exists():
        changes = [part for each in keys for part in ("--set", each)]
        command = ["train", "vdib", "--data-dir", data_dir, "--seed", str(seed), *changes]
        if asnn([*command, "--out", str(path)]):
            raise SystemExit(f"the training of {path} failed")
    return open_run(path, data_dir=data_dir)


def point(run: OpenRun) -> Point:
    """Return the figures of a run on its test data."""
    options: dict[str, Any] = {"task": run.task, "full_scale": run.data.full_scale}
    clean = evaluate(run.model, run.data.test, **options)
    moved = evaluate(with_moved_spikes(run.model), run.data.test, **options)
    readout = run.model.readout
    assert isinstance(readout, BottleneckReadout)
    rates = clean.spike_rates["readout.spikes"]
    return Point(
        run.recipe.readout.options()["decoder"],
        f"{run.recipe.method.options()['beta']:g}",
        run.recipe.train.seed,
        sum(clean.divergence.values()),
        sum(rates) * readout.linear.out_features,
        clean.loss,
        clean.values["mse"],
        moved.values["mse"],
    )


def with_moved_spikes(model: SpikingNetwork) -> SpikingNetwork:
    """Return a copy in which the spikes of each neuron of the bottleneck fall into other steps."""
    moved = copy.deepcopy(model)

    def move(_: Any, __: Any, spikes: Tensor) -> Tensor:
        return spikes.gather(0, torch.rand_like(spikes).argsort(0))

    readout = moved.readout
    assert isinstance(readout, BottleneckReadout)
    readout.spikes.register_forward_hook(move)
    return moved


def row(point: Point) -> str:
    """Return a row of the table."""
    figures = f"{point.loss:.4f} | {point.mse:.4f} | {point.moved:.4f}"
    return (
        f"| {point.decoder} | {point.beta} | {point.seed} | {point.nats:.1f} | "
        f"{point.spikes:.0f} | {figures} |"
    )


def draw(path: Path, points: list[Point]) -> None:
    """Draw distortion against information, a line for each decoder and seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for decoder, style in zip(DECODERS, ("o-", "s--"), strict=True):
        for i, seed in enumerate(sorted({each.seed for each in points})):
            line = sorted(
                (each for each in points if (each.decoder, each.seed) == (decoder, seed)),
                key=lambda each: each.nats,
            )
            look: dict[str, Any] = {"color": {"time": "tab:blue", "rate": "tab:orange"}[decoder]}
            look["label"] = f"decoder reads the {decoder}" if i == 0 else None
            axes.plot([p.nats for p in line], [p.mse for p in line], style, **look)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlabel("divergence of the spikes, nats an image")
    axes.set_ylabel("mean squared error of a pixel")
    axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
