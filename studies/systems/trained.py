"""A run that is trained where there is none yet."""

from __future__ import annotations

from pathlib import Path

from asnn.cli.app import run as asnn
from asnn.records.open_run import OpenRun, open_run


def trained(
    recipe: str, path: Path, keys: list[str], seed: int, data_dir: str | None = None
) -> OpenRun:
    """Return the run in a folder, trained now if there is none.

    Args:
        recipe: a built-in one.
        path: the folder.
        keys: changes of the recipe, `KEY=VALUE`.
        seed: of the training.
        data_dir: folder of the data set; None for data that the keys or the recipe place.
    """
    if not (path / "summary.json").exists():
        changes = [part for each in keys for part in ("--set", each)]
        place = [] if data_dir is None else ["--data-dir", data_dir]
        command = ["train", recipe, *place, "--seed", str(seed), *changes]
        if asnn([*command, "--out", str(path)]):
            raise SystemExit(f"the training of {path} failed")
    return open_run(path, data_dir=data_dir)
