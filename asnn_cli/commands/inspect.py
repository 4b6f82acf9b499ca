"""`asnn inspect`: show the contents of a file or a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from ...core.units import size
from ..terminal import completion, console, options
from ..terminal.tables import shorten

MAX_NAME = 30  # characters in a table
MAX_VALUE = 42
MAX_ROWS = 60


def inspect_file(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE|RUN",
            help="A .onnx, .nir, .safetensors, .npz or .npy file, a recording of events, or the "
            "folder of a run.",
            show_default="the newest run",
            autocompletion=completion.runs,
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show the contents of a file or a run, and warn about what its readers may not support.

    Files are read within bounds of time and memory; damaged and hostile ones are refused.

    Examples:

    asnn inspect

    asnn inspect model.nir

    asnn inspect recording.raw

    asnn inspect export/onnx/model.onnx --json | jq .operators
    """
    from ...inspection import inspect
    from ...records.layout import LATEST, find_run

    if path is None or (path.name == LATEST and not path.exists()):
        path = find_run(path).path
    found = inspect(path)
    if as_json:
        console.print_json(found)
        return
    SHOW[found["kind"]](found)
    if found.get("verification"):
        console.note(f"verification: {found['verification']}")
    for warning in found["warnings"]:
        console.note(f"warning: {_text(warning, 400)}")


def _show_nir(found: dict[str, Any]) -> None:
    parameters = f"{found['parameters']:,} parameters"
    if found["stored_parameters"] != found["parameters"]:
        parameters += f" ({found['stored_parameters']:,} stored)"
    version = f" {found['version']}" if found["version"] else ""
    nodes, edges = sum(found["nodes"].values()), found["edges"]
    _head(found, f"NIR{version}", f"{nodes} nodes, {edges} edges, {parameters}")
    _table("nodes", ["type", "number"], [[k, str(v)] for k, v in found["nodes"].items()])
    heads = ["layer", "type", "shape", "parameters", "tau", "tau_syn", "threshold"]
    rows = [
        [
            _ends(layer["name"], 20),
            layer["type"],
            _text(_shape(layer["shape"]), 14),
            f"{layer['parameters']:,}" if layer["parameters"] else ".",
            _range(layer.get("tau") or layer.get("tau_mem")),
            _range(layer.get("tau_syn")),
            _range(layer.get("v_threshold") or layer.get("threshold")),
        ]
        for layer in found["layers"]
    ]
    used = [i for i in range(len(heads)) if i < 4 or any(row[i] != "." for row in rows)]
    _table("layers", [heads[i] for i in used], [[row[i] for i in used] for row in rows])
    _pairs("metadata", found["metadata"])
    if found["run_by"]:
        console.note(
            f"importers that run it exactly, as far as is known: {', '.join(found['run_by'])}"
        )


def _show_onnx(found: dict[str, Any]) -> None:
    opset = ", ".join(f"{_text(k, 20)} {v}" for k, v in found["opset"].items())
    _head(
        found,
        f"ONNX (opset {opset}; IR {found['ir_version']})",
        f"{found['nodes']:,} nodes, {found['parameters']:,} parameters",
    )
    rows = [
        [_text(value["name"], MAX_NAME), side, value["type"], _shape(value["shape"])]
        for side, key in (("input", "inputs"), ("output", "outputs"))
        for value in found[key]
    ]
    _table("inputs and outputs", ["name", "", "type", "shape"], rows)
    rows = [[_text(name, MAX_NAME), str(count)] for name, count in found["operators"].items()]
    _table("operators", ["operator", "number"], rows)
    _pairs("metadata", found["metadata"])
    for name in ("producer", "doc"):
        if found[name]:
            console.note(f"{name}: {_text(found[name], 300)}")


