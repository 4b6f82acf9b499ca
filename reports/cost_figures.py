"""Figures of accuracy and cost, of one run and of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from ..measure.early_exit import decided_when
from ..measure.figures.labels import ABOVE, place_labels
from ..measure.figures.style import (
    SERIES,
    as_label,
    labelled,
    line,
    panel,
    style,
    whole_ticks,
    write,
)
from .drawing import FULL, HALF, Drawing
from .wording import energy, energy_unit, percent, truncate, with_article

Document = dict[str, Any]
T = TypeVar("T")

MAX_LEGEND = 52  # characters of a label, in a figure of half the width


def accuracy_by_step(accuracies: Sequence[float], steps: Sequence[int]) -> Drawing:
    """Return a figure of accuracy after some steps."""
    with style():
        figure, axes = panel(HALF)
        axes.set_title("Accuracy after each step, %")
        values = [100 * value for value in accuracies]
        axes.plot(steps, values, **line(0))
        axes.set_xlabel("steps")
        whole_ticks(axes.xaxis)
        axes.margins(x=0.08, y=0.2)
        marked = labelled(list(zip(steps, values, strict=True)))
        place_labels(axes, [(f"{value:.1f}", (t, value)) for t, value in marked], ABOVE)
    first, last = percent(accuracies[0], 1), percent(accuracies[-1], 1)
    verb = "rises" if accuracies[-1] > accuracies[0] else "goes"
    return Drawing(
        figure, f"Accuracy {verb} from {first} at step {steps[0]} to {last} at step {steps[-1]}."
    )


def accuracy_over_time(points: Sequence[Document]) -> Drawing:
    """Return a figure of the samples that are decided by a real time, and of the correct ones.

    Args:
        points: of `asnn.tasks.outcomes.accuracy_over_time`.
    """
    with style():
        figure, axes = panel(HALF)
        axes.set_title("Answers by real time, % of all samples")
        times = [point["time"] for point in points]
        for i, key in enumerate(("decided", "accuracy")):
            label = {"decided": "decided", "accuracy": "decided and correct"}[key]
            axes.plot(times, [100 * point[key] for point in points], **line(i), label=label)
        axes.set_xlabel("time")
        axes.set_xlim(left=0)
        axes.set_ylim(0, 102)
        axes.legend(loc="upper left")
    last = points[-1]
    return Drawing(
        figure,
        f"By the time {last['time']:.4g}, {percent(last['decided'], 1)} of the samples are "
        f"decided, {percent(last['accuracy'], 1)} correctly.",
    )


def tradeoff_figure(
    tradeoff: Sequence[Document], sample: str = "image", decision: Document | None = None
) -> Drawing:
    """Return a figure of accuracy against energy, for fixed steps and for early exit.

    Args:
        tradeoff: of fixed steps and of exit rules.
        sample: the word for one sample.
        decision: the same of the decisions of a readout; None if it decides after the last step.
    """
    unit, size = energy_unit(max(each["picojoules"] for each in tradeoff))
    kinds = {
        "fixed number of steps": [each for each in tradeoff if each["exit"] is None],
        "early exit by confidence": [each for each in tradeoff if each["exit"] is not None],
    }
    own = {} if decision is None else {"decision of the readout": [{**decision, "exit": "="}]}
    with style():
        figure, axes = panel(HALF)
        axes.set_title("Accuracy against energy, %")
        labels: list[tuple[str, tuple[float, float]]] = []
        for i, (label, points) in enumerate({**kinds, **own}.items()):
            if not points:
                continue
            x = [each["picojoules"] / size for each in points]
            y = [100 * each["accuracy"] for each in points]
            axes.plot(x, y, **line(i), label=label)
            labels += [
                (f"t = {each['steps']:.0f}" if i == 0 else each["exit"].partition("=")[2], at)
                for each, at in zip(points, zip(x, y, strict=True), strict=True)
            ]
        axes.set_xlabel(f"energy per {sample}, {unit}")
        axes.margins(x=0.14, y=0.16)
        axes.legend()
        place_labels(axes, labels)
    fixed, early = kinds.values()
    all_steps = fixed[-1]
    alt = (
        f"Accuracy against energy. All {len(fixed)} steps: {percent(all_steps['accuracy'], 1)} for "
        f"{energy(all_steps['picojoules'])} {with_article(sample)}."
    )
    if early:
        best = max(early, key=lambda each: (each["accuracy"], -each["picojoules"]))
        alt += (
            f" Early exit at {best['exit'].replace('=', ' ')}: {percent(best['accuracy'], 1)} for "
            f"{energy(best['picojoules'])} and {best['steps']:.2f} steps on average."
        )
    if decision is not None:
        alt += (
            f" The readout decides {decided_when(decision)} on average: "
            f"{percent(decision['accuracy'], 1)} for {energy(decision['picojoules'])}."
        )
    return Drawing(figure, alt)


def energy_by_layer(parts: Sequence[tuple[str, float]], sample: str = "image") -> Drawing:
    """Return a figure with a bar for each layer.

    Args:
        parts: names, and picojoules per sample.
        sample: the word for one sample.
    """
    total = sum(value for _, value in parts)
    unit, size = energy_unit(max(value for _, value in parts))
    with style():
        figure, axes = panel((FULL, 0.7 + 0.28 * len(parts)))
        axes.set_title(f"Energy per {sample} by layer, {unit}")
        names = [as_label(name) for name, _ in parts]
        values = [value / size for _, value in parts]
        rows = range(len(parts))
        axes.barh(rows, values, color=SERIES[0], height=0.66)
        axes.set_yticks(rows, names)
        axes.set_ylim(len(parts) - 0.4, -0.6)
        for row, (_, value) in zip(rows, parts, strict=True):
            share = percent(value / total if total else 0, 1)
            write(axes, f"{energy(value)}, {share}", (value / size, row), (5, 0), "left", "center")
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.22)
        axes.set_xlim(left=0)
    top = max(parts, key=lambda part: part[1])
    share = percent(top[1] / total if total else 0, 1)
    return Drawing(
        figure,
        f"Energy per {sample} by layer, {energy(total)} in all. {top[0]} needs most: "
        f"{energy(top[1])}, {share}.",
    )


def accuracy_of_runs(accuracies: Sequence[tuple[str, list[tuple[int, float]]]]) -> Drawing:
    """Return a figure of accuracy after each step, with a line for each run that has values.

    Args:
        accuracies: for each run its label, and steps with the accuracy after them.
    """
    runs = _with_values(accuracies)
    with style():
        figure, axes = _panel_of_runs([name for _, name, _ in runs])
        axes.set_title("Accuracy after each step, %")
        for i, name, points in runs:
            steps, values = zip(*points, strict=True)
            axes.plot(steps, [100 * v for v in values], **line(i), label=_legend(name))
        axes.set_xlabel("steps")
        whole_ticks(axes.xaxis)
        figure.legend(loc="outside lower left")
    said = [
        f"{name} from {percent(points[0][1], 1)} to {percent(points[-1][1], 1)}"
        for _, name, points in runs
    ]
    return Drawing(figure, f"Accuracy from the first step to the last: {'; '.join(said)}.")


def over_time_of_runs(found: Sequence[tuple[str, list[Document]]]) -> Drawing:
    """Return a figure of accuracy over real time, with a line for each run that has values."""
    runs = _with_values(found)
    with style():
        figure, axes = _panel_of_runs([name for _, name, _ in runs])
        axes.set_title("Accuracy by real time, %")
        for i, name, points in runs:
            times = [point["time"] for point in points]
            values = [100 * point["accuracy"] for point in points]
            axes.plot(times, values, **line(i), label=_legend(name))
        axes.set_xlabel("time")
        axes.set_xlim(left=0)
        figure.legend(loc="outside lower left")
    said = [
        f"{name} {percent(points[-1]['accuracy'], 1)} by {points[-1]['time']:.4g}"
        for _, name, points in runs
    ]
    return Drawing(figure, f"Accuracy by real time: {'; '.join(said)}.")


def tradeoff_of_runs(
    tradeoffs: Sequence[tuple[str, list[Document]]], sample: str = "image"
) -> Drawing:
    """Return a figure of accuracy against energy after each step, with a line for each run.

    Args:
        tradeoffs: names, and the points of fixed steps.
        sample: the word for one sample.
    """
    fixed = _with_values(
        [(name, [e for e in found if e["exit"] is None]) for name, found in tradeoffs]
    )
    unit, size = energy_unit(max(e["picojoules"] for _, _, found in fixed for e in found))
    with style():
        figure, axes = _panel_of_runs([name for _, name, _ in fixed])
        axes.set_title("Accuracy against energy, %")
        for i, name, found in fixed:
            x = [each["picojoules"] / size for each in found]
            y = [100 * each["accuracy"] for each in found]
            axes.plot(x, y, **line(i), label=_legend(name))
            axes.plot(x[-1:], y[-1:], **{**line(i), "markersize": 9})
        axes.set_xlabel(f"energy per {sample}, {unit}")
        figure.legend(loc="outside lower left")
    said = [
        f"{name} {percent(found[-1]['accuracy'], 1)} for {energy(found[-1]['picojoules'])}"
        for _, name, found in fixed
    ]
    return Drawing(figure, f"Accuracy and energy per {sample} with all steps: {'; '.join(said)}.")


def _with_values(runs: Sequence[tuple[str, list[T]]]) -> list[tuple[int, str, list[T]]]:
    """Return the number, name and values of each run that has values."""
    return [(i, name, values) for i, (name, values) in enumerate(runs) if values]


def _panel_of_runs(names: Sequence[str]) -> Any:
    """Return a figure with one panel and space below it for a legend with a line for each run."""
    return panel((HALF[0], 3.1 + 0.18 * len(names)))


def _legend(name: str) -> str:
    return as_label(truncate(name, MAX_LEGEND))
