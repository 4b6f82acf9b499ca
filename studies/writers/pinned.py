"""Files of sinabs and rockpool: `python pinned.py FOLDER`, without asnn, where they are installed.

FOLDER gets `NAME.nir` for each, `NAME.npz` with an input `x` and its output `y` `[T, B, ...]`, and
`done.json`: the versions of the simulators and of nir, and why one has no file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import nir
import numpy as np
import torch
from torch import Tensor, nn

STEPS, BATCH = 24, 12
SEED = 3

Written = tuple[Tensor, Tensor]


def full(count: int, value: float) -> Tensor:
    """Return a parameter of so many neurons, all of the same value."""
    return torch.full((count,), float(value))


def sinabs(path: Path) -> Written:
    """Conv2d, IAF, SumPool2d and LIF, which send several spikes a step."""
    from sinabs import layers  # type: ignore[import-not-found]
    from sinabs.nir import to_nir  # type: ignore[import-not-found]

    shape = (4, 4, 4)
    thresholds = {"spike_threshold": torch.full(shape, 0.5), "batch_size": BATCH}
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        layers.IAFSqueeze(batch_size=BATCH, spike_threshold=torch.tensor(1.0)),
        layers.SumPool2d(2),
        layers.LIFSqueeze(tau_mem=torch.full(shape, 8.0), **thresholds),
    )
    x = 4 * torch.rand(BATCH * STEPS, 2, 8, 8)
    y = net(x).unflatten(0, (BATCH, STEPS)).transpose(0, 1)
    graph = to_nir(net, x)
    graph.nodes["0"].input_shape = (8, 8)  # which it leaves out, and nir does not write then
    nir.write(path, graph)
    return x.unflatten(0, (BATCH, STEPS)).transpose(0, 1), y


def rockpool(path: Path) -> Written:
    """LIFTorch and LIFNeuronTorch, without bias and noise."""
    from rockpool.nn.combinators import Sequential  # type: ignore[import-not-found]
    from rockpool.nn.modules import torch as modules  # type: ignore[import-not-found]
    from rockpool.nn.modules.torch.nir import to_nir  # type: ignore[import-not-found]

    taus = {"tau_mem": full(20, 0.02), "tau_syn": full(20, 0.01), "bias": full(20, 0)}
    net = Sequential(
        modules.LinearTorch((12, 20)),
        modules.LIFTorch(20, dt=1e-3, threshold=full(20, 4), **taus),
        modules.LinearTorch((20, 5)),
        modules.LIFNeuronTorch(5, tau_mem=full(5, 0.01), dt=1e-3, bias=full(5, 0)),
    )
    x = 2 * torch.rand(BATCH, STEPS, 12)
    y = net(x)[0].transpose(0, 1)
    graph = to_nir(net, x[:1, 0])
    for node in graph.nodes.values():
        for name, value in vars(node).items():
            setattr(node, name, value.detach().numpy() if hasattr(value, "detach") else value)
    nir.write(path, graph)
    return x.transpose(0, 1), y


WRITERS: dict[str, Callable[[Path], Written]] = {"sinabs": sinabs, "rockpool": rockpool}


def main() -> None:
    folder = Path(sys.argv[1])
    failed = {}
    for name, write in WRITERS.items():
        torch.manual_seed(SEED)
        try:
            with torch.no_grad():
                x, y = write(folder / f"{name}.nir")
        except Exception as error:  # of another package
            failed[name] = f"{type(error).__name__}: {error}"
            continue
        np.savez(folder / f"{name}.npz", x=x.numpy(), y=y.numpy())
    versions = {name: version(name) for name in (*WRITERS, "nir") if name not in failed}
    (folder / "done.json").write_text(json.dumps({"versions": versions, "failed": failed}))


if __name__ == "__main__":
    main()
