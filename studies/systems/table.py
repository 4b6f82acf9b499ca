"""The table of a comparison: means over seeds, and differences from its first row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from asnn.sweeps.comparison import holm, paired

Figures = Mapping[int, Mapping[str, Any]]  # by seed

HEADS = (
    "system", "accuracy, %", "difference (95 %)", "p", "steps", "accuracy then, %", "spikes then",
    "energy then, µJ", "CPU s", "peak MiB",
)  # fmt: skip


def table(rows: Mapping[str, Figures]) -> str:
    """Return the rows as a table in Markdown; the first is the one that others are compared with.

    The difference in accuracy is paired over seeds; p is of Student's t-test with Holm's correction
    over the rows.
    """
    names = [name for name, figures in rows.items() if figures]
    if not names:
        return "nothing is finished\n"
    base = rows[names[0]]
    tests = [_paired(rows[name], base) for name in names[1:]]
    corrected = [None, *holm([test["p"] for test in tests])]
    lines = [f"| {' | '.join(HEADS)} |", f"|---{'|---:' * (len(HEADS) - 1)}|"]
    for name, test, p in zip(names, [None, *tests], corrected, strict=True):
        lines.append(f"| {' | '.join(_cells(name, rows[name], test, p))} |")
    return "\n".join(lines) + "\n"


def _paired(figures: Figures, base: Figures) -> dict[str, Any]:
    seeds = [seed for seed in figures if seed in base]
    return paired([100 * (figures[s]["accuracy"] - base[s]["accuracy"]) for s in seeds], size=100.0)


def _cells(
    name: str, figures: Figures, test: dict[str, Any] | None, p: float | None
) -> Sequence[str]:
    def of(key: str) -> list[float]:
        values = [each[key] for each in figures.values()]
        return [] if any(value is None for value in values) else values

    def mean(key: str, form: str, scale: float = 1.0) -> str:
        values = of(key)
        return form.format(scale * fmean(values)) if values else "–"

    accuracy = [100 * value for value in of("accuracy")]
    spread = f" ± {stdev(accuracy):.2f}" if len(accuracy) > 1 else ""
    difference = ""
    if test is not None and test["difference"] is not None:
        difference = f"{test['difference']:+.2f}"
        if test["low"] is not None:
            difference += f" ({test['low']:+.1f} to {test['high']:+.1f})"
    return (
        name,
        f"{fmean(accuracy):.2f}{spread}",
        difference,
        "" if p is None else f"{p:.3f}",
        mean("steps", "{:.2f}"),
        mean("accuracy_then", "{:.2f}", 100),
        mean("spikes_then", "{:,.0f}"),
        mean("picojoules_then", "{:.2f}", 1e-6),
        mean("cpu_seconds", "{:.0f}"),
        mean("peak_mib", "{:.0f}"),
    )
