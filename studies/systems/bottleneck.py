"""The curve of a bottleneck: distortion against information, and what the times of spikes matter.

    python -m studies.systems.bottleneck OUT [--data-dir data]
        [--betas 1e-4 1e-3 ...] [--seeds 0 1 ...]

trains the recipe `vdib` for each β, decoder and seed into OUT (runs that are there are taken as
they are), evaluates each on its test data, prints a table in Markdown and draws OUT/bottleneck.png.
The last column is the control: the same network with the spikes of each neuron of the bottleneck
moved to other steps, their counts kept. With `--autoencoder` a plain autoencoder, of ReLU and of as
many neurons, is trained on the same images as long: what a bottleneck of many neurons without a
price (`--betas 0 --set readout.neurons=256`) should come near to.
"""

from __future__ import annotations

import argparse
import copy
import math
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.lr_scheduler import CosineAnnealingLR

from asnn.datasets.base import Split
from asnn.measure import evaluate
from asnn.models.network import SpikingNetwork
from asnn.models.readouts.bottleneck import BottleneckReadout
from asnn.records.open_run import OpenRun, open_run

from .trained import trained

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
    parser = argparse.ArgumentParser(prog="python -m studies.systems.bottleneck")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--betas", nargs="+", default=BETAS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", action="append", default=[], help="key=value of the recipe")
    parser.add_argument("--autoencoder", action="store_true")
    given = parser.parse_args()
    print("| decoder | β | seed | nats | spikes | loss | mse | mse, spikes moved |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    points = []
    for seed in given.seeds:
        for beta in given.betas:
            for decoder in DECODERS:
                path = given.out / f"{decoder}-{beta}-{seed}"
                keys = [f"readout.decoder={decoder}", f"method.beta={beta}", *given.set]
                points.append(point(trained("vdib", path, keys, seed, given.data_dir)))
                print(row(points[-1]), flush=True)
    draw(given.out / "bottleneck.png", points)
    if given.autoencoder:
        last = f"{DECODERS[-1]}-{given.betas[-1]}-{given.seeds[-1]}"
        run = open_run(given.out / last, data_dir=given.data_dir)
        print(f"a plain autoencoder: mse {autoencoder(run):.4f}")


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


def autoencoder(run: OpenRun) -> float:
    """Return the mse on test data of an autoencoder without spikes, trained as the run was."""
    train, recipe = run.data.train, run.recipe.train
    torch.manual_seed(recipe.seed)
    readout, pixels = run.recipe.readout.options(), math.prod(run.data.in_shape)
    encoder = (pixels, *run.recipe.model.options()["features"], readout["neurons"])
    sizes = (*encoder, *(readout["hidden"] or ()), pixels)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), recipe.lr)
    batches = -(-len(train) // recipe.batch_size)
    schedule = CosineAnnealingLR(optimizer, recipe.epochs * batches)
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(train)).split(recipe.batch_size):
            x = _images(train, rows, run.data.full_scale)
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(model(x), x.flatten(1)).backward()
            optimizer.step()
            schedule.step()
    test = run.data.test
    x = _images(test, torch.arange(len(test)), run.data.full_scale)
    with torch.no_grad():
        return float((model(x).sigmoid() - x.flatten(1)).square().mean())


def _images(split: Split, rows: Tensor, full_scale: float) -> Tensor:
    found: Tensor = split.inputs[rows]  # type: ignore[index]
    return found.float() / full_scale


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
