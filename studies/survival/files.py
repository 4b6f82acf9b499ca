"""The files of a run, read without the package: equal, whole, or left by a kill."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

RESULTS = ("model.safetensors", "metrics.jsonl")


def same_results(one: Path, other: Path) -> bool:
    """Return whether two runs have the same bytes of weights and metrics."""
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in RESULTS)


def torn(run: Path) -> list[str]:
    """Return what is not whole among the files that are there under their names."""
    found = []
    for path in (*run.glob("*.json"), *run.glob("*.jsonl")):
        text = path.read_text()
        try:
            for line in text.splitlines() if path.suffix == ".jsonl" else [text]:
                json.loads(line)
        except ValueError:
            found.append(path.name)
        if not text.endswith("\n"):
            found.append(f"{path.name}: no end")
    weights = run / "model.safetensors"
    if weights.exists() and not is_whole_safetensors(weights):
        found.append(weights.name)
    for checkpoint in run.glob("checkpoints/step-*"):
        try:
            sums = json.loads((checkpoint / "checksums.json").read_text())["sha256"]
        except (OSError, ValueError):
            found.append(f"{checkpoint.name}: no checksums")
            continue
        for name, stated in sums.items():
            path = checkpoint / name
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != stated:
                found.append(f"{checkpoint.name}/{name}")
    return found


def is_whole_safetensors(path: Path) -> bool:
    """Return whether a file is as long as its header says."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return len(content) == 8 + size + max(ends)


def partial_writes(folder: Path) -> list[str]:
    """Return the temporary files and folders below a folder."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob(".*")
        if path.suffix in (".part", ".former")
    )
