"""Filters over time beside each other: fused, reference, scipy and SpikingJelly.

    python -m asnn.benchmarks.filters [--steps 31] [--batch 64] [--channels 128] [--rounds 15]

Times are CPU times of the process, and rounds are interleaved, so that what else the machine does
counts little and hits all alike; printed is the median over the rounds of the ratio to the fused
kernel, with its quartiles, as JSON. scipy and
SpikingJelly's `SynapseFilter` compute forward only (the latter has one pole, and another equation
at steps with spikes); forward and backward is with gradients of input, poles and gain.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..kernels.dispatch import backend
from ..kernels.filters import fused_filter
from ..models.synapses.filters import pole_filter

Call = Callable[[], Any]


def calls_of(x: Tensor, poles: Tensor, gain: Tensor) -> dict[str, dict[str, Call]]:
    """Return what is timed, by the work: `forward`, and `forward and backward`."""
    from scipy.signal import lfilter

    kernels, leaves = backend("cpu"), [each.clone().requires_grad_() for each in (x, poles, gain)]
    grad = torch.randn_like(x)
    denominator = [1.0]
    for pole in poles[:, 0].tolist():  # the product of 1 - p z⁻¹; scipy has one for all channels
        denominator = [
            a - pole * b for a, b in zip([*denominator, 0.0], [0.0, *denominator], strict=True)
        ]

    def trained(filtered: Callable[..., Tensor]) -> Call:
        def call() -> None:
            for leaf in leaves:
                leaf.grad = None
            filtered(*leaves).backward(grad)

        return call

    def fused(x: Tensor, poles: Tensor, gain: Tensor) -> Tensor:
        return fused_filter(x, poles, gain, kernels)

    forward: dict[str, Call] = {
        "fused": torch.no_grad()(lambda: fused(x, poles, gain)),
        "reference": torch.no_grad()(lambda: pole_filter(x, poles, gain)),
        "scipy": lambda: lfilter([float(gain[0])], denominator, x.numpy(), axis=0),
    }
    try:
        from spikingjelly.activation_based.layer import SynapseFilter
    except ImportError:
        pass
    else:

        def theirs() -> None:
            SynapseFilter(tau=4.0, step_mode="m")(x)

        forward["spikingjelly"] = torch.no_grad()(theirs)
    both = {"fused": trained(fused), "reference": trained(pole_filter)}
    return {"forward": forward, "forward and backward": both}


def ratios(calls: dict[str, Call], rounds: int) -> dict[str, Any]:
    """Return milliseconds of CPU time of `fused`, and how many times as long the others take."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            times[name].append(time.process_time() - begin)
    found: dict[str, Any] = {"fused_ms": 1000 * statistics.median(times["fused"])}
    for name, of_rounds in times.items():
        if name != "fused":
            each = [a / b for a, b in zip(of_rounds, times["fused"], strict=True)]
            low, middle, high = statistics.quantiles(each, n=4)
            found[name] = [round(value, 2) for value in (middle, low, high)]
    return found


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m asnn.benchmarks.filters")
    for name, default in (("steps", 31), ("batch", 64), ("channels", 128), ("rounds", 15)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    x = (torch.rand(given.steps, given.batch, given.channels) < 0.2).float()
    found: dict[str, Any] = {}
    for name, poles, gain in (("exp", [0.78], 1.0), ("dual-exp", [0.37, 0.78], 0.41)):
        factors = torch.tensor(poles).unsqueeze(1).repeat(1, given.channels)
        calls = calls_of(x, factors, torch.full((given.channels,), gain))
        found[name] = {work: ratios(each, given.rounds) for work, each in calls.items()}
    print(json.dumps({**vars(given), **found}, indent=2))


if __name__ == "__main__":
    main()
