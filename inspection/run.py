"""The contents of a run's folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError
from ..formats.errors import sanitize, unreadable
from ..formats.safetensors import Weights, read_configuration, read_weights
from ..records.exports import REASONS, UNKNOWN, ExportState, export_state, export_states
from ..records.layout import Run, find_run, require_own_weights
from ..records.record import read_exports, read_record

# Tensors that training does not learn: running statistics, and moments of the data.
STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "mean", "std")
BRANCHES = ("main", "shortcut")  # of a residual block
IMPORTED = "network"  # the graph of a NIR file, whose layers are its nodes


def inspect_run(path: Path) -> dict[str, Any]:
    """Return recipe, network, learned schedules, files and exports of a run.

    Raises:
        DataError: there is no such run, or its recipe or its weights cannot be read.
    """
    run = find_run(path)
    record = read_record(run)
    recipe, summary = record.config, record.summary
    error = next((each for each in record.faults if each.startswith(run.config.name)), None)
    if error is not None:
        raise unreadable(run.config, error.partition(": ")[2], what="recipe")
    files, parities = _files(run.path), read_exports(run)
    states = export_states(run, parities)
    found: dict[str, Any] = {
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
        "synapse": _table(recipe, "synapse"),
        "readout": _table(recipe, "readout"),
        "method": _table(recipe, "method"),
        "files": files,
        "exports": [
            _export(folder, parities.get(folder.name, {}), states.get(folder.name))
            for folder in sorted((run.path / "export").glob("*"))
            if not folder.is_symlink() and not folder.name.startswith(".")
        ],
    }
    found["exports"] = [export for export in found["exports"] if export is not None]
    warnings = [
        f"the export in {export['folder']} {REASONS[export['state']]}"
        for export in found["exports"]
        if export["state"] in REASONS
    ]
    warnings += [f"damaged: {fault}" for fault in record.faults]
    if record.edits:
        warnings.append(f"{run.config.name} was edited after the training: {record.edits}")
    if not os.path.lexists(run.model):
        return {**found, "layers": [], "warnings": [*warnings, "it has no trained weights yet"]}
    found |= _network(run)
    if found["network"].get("name") == "nir":
        found["neuron"] = {}  # its neurons are nodes
    if isinstance(summary.get("parameters"), int):
        found["parameters"] = summary["parameters"]
    return {**found, "warnings": warnings}


def _table(recipe: dict[str, Any], name: str) -> dict[str, Any]:
    found = recipe.get(name)
    return found if isinstance(found, dict) else {}


def _files(folder: Path) -> dict[str, int]:
    """Return sizes by name; links are not followed, and a folder is one entry with its total."""
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


def _export(
    folder: Path, parity: dict[str, Any], state: ExportState | None
) -> dict[str, Any] | None:
    """Return the files of an export, and the result of its verification; None without a folder."""
    if not folder.is_dir():
        return None
    samples, difference = parity.get("samples"), parity.get("first_difference")
    files, found = _files(folder), state or export_state(folder, {}, None)
    return {
        "folder": f"{folder.parent.name}/{folder.name}",
        "files": files,
        "verified": found.verified,
        "state": found.state,
        "file_states": {
            name: found.state if name == "parity.json" else found.files.get(name, UNKNOWN)
            for name in files
        },
        "samples": samples.get("number") if isinstance(samples, dict) else None,
        "first_difference": None if difference is None else sanitize(difference),
    }


def _network(run: Run) -> dict[str, Any]:
    weights = read_weights(run.model)
    require_own_weights(run.model, bytes(weights.data.obj))  # the bytes that were read
    configuration = read_configuration(weights)
    if configuration is None:
        raise DataError(
            f"{run.model} was not written by asnn", why="its header does not describe a network"
        )
    model = configuration["model"]
    return {
        "network": model,
        "in_shape": model.get("in_shape"),
        "classes": model.get("classes"),
        "steps": model.get("steps"),
        "labels": configuration.get("labels") or [],
        "parameters": sum(
            info.count for name, info in weights.tensors.items() if _is_learned(name, model)
        ),
        "layers": _layers(weights, model),
        "schedules": {} if model.get("name") == "nir" else _schedules(weights),
        "poles": _poles(weights),
        "equations": _equations(weights, model),
    }


def _is_learned(name: str, model: dict[str, Any]) -> bool:
    """Return whether a tensor is a parameter that training learns."""
    owner, _, last = name.rpartition(".")
    if model.get("name") == "nir":
        return last in ("weight", "bias", "scale")
    if model.get("name") == "ode" and not _is_learned_of_ode(name, model):
        return False
    if last in ("logit", "ratio"):  # of the poles of neurons and of synapses
        of_neuron = owner.endswith(".neuron")
        options = _table(model, "neuron_options" if of_neuron else "synapse_options")
        by_default = not of_neuron and model.get("synapse") != "traces"
        return bool(options.get("learn", by_default))
    if not owner.endswith(".neuron"):
        return last not in STATISTICS
    if last == "log_tau":
        return bool(_table(model, "neuron_options").get("learn", True))
    if last == "threshold":
        return bool(_table(model, "neuron_options").get("learn_threshold"))
    if last == "raw_amplitude":
        return bool(_table(model, "neuron_options").get("learn_amplitude"))
    return last == "reset_size" or model.get("neuron") != "fixed"


def _is_learned_of_ode(name: str, model: dict[str, Any]) -> bool:
    part = name.removeprefix("body.")
    if part.startswith("readout."):
        return model.get("answer") != "variables"
    if part == "equation.coefficients":
        return bool(model.get("learn_coefficients", True))
    if part == "equation.log_step":
        return bool(model.get("learn_step"))
    return part != "terms.scale" and not part.startswith("equation.first.")


def _layers(weights: Weights, model: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tensors of each layer, by name."""
    found: dict[str, dict[str, Any]] = {}
    for name, info in sorted(weights.tensors.items()):
        layer, tensor = _split_name(name)
        entry = found.setdefault(layer, {"name": layer, "parameters": 0, "shapes": {}})
        entry["shapes"][tensor] = list(info.shape)
        entry["parameters"] += info.count if _is_learned(name, model) else 0
    return list(found.values())


