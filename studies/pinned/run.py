"""Reads and runs NIR files in sinabs and rockpool: `python run.py FOLDER`, without asnn.

FOLDER has `N.nir` and `N.npy`, an input `[T, B, ...]`, for N = 0, 1, …. It gets `NAME-N.npy`, the
output `[T, B, ...]`, and `done.json`: versions, and for each importer why a file has no output.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import nir
import numpy as np
import torch


class Failed(Exception):
    """How an importer failed."""


def sinabs(path: Path, steps: np.ndarray) -> np.ndarray:
    """One step in a call: its layers keep their states."""
    from sinabs.nir import from_nir  # type: ignore[import-not-found]

    net = _read(lambda: from_nir(nir.read(path), batch_size=steps.shape[1]))

    def run() -> list[np.ndarray]:
        state, found = None, []
        for x in steps:
            y, state = net(torch.from_numpy(x), state)
            found.append(y.numpy())
        return found

    return np.stack(_run(run))


def rockpool(path: Path, steps: np.ndarray) -> np.ndarray:
    """All steps in a call, `[B, T, ...]`."""
    from rockpool.nn.modules.torch.nir import from_nir  # type: ignore[import-not-found]

    net = _read(lambda: from_nir(nir.read(path)))
    x = torch.from_numpy(np.ascontiguousarray(steps.swapaxes(0, 1)))
    return _run(lambda: net(x)[0].numpy()).swapaxes(0, 1)


def _read(read):
    try:
        return read()
    except Exception as error:
        raise Failed(f"refused ({type(error).__name__})") from error


def _run(run):
    try:
        with torch.no_grad():
            return run()
    except Exception as error:
        raise Failed(f"fails when run ({type(error).__name__})") from error


def main() -> None:
    folder = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    failed: dict[str, dict[str, str]] = {"sinabs": {}, "rockpool": {}}
    for importer in (sinabs, rockpool):
        for path in sorted(folder.glob("*.nir")):
            number = path.stem
            try:
                found = importer(path, np.load(folder / f"{number}.npy"))
            except Failed as error:
                failed[importer.__name__][number] = str(error)
            else:
                np.save(folder / f"{importer.__name__}-{number}.npy", np.asarray(found))
    versions = {name: version(name) for name in ("sinabs", "rockpool", "nir")}
    (folder / "done.json").write_text(json.dumps({"versions": versions, "failed": failed}))


if __name__ == "__main__":
    main()
