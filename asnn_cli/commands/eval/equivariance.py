"""The tables of `asnn eval --equivariance`."""

from __future__ import annotations

from typing import Any

from ....core.metric import Metric
from ...terminal import console

TRANSFORMS_PER_TABLE = 5  # fits 80 columns


def show_equivariance(rows: list[dict[str, Any]], metric: Metric) -> None:
    """Show which share of answers and spikes a transform of the samples leaves as it is.

    Args:
        rows: of `measure.equivariance`.
        metric: the primary metric of the task.
    """

    def figure(value: float | None) -> str:
        return console.UNKNOWN if value is None else metric.figure(value)

    for begin in range(0, len(rows), TRANSFORMS_PER_TABLE):
        part = rows[begin : begin + TRANSFORMS_PER_TABLE]
        shown = [
            [metric.axis, *(figure(row[metric.name]) for row in part)],
            ["equal answers, %", *(_share(row["equal_answers"]) for row in part)],
            ["change of outputs, %", *(_share(row["output_change"]) for row in part)],
        ]
        shown += [
            [
                f"equal spikes {name}, %",
                *(_share(row["layers"][name]["equal_spikes"]) for row in part),
            ]
            for name in part[0]["layers"]
        ]
        heads = [f"{row['transform']} {row['amount'] or ''}".strip() for row in part]
        console.table("equivariance: samples turned, flipped or moved", ["", *heads], shown)
    fractions = {
        f"{row['transform']} {row['amount']}"
        for row in rows
        if any(layer["differing"] is None for layer in row["layers"].values())
    }
    for each in sorted(fractions):
        console.note(f"{each} is not a whole number of pixels of every layer")


def _share(value: float | None) -> str:
    return console.UNKNOWN if value is None else f"{100 * value:.2f}"
