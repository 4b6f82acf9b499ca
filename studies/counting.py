"""The cost of counting operations: `evaluate` with and without it, interleaved.

    python -m studies.counting [RUN] [--rounds 5] [--images 1024] [--data-dir DIR]

times an evaluation with and without `count`, one after the other in each round. It prints the
median time without counting and the median of the ratios within rounds: for the network of a run on
its first test images, or, without RUN, for one untrained network of each architecture (hybrid code,
T = 4) on random images, with random offsets of its batch norms that make its neurons fire.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from asnn.datasets.base import Split
from asnn.datasets.splits import head
from asnn.measure import evaluate
from asnn.models import create_model
from asnn.models.network import SpikingNetwork
from asnn.records.open_run import open_run

NETWORKS: list[tuple[str, tuple[int, int, int], dict[str, Any]]] = [
    ("lenet", (1, 28, 28), {}),
    ("mlp", (1, 28, 28), {}),
    ("vgg", (3, 32, 32), {"width": 16}),
    ("ms-resnet", (3, 32, 32), {"width": 16}),
    ("sew-resnet", (3, 32, 32), {"width": 16}),
    ("spikformer", (3, 32, 32), {"size": "2-64"}),
]


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(prog="python -m studies.counting")
    parser.add_argument("run", type=Path, nargs="?", help="folder of a run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--data-dir", type=Path, help="where the data set's files are")
    options = parser.parse_args()
    if options.run is not None:
        run = open_run(options.run, data_dir=options.data_dir)
        data, model = run.data, run.model
        split = head(data.test, options.images)
        _time(str(options.run), model, split, data.full_scale, options.rounds)
        return
    for name, shape, more in NETWORKS:
        model = lively(name, shape, more)
        split = Split(torch.rand(options.images, *shape), torch.arange(options.images) % 10)
        _time(name, model, split, 1.0, options.rounds)


def lively(name: str, shape: tuple[int, int, int], options: dict[str, Any]) -> SpikingNetwork:
    """Return an untrained network whose neurons fire."""
    torch.manual_seed(0)
    model = create_model(name, in_shape=shape, classes=10, coding="hybrid", steps=4, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.normal_(module.bias, 0.2, 0.5)
    return model.eval()


def _time(name: str, model: SpikingNetwork, split: Split, full_scale: float, rounds: int) -> None:
    classes = int(split.targets.max()) + 1

    def seconds(count: bool) -> float:
        begin = time.perf_counter()
        evaluate(model, split, classes=classes, full_scale=full_scale, count=count)
        return time.perf_counter() - begin

    seconds(True)  # compiles kernels and folds norms
    times = [(seconds(False), seconds(True)) for _ in range(rounds)]
    plain = median(each for each, _ in times)
    ratio = median(with_count / without for without, with_count in times)
    print(f"{name}: {plain:.3f} s for {len(split)} images, counting {ratio:.2f} times that")


if __name__ == "__main__":
    main()
