"""Norms of gradients, weights and updates by layer, of some optimization steps of each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

NAMES = ("gradient", "weight", "update")
Sums = dict[str, list[float]]


@contextmanager
def measured_step(model: nn.Module, sums: Sums) -> Iterator[None]:
    """Add the statistics of the optimization step in the block, by layer, to `sums`:

        gradient ‖∇‖, before it is clipped    weight ‖w‖, before the step    update ‖Δw‖ / ‖w‖

    with the Euclidean norm over the parameters that the layer itself has, and the number of steps.
    A step whose gradients are not finite, as float16 skips it, is not counted.

    Args:
        model: its gradients are complete, and not scaled.
        sums: by layer: of the three statistics, of the steps, and of the steps with ‖w‖ > 0.
    """
    layers = dict(_layers(model))
    before = {name: [p.detach().clone() for p in layer] for name, layer in layers.items()}
    gradients = {name: _norm([p.grad for p in layer]) for name, layer in layers.items()}
    yield
    if not all(map(math.isfinite, gradients.values())):
        return
    for name, layer in layers.items():
        weight = _norm(before[name])
        moved = _norm([p.detach() - b for p, b in zip(layer, before[name], strict=True)])
        found = (gradients[name], weight, moved / weight if weight else 0.0, 1, float(weight > 0))
        former = sums.get(name, [0.0] * len(found))
        sums[name] = [a + b for a, b in zip(former, found, strict=True)]


def mean_statistics(sums: Sums) -> dict[str, dict[str, float | None]]:
    """Return the means over the measured steps, by layer; `update` is None where all ‖w‖ are 0."""
    found: dict[str, dict[str, float | None]] = {}
    for name, (gradient, weight, update, steps, moving) in sums.items():
        found[name] = {
            "gradient": gradient / steps,
            "weight": weight / steps,
            "update": update / moving if moving else None,
        }
    return found


def _layers(model: nn.Module) -> Iterator[tuple[str, list[nn.Parameter]]]:
    """Yield each module that itself has parameters that learn, without `body.` in its name."""
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.requires_grad]
        if own:
            yield name.removeprefix("body."), own


def _norm(tensors: list[Tensor | None] | list[Any]) -> float:
    norms = [torch.linalg.vector_norm(t.float()) for t in tensors if t is not None]
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0
