"""Where the time of a training step goes, layer by layer.

    python -m asnn.benchmarks.profile [--model lenet] [--coding direct] [--steps 7] [--batch 64]
                                      [--repeats 30] [--kinds]

The forward time of a layer is from its call to its return; the backward time is from the gradient
of its output to the gradient of its input. With a static code the backward time of the first layer
is part of that of the second, because the output of the first is repeated. `join` is the sum of two
paths. `--kinds` adds up layers of the same kind. The output is a Markdown table of medians over
steps.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..models import create_model
from ..models.layers.norm import TimeNorm
from ..models.layers.residual import Residual
from ..models.layers.spiking import SpikingLayer
from ..models.layers.time import OverTime
from ..models.readouts import Readout
from .case import Case
from .work import LEARNING_RATE

WARM_UP, REPEATS = 5, 30
Table = dict[str, tuple[float, float]]


def parts_of(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers by name; for two paths, their layers and then the `Residual` that adds them.

    The readout is left out: a hook on it would disable the mean over time before it.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential):
            # Most layers are in the main path; their names omit it.
            inner = "" if isinstance(module, Residual) and name == "main" else f"{name}."
            yield from parts_of(child, prefix + inner)
        elif isinstance(child, Residual):
            yield from parts_of(child, f"{prefix}{name}.")
            yield f"{prefix}{name}.join", child
        elif not isinstance(child, Readout):
            yield prefix + name, child


def kind_of(part: nn.Module) -> str:
    """Return the name of the kind of a layer."""
    inner = part.layer if isinstance(part, OverTime) else part
    if isinstance(inner, nn.Conv2d):
        return f"convolutions {inner.kernel_size[0]}×{inner.kernel_size[1]}"
    if isinstance(inner, SpikingLayer):
        return "neurons" if inner.norm is None else "norms with neurons"
    if isinstance(inner, TimeNorm):
        return "norms"
    return "joins" if isinstance(inner, Residual) else type(inner).__name__


class Stamps:
    """Times of one training step by layer.

    Attributes:
        forward: seconds of each layer.
        starts: start of the backward pass of each layer, in order.
    """

    def __init__(self, body: nn.Module) -> None:
        self.forward: dict[str, float] = {}
        self.starts: list[tuple[str, float]] = []
        self._last = 0.0
        for name, part in parts_of(body):
            if not isinstance(part, Residual):
                part.register_forward_pre_hook(self._before)
            part.register_forward_hook(self._after(name))

    def clear(self) -> None:
        """Forget the last step."""
        self.forward.clear()
        self.starts.clear()

    def _before(self, *_: Any) -> None:
        self._last = time.perf_counter()

    def _after(self, name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            # A join has no forward pre-hook: it starts when its last layer ends.
            now = time.perf_counter()
            self.forward[name], self._last = now - self._last, now
            output.register_hook(lambda _: self.starts.append((name, time.perf_counter())))

        return hook


def profile(case: Case, *, repeats: int = REPEATS, kinds: bool = False) -> Table:
    """Return forward and backward seconds of each layer (or kind of layer) and of other parts."""
    model = create_model(**case.arguments).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    images, labels = case.images(), case.labels()
    stamps = Stamps(model.body)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(WARM_UP + repeats):
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
        backward = {name: stop - at for (name, at), stop in zip(stamps.starts, ends, strict=True)}
        for name, seconds in stamps.forward.items():
            found[name].append((seconds, backward.get(name, 0.0)))
        layers = sum(stamps.forward.values()), sum(backward.values())
        found["code, readout, loss"].append((turn - begin - layers[0], end - turn - layers[1]))
        found["optimiser"].append((last - end, 0.0))
        found["all"].append((turn - begin + last - end, end - turn))
    table = {
        name: (median(f for f, _ in each[WARM_UP:]), median(b for _, b in each[WARM_UP:]))
        for name, each in found.items()
    }
    return _by_kind(table, model.body) if kinds else table


def _by_kind(table: Table, body: nn.Module) -> Table:
    kinds = {name: kind_of(part) for name, part in parts_of(body)}
    added: Table = {}
    for name, (forward, backward) in table.items():
        kind = kinds.get(name, name)
        before = added.get(kind, (0.0, 0.0))
        added[kind] = before[0] + forward, before[1] + backward
    return added


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m asnn.benchmarks.profile")
    parser.add_argument("--model", default="lenet")
    parser.add_argument("--coding", default="direct")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--kinds", action="store_true")
    options = vars(parser.parse_args())
    timing = {name: options.pop(name) for name in ("repeats", "kinds")}
    found = profile(Case(**options), **timing)
    print("| layer | forward, ms | backward, ms |")
    print("|---|---|---|")
    for name, (forward, backward) in found.items():
        print(f"| {name} | {1000 * forward:.1f} | {1000 * backward:.1f} |")


if __name__ == "__main__":
    main()
