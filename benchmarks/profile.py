"""Where the time of a training step goes, layer by layer.

    python -m asnn.benchmarks.profile [--model lenet] [--coding direct] [--steps 7] [--batch 64]

A layer's time forward is from its call to its return; its time back is from the moment at which
the gradient of its output is known to that at which the gradient of its input is; with a static
code the first layer's is part of the second's, since the gradient passes by its repeated output.
Medians over steps that run alone in the process, in Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..models import create_model
from ..models.layers import Readout
from .case import Case
from .work import LEARNING_RATE

WARM_UP, STEPS = 5, 30


class Stamps:
    """Times of one training step, by layer.

    Attributes:
        forward: seconds of each layer.
        starts: when each layer's backward pass began, in order.
    """

    def __init__(self, body: nn.Module) -> None:
        self.forward: dict[str, float] = {}
        self.starts: list[tuple[str, float]] = []
        for name, layer in body.named_children():
            if isinstance(layer, Readout):
                continue  # with a hook it would no longer be computed behind the mean
            layer.register_forward_pre_hook(self._before(name))
            layer.register_forward_hook(self._after(name))

    def clear(self) -> None:
        """Forget the last step."""
        self.forward.clear()
        self.starts.clear()

    def _before(self, name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self.forward[name] = -time.perf_counter()

        return hook

    def _after(self, name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            self.forward[name] += time.perf_counter()
            output.register_hook(lambda _: self.starts.append((name, time.perf_counter())))

        return hook


def profile(case: Case) -> dict[str, tuple[float, float]]:
    """Return seconds forward and back of each layer, and of what is beside them."""
    model = create_model(
        case.model,
        in_shape=case.in_shape,
        classes=case.classes,
        coding=case.coding,
        steps=case.steps,
    ).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    images, labels = case.images(), case.labels()
    stamps = Stamps(model.body)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(WARM_UP + STEPS):
        stamps.clear()
        begin = time.perf_counter()
        optimizer.zero_grad()
        loss = functional.cross_entropy(model.mean_logits(images), labels)
        turn = time.perf_counter()
        loss.backward()
        end = time.perf_counter()
        optimizer.step()
        last = time.perf_counter()
        ends = [start for _, start in stamps.starts[1:]] + [end]
        back = {name: stop - at for (name, at), stop in zip(stamps.starts, ends, strict=True)}
        for name, seconds in stamps.forward.items():
            found[name].append((seconds, back.get(name, 0.0)))
        layers = sum(stamps.forward.values()), sum(back.values())
        found["code, readout, loss"].append((turn - begin - layers[0], end - turn - layers[1]))
        found["optimiser"].append((last - end, 0.0))
        found["all"].append((turn - begin + last - end, end - turn))
    return {
        name: (median(f for f, _ in each[WARM_UP:]), median(b for _, b in each[WARM_UP:]))
        for name, each in found.items()
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m asnn.benchmarks.profile")
    parser.add_argument("--model", default="lenet")
    parser.add_argument("--coding", default="direct")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    found = profile(Case(**vars(options)))
    print("| layer | forward, ms | back, ms |")
    print("|---|---|---|")
    for name, (forward, back) in found.items():
        print(f"| {name} | {1000 * forward:.1f} | {1000 * back:.1f} |")


if __name__ == "__main__":
    main()
