"""Layers of exact times: processor time beside prefix sums in plain torch and beside time steps.

    python -m studies.systems.exact_times

prints, as Markdown, the processor time of a forward and backward pass of a layer of 400 neurons,
one spike each, over the number of inputs: with the kernels of the CPU, with the reference in plain
torch, and of the same ramps in 100 time steps, which gives times of a hundredth of the window.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from asnn.models.timing.rel_psp import RelPsp

INPUTS = (98, 196, 392, 784, 1_568)
BATCH, NEURONS, STEPS = 64, 400, 100
SHARE = 0.2
"""Of the inputs that fire."""
WINDOW = 2.0
ROUNDS = 3


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "kernels": lambda times, weight: fired(times, weight, "fused"),
        "plain torch": lambda times, weight: fired(times, weight, "reference"),
        f"{STEPS} steps": in_steps,
    }
    print("| inputs | spikes a sample | " + " | ".join(f"{name}, ms" for name in ways) + " |")
    print("|---:|---:|" + "---:|" * len(ways))
    for inputs in INPUTS:
        times, weight = layer(inputs)
        spikes = float(times.isfinite().sum()) / BATCH
        cells = []
        for way in ways.values():
            seconds = min(processor_time(way, times, weight) for _ in range(ROUNDS))
            cells.append(f"{1000 * seconds:.1f}")
        print(f"| {inputs:,} | {spikes:.0f} | " + " | ".join(cells) + " |", flush=True)


def layer(inputs: int) -> tuple[Tensor, Tensor]:
    """Return times `[B, N, 1]`, silent inputs included, and weights `[M, N]` with which most
    neurons fire at half of the window."""
    random = torch.Generator().manual_seed(0)
    times = torch.rand(BATCH, inputs, 1, generator=random, dtype=torch.float64)
    times[torch.rand(times.shape, generator=random) > SHARE] = float("inf")
    weight = torch.randn(NEURONS, inputs, generator=random, dtype=torch.float64)
    return times, weight * 2 / inputs**0.5 + 20 / inputs


def fired(times: Tensor, weight: Tensor, kernels: str) -> Tensor:
    """Return when the neurons fire, exactly."""
    return RelPsp(1, NEURONS, window=WINDOW).fire(times, weight, kernels=kernels)  # type: ignore[arg-type]


def in_steps(times: Tensor, weight: Tensor) -> Tensor:
    """Return the potentials at the first step above the threshold, which is a grid of times: the
    same ramps, in float64, step by step."""
    grid = torch.linspace(0, WINDOW, STEPS, dtype=torch.float64)
    ramps = (grid.view(-1, 1, 1) - times[..., 0]).clamp(min=0)  # [T, B, N]; 0 of silent inputs
    potential = ramps @ weight.t()
    first = (potential > 1).int().argmax(0, keepdim=True)
    return potential.gather(0, first)


def processor_time(way: Callable[[Tensor, Tensor], Tensor], times: Tensor, weight: Tensor) -> float:
    """Return the seconds of the processor for a forward and backward pass."""
    t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
    begin = time.process_time()
    out = way(t, w)
    torch.where(out.isfinite(), out, 0).sum().backward()
    return time.process_time() - begin


if __name__ == "__main__":
    main()
