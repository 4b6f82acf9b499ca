"""Tables of `asnn eval`: by step, confusion, calibration."""

from __future__ import annotations

from typing import Any

from ...terminal import console
from .corrupt import show_robustness
from .energy import show_energy, show_tradeoff
from .latency import show_latency

MAX_CLASSES_SHOWN = 10
ERRORS_SHOWN = 5


def show_evaluation(
    result: Any,
    learned: dict[str, dict[str, list[float]]],
    classes: list[str],
    content: dict[str, Any],
) -> None:
    """Show an evaluation.

    Args:
        result: the evaluation.
        learned: schedules by layer and name.
        classes: names of the classes.
        content: the optional parts, as in the JSON object.
    """
    _show_steps(result, learned)
    _show_confusion(result.confusion, classes)
    if "energy" in content:
        show_energy(content["energy"])
    if "exits" in content:
        show_tradeoff(content["exits"])
    if "calibration" in content:
        _show_calibration(content["calibration"], result.calibration_error)
    if "corruption" in content:
        show_robustness(content["corruption"])
    if "latency" in content:
        show_latency(content["latency"])
    console.heading(
        f"accuracy {console.percent(result.accuracy)} of {result.samples:,} samples, "
        f"loss {result.loss:.4f}, spike rate {result.spike_rate:.4f}, "
        f"{result.samples_per_second:,.0f} samples/s"
    )


def _show_steps(result: Any, learned: dict[str, dict[str, list[float]]]) -> None:
    """Show accuracy, spike rates and learned schedules by step."""
    figures: dict[str, list[str]] = {
        "accuracy so far, %": [f"{100 * value:.2f}" for value in result.accuracy_per_step]
    }
    for layer, rates in result.spike_rates.items():
        figures[f"spike rate {layer}"] = [f"{rate:.4f}" for rate in rates]
    for layer, by_name in learned.items():
        for name, values in by_name.items():
            if len(values) > 1:
                figures[f"{name} {layer}"] = [f"{value:.3f}" for value in values]
    steps = len(result.accuracy_per_step)
    rows = [[name, *values[:steps]] for name, values in figures.items()]  # schedules have all steps
    console.table("by step", ["", *(f"t={t}" for t in range(1, steps + 1))], rows)


def _show_confusion(confusion: list[list[int]], classes: list[str]) -> None:
    """Show the confusion matrix, or the most frequent errors where there are many classes."""
    from ....measure.outcomes import worst_pairs

    if len(classes) <= MAX_CLASSES_SHOWN:
        rows = [
            [name[:12], *(str(count) if count else "." for count in row)]
            for name, row in zip(classes, confusion, strict=True)
        ]
        heads = [name[:5] for name in classes]
        console.table("confusion: true class by row, predicted class by column", ["", *heads], rows)
    else:
        errors = worst_pairs(confusion)[:ERRORS_SHOWN]
        rows = [[classes[true], classes[other], str(count)] for count, true, other in errors]
        console.table("most frequent errors", ["true", "predicted", "samples"], rows)


def _show_calibration(bins: list[dict[str, Any]], error: float) -> None:
    rows = [
        [
            f"{b['low']:.2f} to {b['high']:.2f}",
            f"{b['samples']:,}",
            f"{100 * b['confidence']:.2f}",
            f"{100 * b['accuracy']:.2f}",
            f"{100 * (b['accuracy'] - b['confidence']):+.2f}",
        ]
        for b in bins
        if b["samples"]
    ]
    title = f"calibration: expected error {100 * error:.2f} %"
    console.table(title, ["confidence", "samples", "mean, %", "accuracy, %", "difference"], rows)
