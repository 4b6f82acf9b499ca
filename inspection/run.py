"""What is in the folder of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..formats.opening import clean, damaged
from ..formats.safetensors import Weights, read_configuration, read_weights
from ..records.layout import Run, find_run
from ..records.record import read_exports, read_record

# Tensors of a network that hold what it was given, or has seen.
STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "mean", "std")
PATHS = ("main", "shortcut")
FORMATS = ("onnx", "nir")


def about_run(path: Path) -> dict[str, Any]:
    """Return recipe, network, learned schedules, files and exports of a run.

    Raises:
        DataError: there is no such run, or its recipe or its weights cannot be read.
    """
    run = find_run(path)
    record = read_record(run)
    recipe, summary = record.config, record.summary
    fault = next((each for each in record.faults if each.startswith(run.config.name)), None)
    if fault is not None:
        raise damaged(run.config, fault.partition(": ")[2], what="recipe")
    files, parities = _files(run.path), read_exports(run)
    about: dict[str, Any] = {
        "path": str(run.path),
        "kind": "run",
        "size": sum(files.values()),
        "recipe": recipe.get("name"),
        "data": _table(recipe, "data").get("name"),
        "finished": run.finished,
        "best": summary.get("best") if isinstance(summary.get("best"), dict) else None,
        "coding": _table(recipe, "coding"),
        "neuron": _table(recipe, "neuron"),
        "model": _table(recipe, "model"),
        "files": files,
        "exports": [
            _export(run.path / "export" / name, parities.get(name, {})) for name in FORMATS
        ],
    }
    about["exports"] = [export for export in about["exports"] if export is not None]
    warnings = [
        f"the export in {export['folder']} is not verified"
        for export in about["exports"]
        if not export["verified"]
    ]
    if not run.model.is_file():
        return {**about, "layers": [], "warnings": [*warnings, "it has no trained weights yet"]}
    about |= _network(run)
    if isinstance(summary.get("parameters"), int):
        about["parameters"] = summary["parameters"]
    return {**about, "warnings": warnings}


def _table(recipe: dict[str, Any], name: str) -> dict[str, Any]:
    found = recipe.get(name)
    return found if isinstance(found, dict) else {}


def _files(folder: Path) -> dict[str, int]:
    """Return sizes by name; a link is not followed, and a folder within is one entry."""
    found = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            continue
        if entry.is_dir():
            inner = [file for file in entry.rglob("*") if file.is_file() and not file.is_symlink()]
            found[f"{entry.name}/"] = sum(file.stat().st_size for file in inner)
        elif entry.is_file():
            found[entry.name] = entry.stat().st_size
    return found


def _export(folder: Path, parity: dict[str, Any]) -> dict[str, Any] | None:
    """Return the files of an export, and whether they were found to compute the same."""
    if not folder.is_dir():
        return None
    verified, samples = parity.get("verified"), parity.get("samples")
    difference = parity.get("first_difference")
    return {
        "folder": f"{folder.parent.name}/{folder.name}",
        "files": _files(folder),
        "verified": verified if isinstance(verified, bool) else None,
        "samples": samples.get("number") if isinstance(samples, dict) else None,
        "first_difference": None if difference is None else clean(difference),
    }


def _network(run: Run) -> dict[str, Any]:
    weights = read_weights(run.model)
    found = read_configuration(weights)
    if found is None:
        raise DataError(
            f"{run.model} was not written by asnn", why="its header does not describe a network"
        )
    model = found["model"]
    return {
        "network": model,
        "in_shape": model.get("in_shape"),
        "classes": model.get("classes"),
        "steps": model.get("steps"),
        "labels": found.get("labels") or [],
        "parameters": sum(
            stored.count for name, stored in weights.tensors.items() if _learned(name, model)
        ),
        "layers": _layers(weights, model),
        "schedules": _schedules(weights),
    }


def _learned(name: str, model: dict[str, Any]) -> bool:
    """Return whether training changes a tensor by its gradients."""
    owner, _, last = name.rpartition(".")
    if not owner.endswith(".neuron"):
        return last not in STATISTICS
    if last == "threshold":
        return bool(_table(model, "neuron_options").get("learn_threshold"))
    return last == "reset_size" or model.get("neuron") != "fixed"


def _layers(weights: Weights, model: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tensors of each layer, by name."""
    found: dict[str, dict[str, Any]] = {}
    for name, stored in sorted(weights.tensors.items()):
        layer, tensor = _place(name)
        entry = found.setdefault(layer, {"name": layer, "parameters": 0, "shapes": {}})
        entry["shapes"][tensor] = list(stored.shape)
        entry["parameters"] += stored.count if _learned(name, model) else 0
    return list(found.values())


def _place(name: str) -> tuple[str, str]:
    """Return the layer that a tensor belongs to, and what it is called there.

    Paths of a block are called `main` and `shortcut`, and their layers stand behind that.
    """
    parts = name.removeprefix("body.").split(".")
    end = 1
    while end + 1 < len(parts) and parts[end] in PATHS:
        end += 2
    return ".".join(parts[:end]), ".".join(parts[end:])


def _schedules(weights: Weights) -> dict[str, dict[str, list[float]]]:
    """Return what neurons and readout do at each step; means over channels where they differ."""
    found: dict[str, dict[str, list[float]]] = {}
    for name in sorted(weights.tensors):
        layer, tensor = _place(name)
        key = tensor.removeprefix("neuron.")
        values = weights.array(name)
        if values is None or not (tensor.startswith("neuron.") or name == "body.readout.scale"):
            continue
        steps = values.reshape(len(values), -1).mean(1) if values.ndim else values.reshape(1)
        found.setdefault(layer, {})[key] = [float(value) for value in steps]
    return found