def _show_weights(found: dict[str, Any]) -> None:
    tensors = found["tensors"]
    _head(found, "safetensors", f"{len(tensors)} tensors, {found['parameters']:,} values")
    rows = [
        [_text(name, 50), tensor["dtype"], _shape(tensor["shape"])]
        for name, tensor in tensors.items()
    ]
    _table("tensors", ["name", "type", "shape"], rows)
    if found["model"]:
        _pairs("model", found["model"])
    _pairs("metadata", found["metadata"])


def _show_arrays(found: dict[str, Any]) -> None:
    arrays = found["arrays"]
    _head(found, f"NumPy, {found['kind']}", f"{len(arrays)} arrays")
    rows = [
        [_text(name or "(array)", MAX_NAME), _text(array["dtype"], 12), _shape(array["shape"])]
        for name, array in arrays.items()
    ]
    _table("arrays", ["name", "type", "shape"], rows)
    if found["spikes"]:
        _show_spike_file(found["spikes"])


def _show_spike_file(text: str) -> None:
    """Show what the metadata of a code say, entry by entry, or as they are if they are no JSON."""
    from ...core.documents import read_json

    try:
        meta = read_json(text)
    except ValueError:
        console.note(f"spikes of `asnn encode`: {_text(text, 400)}")
        return
    shown = {}
    for key, value in meta.items():
        if isinstance(value, dict):  # options of the code, kind and shape of the input
            shown |= {f"{key}: {inner}": value[inner] for inner in value}
        elif isinstance(value, list):
            shown[key] = ", ".join(map(str, value))
        elif value is not None:
            shown[key] = value
    _pairs("spikes of `asnn encode`", shown)


def _show_events(found: dict[str, Any]) -> None:
    events, recordings = found["events"], found["recordings"]
    many = f" in {recordings:,} recordings" if recordings != 1 else ""
    _head(found, f"{found['format']} recording", f"{events:,} events{many}")
    rows = [["first and last event", _interval(found["first_us"], found["last_us"])]]
    if recordings == 1:
        rows.append(["duration", _milliseconds(found["duration_us"])])
    elif recordings:
        per = found["events_per_recording"]
        rows.append(["events per recording", f"{per[0]:,} to {per[1]:,}"])
        low, high = found["durations_us"]
        rows.append(["duration of a recording", _interval(low, high)])
    rate, share = found["events_per_second"], found["on_share"]
    if rate is not None:
        rows.append(["event rate", f"{rate:,.0f} events/s"])
    rows += [[key, f"{found[key][0]} to {found[key][1]}"] for key in "xy" if found[key]]
    sensor = found["sensor"]
    stated = f"{sensor[0]} x {sensor[1]} (height x width)" if sensor else "not stated"
    rows.append(["sensor", stated])
    if share is not None:
        rows.append(["on events", f"{share:.1%}"])
    _table("events", ["", ""], rows)
    labels = found["labels"] or {}
    rows = [[_text(name, MAX_NAME), f"{count:,}"] for name, count in labels.items()]
    _table("classes", ["class", "recordings"], rows)


def _interval(low: int | None, high: int | None) -> str:
    if low is None or high is None:
        return console.UNKNOWN
    return f"{_milliseconds(low)} to {_milliseconds(high)}"


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:,.3f} ms"