def _split_name(name: str) -> tuple[str, str]:
    """Return the layer of a tensor, and its name in that layer.

    A layer in a branch of a block includes the branch: `block1.main.conv1`, and a node of a NIR
    file the graph that it is in.
    """
    parts = name.removeprefix("body.").split(".")
    end = 2 if parts[0] == IMPORTED else 1
    while end + 1 < len(parts) and parts[end] in BRANCHES:
        end += 2
    return ".".join(parts[:end]), ".".join(parts[end:])


def _equations(weights: Weights, model: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the right side of each equation of a network `ode`: the factor of each term."""
    scale, factors = (
        weights.array(name) if name in weights.tensors else None
        for name in ("body.terms.scale", "body.equation.linear.weight")
    )
    if model.get("name") != "ode" or scale is None or factors is None:
        return {}
    terms = model.get("terms") or [f"x{k}" for k in range(len(scale))]
    if factors.ndim != 2 or not len(terms) == len(scale) == factors.shape[1]:
        return {}
    found = {
        f"z{d}": {str(term): float(w / s) for term, w, s in zip(terms, row, scale, strict=True)}
        for d, row in enumerate(factors)
    }
    bias = weights.array("body.equation.linear.bias") if model.get("bias", True) else None
    if bias is not None and len(bias) == len(found):
        for terms_of, value in zip(found.values(), bias, strict=True):
            terms_of["1"] = terms_of.get("1", 0.0) + float(value)
    return found


def _poles(weights: Weights) -> dict[str, dict[str, list[float]]]:
    """Return least, mean and greatest pole over the channels, by synapse: p, and q below it."""
    found: dict[str, dict[str, list[float]]] = {}
    for name in sorted(weights.tensors):
        layer, tensor = _split_name(name)
        logit, ratio = weights.array(name), None
        if tensor != "logit" or logit is None:
            continue
        poles = {"p": _sigmoid(logit)}
        if name.removesuffix("logit") + "ratio" in weights.tensors:
            ratio = weights.array(name.removesuffix("logit") + "ratio")
        if ratio is not None and ratio.shape == logit.shape:
            poles["q"] = poles["p"] * _sigmoid(ratio)
        found[layer] = {
            key: [float(p.min()), float(p.mean()), float(p.max())]
            for key, p in poles.items()
            if p.size
        }
    return found


def _sigmoid(x: Any) -> Any:
    return (1 + np.tanh(x.astype(np.float64) / 2)) / 2


def _schedules(weights: Weights) -> dict[str, dict[str, list[float]]]:
    """Return the parameters of neurons and readout by step, as means over channels."""
    found: dict[str, dict[str, list[float]]] = {}
    for name in sorted(weights.tensors):
        layer, tensor = _split_name(name)
        key = tensor.removeprefix("neuron.")
        values = weights.array(name)
        if values is None or not (tensor.startswith("neuron.") or name == "body.readout.scale"):
            continue
        if key.startswith("log_"):
            values = np.exp(values)
        steps = values.reshape(len(values), -1).mean(1) if values.ndim else values.reshape(1)
        found.setdefault(layer, {})[key.removeprefix("log_")] = [float(value) for value in steps]
    return found
