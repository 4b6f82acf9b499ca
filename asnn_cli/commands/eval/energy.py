"""Tables of `asnn eval --energy` and `--exit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....core.units import joules, si
from ...terminal import console


def show_energy(found: dict[str, Any], sample: str = "image") -> None:
    """Show operations and energy by layer, beside those of the ANN counterpart.

    Args:
        found: of `energy_beside_ann`.
        sample: the word for one sample, such as `image`.
    """
    total = found["picojoules_per_sample"]
    rows = []
    for layer in found["layers"]:
        effective, dense = sum(layer["effective"]), sum(layer["dense"])
        rows.append(
            [
                layer["name"],
                layer["operation"].upper(),
                si(effective),
                si(dense),
                f"{100 * effective / dense:.1f}" if dense else console.UNKNOWN,
                joules(sum(layer["picojoules"])),
                _share(sum(layer["picojoules"]), total),
            ]
        )
    neurons = sum(sum(layer["picojoules"]) for layer in found["neurons"])
    if neurons:
        updates = si(found["neuron_updates"])
        share = _share(neurons, total)
        rows.append(["neurons", "update", updates, updates, "100.0", joules(neurons), share])
    table = found["table"]
    heads = ["", "", "done", "dense", "of dense, %", "energy", "of total, %"]
    console.table(f"operations and energy of one {sample}, {table['name']}", heads, rows)
    if found["reason"] is None:
        parts = ", ".join(f"{name} {joules(e)}" for name, e in found["picojoules_by_part"].items())
        console.note(f"total {joules(total)}: {parts}; {si(found['bytes_moved'], 'B')} moved")
    else:
        console.note(f"total unknown: {found['reason']}")
    for note in found["notes"]:
        console.note(note)
    _show_comparison(found, sample)
    cost = table["picojoules"]
    console.note(
        f"{found['formula']}, in pJ: mac {cost['mac']:g}, ac {cost['ac']:g}, "
        f"neuron_update {cost['neuron_update']:g}, memory_byte {cost['memory_byte']:g}"
    )
    console.note(f"{table['name']}: {table['description']}. {table['source']}")


def _share(part: float, total: float | None) -> str:
    return f"{100 * part / total:.1f}" if total else console.UNKNOWN


def _or_unknown(value: float | None, form: Callable[[float], str]) -> str:
    return console.UNKNOWN if value is None else form(value)


def _show_comparison(found: dict[str, Any], sample: str) -> None:
    ann, total = found["ann_twin"], found["picojoules_per_sample"]
    rows = [("this network", found), ("ANN, dense", ann["dense"])]
    if ann["trained"] is not None:
        rows.append(("ANN, without zeros", ann["trained"]))
    console.table(
        f"one {sample}",
        ["", "AC", "MAC", "energy", "times this"],
        [
            [
                name,
                _or_unknown(each["accumulates"], si),
                _or_unknown(each["multiply_accumulates"], si),
                _or_unknown(each["picojoules_per_sample"], joules),
                _or_unknown(each["picojoules_per_sample"], lambda e: f"{e / total:.2f}")
                if total
                else console.UNKNOWN,
            ]
            for name, each in rows
        ],
    )
    for name, each in rows[1:]:
        if each["reason"] is not None:
            console.note(f"{name}: unknown: {each['reason']}")


def show_tradeoff(rows: list[dict[str, Any]]) -> None:
    """Show accuracy, steps and energy of each fixed number of steps and each exit rule."""
    console.table(
        "early exits",
        ["", "mean steps", "accuracy, %", "spikes", "energy", "at the last step, %"],
        [
            [
                row["exit"] or f"step {row['steps']:g}",
                f"{row['steps']:.2f}",
                f"{100 * row['accuracy']:.2f}",
                _or_unknown(row["spikes"], "{:,.1f}".format),
                _or_unknown(row["picojoules"], joules),
                f"{100 * row['leaving'][-1]:.1f}" if row["exit"] else "",
            ]
            for row in rows
        ],
    )