def _show_run(found: dict[str, Any]) -> None:
    state = "finished" if found["finished"] else "unfinished"
    parameters = f", {found['parameters']:,} parameters" if "parameters" in found else ""
    _head(found, f"run of {_text(found['recipe'], MAX_NAME)}", f"{state}{parameters}")
    for name in ("model", "coding", "neuron"):
        _pairs(name, {key: _number_of(key, each) for key, each in found[name].items()})
    for name, default in (("synapse", "none"), ("readout", "mean"), ("method", "bptt")):
        if found[name].get("name", default) != default:
            _pairs(name, found[name])
    rows = [
        [
            _ends(layer["name"], 24),
            f"{layer['parameters']:,}",
            _text(" ".join(_weights(layer["shapes"])) or ".", 44),
        ]
        for layer in found["layers"]
    ]
    _table("layers", ["layer", "parameters", "weights"], rows)
    _show_schedules(found.get("schedules", {}))
    rows = [
        [f"{key} {_ends(layer, 22)}", *(f"{value:.4f}" for value in values)]
        for layer, by_name in found.get("poles", {}).items()
        for key, values in by_name.items()
    ]
    _table("poles of synapses", ["", "least", "mean", "greatest"], rows)
    equations = found.get("equations") or {}
    for terms in list(equations.values())[:1]:
        rows = [
            [_ends(term, 22), *(f"{right.get(term, 0.0):.4g}" for right in equations.values())]
            for term in terms
        ]
        _table("right sides of the equations", ["", *equations], rows)
    rows = [[_text(name, MAX_NAME), size(count)] for name, count in found["files"].items()]
    _table("files", ["file", "size"], rows)
    rows = [
        [_text(f"{export['folder']}/{name}", 50), size(count), export["file_states"][name]]
        for export in found["exports"]
        for name, count in export["files"].items()
    ]
    _table("exports", ["file", "size", "state"], rows)


def _number_of(key: str, value: Any) -> Any:
    """Return the number of nodes and edges of an imported network, and other values as they are."""
    return len(value) if key in ("nodes", "edges") and hasattr(value, "__len__") else value


def _show_schedules(schedules: dict[str, dict[str, list[float]]]) -> None:
    amplitudes = [
        [_ends(layer, 24), f"{fmean(by_name['raw_amplitude']):.4g}"]
        for layer, by_name in schedules.items()
        if by_name.get("raw_amplitude")
    ]
    _table("amplitudes of spikes", ["layer", "mean"], amplitudes)
    rows = [
        [f"{_text(name, 12)} {_ends(layer, 22)}", *(f"{value:.3f}" for value in values)]
        for layer, by_name in schedules.items()
        for name, values in by_name.items()
        if len(values) > 1 and name != "raw_amplitude"
    ]
    steps = max((len(row) - 1 for row in rows), default=0)
    shown = [row + [""] * (steps + 1 - len(row)) for row in rows]
    _table("by step", ["", *(f"t={t}" for t in range(1, steps + 1))], shown)


SHOW = {
    "nir": _show_nir,
    "onnx": _show_onnx,
    "safetensors": _show_weights,
    "npz": _show_arrays,
    "npy": _show_arrays,
    "events": _show_events,
    "run": _show_run,
}


def _head(found: dict[str, Any], kind: str, contents: str) -> None:
    console.heading(f"{_text(found['path'])}: {kind}, {contents}, {size(found['size'])}")


def _pairs(title: str, pairs: dict[str, Any]) -> None:
    """Show named values as a table of two columns, if there are any."""
    rows = [[_text(key, MAX_NAME), _text(value, MAX_VALUE)] for key, value in pairs.items()]
    _table(title, ["", ""], rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show a table, if it has rows."""
    if not rows:
        return
    console.table(title, columns, rows[:MAX_ROWS])
    if len(rows) > MAX_ROWS:
        console.note(f"and {len(rows) - MAX_ROWS:,} more: --json lists all")


def _text(value: Any, width: int = 120) -> str:
    from ...formats.errors import sanitize

    return sanitize(value, width)


def _ends(name: Any, width: int) -> str:
    """Return both ends of a layer's name: its block and its own name."""
    return shorten(_text(name, 10 * width), width)


def _shape(shape: Sequence[Any] | None) -> str:
    return "?" if shape is None else _text("[" + ", ".join(map(str, shape)) + "]", 24)


def _weights(shapes: dict[str, list[int]]) -> list[str]:
    return [_shape(shape) for name, shape in shapes.items() if name.endswith("weight")]


def _range(values: list[float] | None) -> str:
    if not values:
        return "."
    low, high = values
    return f"{low:.4g}" if low == high else _text(f"{low:.2g}..{high:.2g}", 14)
