"""A run that is trained where there is none yet."""

from __future__ import annotations

from pathlib import Path

from asnn.cli.app import run as asnn
from asnn.records.open_run import OpenRun, open_run


def trained(recipe: str, path: Path, keys: list[str], seed: int, data_dir: str) -> OpenRun:
    """Return the run in a folder, trained now if there is none.

    Args:
        recipe: a built-in one.
        path: the folder.
        keys: changes of the recipe, `KEY=VALUE`.
        seed: of the training.
        data_dir: folder of data sets.
    """
    if not (path / "summary.json").exists():
        changes = [part for each in keys for part in ("--set", each)]
        command = ["train", recipe, "--data-dir", data_dir, "--seed", str(seed), *changes]
        if asnn([*command, "--out", str(path)]):
            raise SystemExit(f"the training of {path} failed")
    return open_run(path, data_dir=data_dir)
