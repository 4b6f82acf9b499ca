"""Files of simulators, imported: the outputs that differ from those of the simulator.

    python -m studies.imports                 files of the simulators that are installed
    python -m studies.imports --pinned        and of sinabs and rockpool, which pin another nir
    python -m studies.imports --python PATH   with a Python that has these

prints a table in Markdown: with the semantics of the simulator and with `nir`, the equations of the
format. `--pinned` installs sinabs and rockpool into an environment of their own, in a temporary
folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from asnn.core.errors import AsnnError
from asnn.records.import_nir import import_nir

from .pinned.environment import make_environment
from .writers import installed, pinned


@dataclass(frozen=True)
class Network:
    """A network that a simulator writes.

    Attributes:
        simulator: its distribution.
        layers: what it has.
        semantics: with which it is imported.
        write: writes a file; returns steps `[T, B, ...]` and the outputs of the simulator.
        options: of the import.
    """

    simulator: str
    layers: str
    semantics: str
    write: Callable[[Path], tuple[Tensor, Tensor]]
    options: dict[str, Any] = field(default_factory=dict)


class Differences(NamedTuple):
    """How many outputs of an imported file differ from those of its simulator.

    Attributes:
        outputs: all of them.
        own, nir: with the semantics of the simulator, and with `nir`; None where the import is
            refused.
    """

    outputs: int
    own: int | None
    nir: int | None


def _of_snntorch() -> Iterator[Network]:
    writers = {
        "Leaky": installed.snntorch_leaky,
        "Synaptic": installed.snntorch_synaptic,
        "RLeaky": installed.snntorch_recurrent,
        "RSynaptic": installed.snntorch_recurrent_synaptic,
    }
    for layers, write in writers.items():
        for reset, semantics in (("subtract", "snntorch"), ("zero", "snntorch-zero")):
            named = f"{layers}, Leaky, reset {reset}"
            yield Network("snntorch", named, semantics, partial(write, reset=reset))


INSTALLED = [
    *_of_snntorch(),
    Network("spikingjelly", "IFNode, LIFNode, CUBALIFNode", "spikingjelly", installed.spikingjelly),
    Network("norse", "LIFBoxCell, LIFCell", "norse", installed.norse, {"dt": 1e-3}),
]
PINNED = {
    "sinabs": Network("sinabs", "Conv2d, IAF, SumPool2d, LIF", "sinabs", pinned.sinabs),
    "rockpool": Network(
        "rockpool", "LIFTorch, LIFNeuronTorch", "rockpool", pinned.rockpool, {"dt": 1e-3}
    ),
}


def differences(network: Network, path: Path, x: Tensor, expected: Tensor) -> Differences:
    """Return how an imported file differs from what its simulator has computed."""

    def count(**options: Any) -> int | None:
        try:
            model = import_nir(path, steps=len(x), **options).model
        except AsnnError:
            return None
        with torch.no_grad():
            found = model.run(x.flatten(2) if len(model.config["in_shape"]) == 1 else x)
        return int((found != expected.flatten(2)).sum())

    own = count(semantics=network.semantics, **network.options)
    dt = network.options.get("dt", 1.0 if network.simulator == "sinabs" else 1e-4)
    return Differences(expected.numel(), own, count(semantics="nir", dt=dt))


def measure_installed(folder: Path) -> Iterator[tuple[Network, str, Differences]]:
    """Yield the networks of installed simulators with their version and differences."""
    for network in INSTALLED:
        try:
            found = version(network.simulator)
        except PackageNotFoundError:
            continue
        torch.manual_seed(pinned.SEED)
        path = folder / "network.nir"
        x, expected = network.write(path)
        yield network, found, differences(network, path, x, expected)


def measure_pinned(folder: Path, python: Path | None) -> Iterator[tuple[Network, str, Differences]]:
    """Yield those of sinabs and rockpool, in a new environment if `python` is None."""
    python = python or make_environment(folder / "environment")
    subprocess.run([str(python), pinned.__file__, str(folder)], check=True, stdout=sys.stderr)
    done = json.loads((folder / "done.json").read_text())
    for name, why in done["failed"].items():
        print(f"{name} writes no file: {why}", file=sys.stderr)
    for name, network in PINNED.items():
        if name in done["versions"]:
            arrays = np.load(folder / f"{name}.npz")
            x, expected = (torch.from_numpy(arrays[key]) for key in ("x", "y"))
            found = differences(network, folder / f"{name}.nir", x, expected)
            yield network, done["versions"][name], found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m studies.imports")
    parser.add_argument("--pinned", action="store_true", help="files of sinabs and rockpool too")
    parser.add_argument("--python", type=Path, help="of an environment that has them")
    options = parser.parse_args()
    print("| file of | layers | `--semantics` | outputs | different | with `nir` |")
    print("|---" * 6 + "|")
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure_installed(Path(folder))]
        if options.pinned or options.python is not None:
            rows.append(measure_pinned(Path(folder), options.python))
        for network, found, each in (row for group in rows for row in group):
            counts = ["refused" if n is None else f"{n:,}" for n in (each.own, each.nir)]
            cells = [f"{network.simulator} {found}", network.layers, f"`{network.semantics}`"]
            print("|", " | ".join([*cells, f"{each.outputs:,}", *counts]), "|", flush=True)


if __name__ == "__main__":
    main()
