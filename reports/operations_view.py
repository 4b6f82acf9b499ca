"""What the page shows of operations and energy: a row for each layer, and what they come to."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from . import cost_figures
from .collect import Document, RunReport
from .drawing import Drawing
from .wording import UNKNOWN, energy, listed, percent, whole

UNITS = {
    "mac": "MAC",
    "ac": "AC",
    "neuron_update": "update of a neuron",
    "memory_byte": "byte moved",
}


def operations(report: RunReport, picture: Callable[[Drawing], Markup]) -> Document:
    """Return operations and energy of all layers, in their order.

    Args:
        report: all that is known of the run.
        picture: draws a figure.
    """
    found = report.energy
    rows: list[Document] = []
    bars: list[tuple[str, float]] = []
    for layer, count in zip(found["layers"], report.counts.layers, strict=True):
        done = sum(layer["effective"])
        inputs = float(count.inputs.sum())
        spends = sum(layer["picojoules"])
        rows.append(
            {
                "name": layer["name"],
                "kind": f"{layer['kind']}, {layer['given']}",
                "weights": whole(layer["weights"]) if layer["weights"] else "·",
                "ac": whole(round(done)) if layer["operation"] == "ac" else "·",
                "mac": whole(round(done)) if layer["operation"] == "mac" else "·",
                "dense": whole(round(sum(layer["dense"]))),
                "rate": f"{float(count.events.sum()) / inputs:.4f}" if inputs else UNKNOWN,
                "updates": "·",
                "bytes": whole(round(sum(layer["bytes"]))),
                "energy": energy(spends),
            }
        )
        bars.append((layer["name"], spends))
    for neurons in found["neurons"]:
        spends, updates = sum(neurons["picojoules"]), sum(neurons["updates"])
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
                    "updates": whole(round(updates)),
                    "bytes": whole(round(sum(neurons["bytes"]))),
                    "energy": energy(spends),
                }
            )
        if spends:
            bars.append((f"{neurons['name']} (neurons)", spends))
    costs = found["table"]["picojoules"]
    return {
        "operations": rows,
        "totals": {
            "ac": whole(round(found["accumulates"])),
            "mac": whole(round(found["multiply_accumulates"])),
            "dense": whole(round(sum(sum(layer["dense"]) for layer in found["layers"]))),
            "weights": whole(sum(layer["weights"] for layer in found["layers"])),
            "updates": whole(round(found["neuron_updates"])),
            "bytes": whole(round(found["bytes_moved"])),
            "energy": energy(found["picojoules_per_sample"]),
        },
        "parts": listed([f"{of} {energy(e)}" for of, e in found["picojoules_by_part"].items()]),
        "bars": picture(cost_figures.energy_by_layer(bars)) if any(v for _, v in bars) else None,
        "table": found["table"],
        "formula": found["formula"],
        "twin": energy(report.twin),
        "costs": listed([f"{cost:g} pJ per {UNITS[of]}" for of, cost in costs.items() if cost]),
        "sparsity": percent(found["activation_sparsity"], 1),
        "connections": percent(found["connection_sparsity"], 1),
    }
