"""Operations and energy on the page: a row for each layer, and totals."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from ..core.text import printable
from . import cost_figures
from .collect import Document, RunReport
from .drawing import Drawing
from .wording import UNKNOWN, energy, listed, number, percent

UNITS = {
    "mac": "MAC",
    "ac": "AC",
    "neuron_update": "neuron update",
    "memory_byte": "byte moved",
}


def operations(report: RunReport, svg: Callable[[Drawing], Markup]) -> Document:
    """Return operations and energy of all layers in order.

    Args:
        report: of the run.
        svg: returns a figure as SVG.
    """
    found = report.energy
    rows: list[Document] = []
    bars: list[tuple[str, float]] = []
    for layer, count in zip(found["layers"], report.counts.layers, strict=True):
        effective = sum(layer["effective"])
        inputs = float(count.inputs.sum())
        picojoules = sum(layer["picojoules"])
        rows.append(
            {
                "name": layer["name"],
                "kind": f"{layer['kind']}, {layer['given']}",
                "weights": number(layer["weights"]) if layer["weights"] else "·",
                "ac": number(round(effective)) if layer["operation"] == "ac" else "·",
                "mac": number(round(effective)) if layer["operation"] == "mac" else "·",
                "dense": number(round(sum(layer["dense"]))),
                "rate": f"{float(count.events.sum()) / inputs:.4f}" if inputs else UNKNOWN,
                "updates": "·",
                "bytes": number(round(sum(layer["bytes"]))),
                "energy": energy(picojoules),
            }
        )
        bars.append((layer["name"], picojoules))
    for neurons in found["neurons"]:
        picojoules, updates = sum(neurons["picojoules"]), sum(neurons["updates"])
        if updates:
            rows.append(
                {
                    "name": neurons["name"],
                    "kind": "neurons",
                    "weights": "·",
                    "ac": "·",
                    "mac": "·",
                    "dense": "·",
                    "rate": UNKNOWN,
                    "updates": number(round(updates)),
                    "bytes": number(round(sum(neurons["bytes"]))),
                    "energy": energy(picojoules),
                }
            )
        if picojoules:
            bars.append((f"{neurons['name']} (neurons)", picojoules))
    costs = found["table"]["picojoules"]
    return {
        "operations": rows,
        "totals": {
            "ac": _whole(found["accumulates"]),
            "mac": _whole(found["multiply_accumulates"]),
            "dense": number(round(sum(sum(layer["dense"]) for layer in found["layers"]))),
            "weights": number(sum(layer["weights"] for layer in found["layers"])),
            "updates": number(round(found["neuron_updates"])),
            "bytes": _whole(found["bytes_moved"]),
            "energy": energy(found["picojoules_per_sample"]),
        },
        "parts": listed([f"{of} {energy(e)}" for of, e in found["picojoules_by_part"].items()]),
        "bars": svg(cost_figures.energy_by_layer(bars, report.data.spec.one))
        if any(v for _, v in bars)
        else None,
        "table": found["table"],
        "formula": found["formula"],
        "ann": energy(report.dense_ann["picojoules_per_sample"]),
        "ann_reason": report.dense_ann["reason"] and printable(report.dense_ann["reason"]),
        "costs": listed([f"{cost:g} pJ per {UNITS[of]}" for of, cost in costs.items() if cost]),
        "sparsity": percent(found["activation_sparsity"], 1),
        "connections": percent(found["connection_sparsity"], 1),
    }


def _whole(value: float | None) -> str:
    return UNKNOWN if value is None else number(round(value))
