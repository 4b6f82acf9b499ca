"""Tables of `asnn eval`: by step, confusion, calibration."""

from __future__ import annotations

from typing import Any

from ....core.metric import ACCURACY
from ....core.units import joules
from ...terminal import console
from .corrupt import show_robustness
from .energy import show_energy, show_tradeoff
from .equivariance import show_equivariance
from .latency import show_latency

MAX_CLASSES_SHOWN = 10
ERRORS_SHOWN = 5
MAX_STEPS_SHOWN = 64


def show_evaluation(
    result: Any,
    learned: dict[str, dict[str, list[float]]],
    task: Any,
    content: dict[str, Any],
    spec: Any,
) -> None:
    """Show an evaluation.

    Args:
        result: the evaluation.
        learned: schedules by layer and name.
        task: what the network was asked.
        content: the optional parts, as in the JSON object.
        spec: of the samples.
    """
    from ....measure.early_exit import decided_when

    _show_steps(result, learned, task, content.get("output_steps"))
    if "output_steps" in content:
        ends = ", ".join(map(str, content["output_steps"]))
        console.note(f"an output is known at the end of each window, after step {ends}")
    if "steps_before" in content:
        before = content["steps_before"]
        steps = before + len(next(iter(result.spike_rates.values())))
        console.note(
            f"layers fire in windows, one after the other: the outputs of step t come {before} + t "
            f"steps after the beginning, the answer after {steps}; spikes are by step of the "
            "window of each layer"
        )
    if "confusion" in result.values:
        _show_confusion(result.confusion, task.classes)
    if "class_scores" in content:
        _show_class_scores(content["class_scores"])
    if result.outcomes is None:
        _show_metrics(result.values, task)
    if "energy" in content:
        show_energy(content["energy"], spec.one)
    if "exits" in content:
        show_tradeoff(content["exits"])
    if content.get("decision", {}).get("picojoules") is not None:
        decision = content["decision"]
        console.note(
            f"up to the decision, {decided_when(decision)} on average: "
            f"{joules(decision['picojoules'])} a sample"
        )
    if "calibration" in content:
        _show_calibration(content["calibration"], result.calibration_error)
    if "corruption" in content:
        show_robustness(content["corruption"], task.primary, has_spikes=bool(result.spike_rates))
    if "equivariance" in content:
        show_equivariance(content["equivariance"], task.primary)
    if "repeats" in content:
        _show_repeats(content["repeats"], task)
    if "latency" in content:
        show_latency(content["latency"], spec.one, spec.many, has_classes=task.one_class)
    if "mean_step" in result.values:
        spikes = result.spikes_to_decision
        sent = "" if spikes is None else f", {spikes:,.1f} spikes until then"
        console.note(
            f"decided after {result.values['mean_step']:.2f} steps in the mean{sent}, "
            f"{console.percent(result.values['undecided'])} undecided"
        )
    if "accuracy_over_time" in result.values:
        _show_times(result)
    if result.burst_shares:
        shares = (f"{name} {console.percent(v)}" for name, v in result.burst_shares.items())
        console.note(f"neurons and steps with more than one spike: {', '.join(shares)}")
    for name, share in result.overflows.items():
        if share:
            console.note(f"{name}: {console.percent(share)} of the neurons would fire more often")
    for name, nats in result.divergence.items():
        console.note(f"{name} tells at most {nats:.1f} nats of a sample on average")
    if content.get("top_k"):
        share = console.percent(content["top_k_accuracy"])
        console.note(f"top-{content['top_k']} accuracy {share}")
    metric = task.primary
    value = result.values[metric.name]
    rate = f"{result.spike_rate:.4f}" if result.spike_rates else console.UNKNOWN
    console.heading(
        f"{metric.title} {console.UNKNOWN if value is None else metric.text(value)} of "
        f"{result.samples:,} samples, loss {result.loss:.4f}, spike rate {rate}, "
        f"{result.samples_per_second:,.0f} samples/s"
    )


def _show_steps(
    result: Any, learned: dict[str, dict[str, list[float]]], task: Any, ends: list[int] | None
) -> None:
    """Show the metrics so far, spike rates and learned schedules by step.

    Args:
        result: the evaluation.
        learned: schedules by layer and name.
        task: what the network was asked.
        ends: the steps after which an output is known; None for all.
    """
    of_steps = (*result.spike_rates.values(), *(v for by in learned.values() for v in by.values()))
    steps = len(next((values for values in of_steps if len(values) > 1), []))
    total = max(map(len, of_steps), default=0)  # also where fewer steps were evaluated
    figures: dict[str, list[str]] = {}
    for name, values in result.values.items():
        if name.endswith("_per_step") and None not in values:
            steps = ends[-1] if ends else len(values)
            metric = task.metric(name.removesuffix("_per_step"))
            figures[f"{metric.title} so far{', %' if metric.percent else ''}"] = _at_ends(
                [metric.figure(value) for value in values], ends
            )
    if "accuracy_of_each_step" in result.values and steps > 1:
        figures["accuracy alone, %"] = _at_ends(
            [ACCURACY.figure(value) for value in result.values["accuracy_of_each_step"]], ends
        )
    if steps > MAX_STEPS_SHOWN or not steps:
        return  # a table of a hundred columns shows nothing; --json has all steps
    for layer, rates in result.spike_rates.items():
        shown = [f"{rate:.4f}" for rate in rates]
        behind = ends and len(rates) == len(ends)  # layers behind the accumulator
        figures[f"spike rate {layer}"] = _at_ends(shown, ends) if behind else shown
    for layer, by_name in learned.items():
        for name, values in by_name.items():
            if len(values) > 1:
                shown = [f"{value:.3f}" for value in values]
                if ends and len(values) * ends[0] == total:
                    shown = _at_ends(shown[: len(ends)], ends)
                figures[f"{name} {layer}"] = shown
    rows = [[name, *values[:steps]] for name, values in figures.items()]  # schedules have all steps
    console.table("by step", ["", *(f"t={t}" for t in range(1, steps + 1))], rows)


def _at_ends(shown: list[str], ends: list[int] | None) -> list[str]:
    """Return figures at the steps after which they are known, and nothing between."""
    if not ends:
        return shown
    at = dict(zip(ends, shown, strict=True))
    return [at.get(t, "") for t in range(1, ends[-1] + 1)]


def _show_times(result: Any) -> None:
    """Show the accuracy of the answers that are given by a real time."""
    values, spikes = result.values, result.spikes_to_decision
    rows = [
        [f"{100 * point[key]:.2f}" for point in values["accuracy_over_time"][1::2]]
        for key in ("decided", "accuracy")
    ]
    times = [f"t={point['time']:.3g}" for point in values["accuracy_over_time"][1::2]]
    if times:
        heads = ("decided, %", "accuracy, %")
        console.table(
            "by time", ["", *times], [[head, *row] for head, row in zip(heads, rows, strict=True)]
        )
    time = values["mean_time"]
    sent = "" if spikes is None else f", {spikes:,.1f} spikes until then"
    console.note(
        f"decided at the time {console.UNKNOWN if time is None else f'{time:.4g}'} in the mean"
        f"{sent}, {console.percent(values['undecided'])} without an output spike, which count as "
        "wrong"
    )


def _show_metrics(values: dict[str, Any], task: Any) -> None:
    """Show the metrics of a task that are one number, or one for each class."""
    rows = []
    for name, value in values.items():
        if isinstance(value, int | float) or value is None:
            rows.append([name.replace("_", " "), _text(value)])
        elif name.endswith("_per_class"):
            rows += [
                [f"{name.removesuffix('_per_class')} of {label}", _text(each)]
                for label, each in zip(task.classes, value, strict=True)
            ]
    console.table("metrics", ["", "value"], rows)


def _show_repeats(repeats: dict[str, Any], task: Any) -> None:
    """Show mean and standard deviation over draws; the primary metric as elsewhere."""
    rows = []
    for name, found in repeats.items():
        if name == "draws":
            continue
        metric = task.primary
        figures = [found["mean"], found["deviation"]]
        if name == metric.name:
            shown = [console.UNKNOWN if v is None else metric.figure(v) for v in figures]
            rows.append([metric.axis, *shown])
        else:
            rows.append([name.replace("_", " "), *map(_text, figures)])
    console.table(f"over {repeats['draws']} draws", ["", "mean", "deviation"], rows)


def _text(value: float | None) -> str:
    if value is None:
        return console.UNKNOWN
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _show_confusion(confusion: list[list[int]], classes: list[str]) -> None:
    """Show the confusion matrix, or the most frequent errors where there are many classes."""
    from ....tasks.outcomes import worst_pairs

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


def _show_class_scores(scores: dict[str, Any]) -> None:
    """Show precision, recall and F1 of all classes, or of the worst where there are many."""
    from ....tasks.class_scores import SCORES

    rows, title = scores["by_class"], "by class, %"
    if len(rows) > MAX_CLASSES_SHOWN:
        known = [row for row in rows if row["f1"] is not None]
        rows = sorted(known, key=lambda row: row["f1"])[:ERRORS_SHOWN]
        title = f"by class, %: the {len(rows)} of {len(scores['by_class'])} with the lowest F1"
    shown = [
        [row["class"][:20], *(_percent(row[score]) for score in SCORES), f"{row['support']:,}"]
        for row in rows
    ]
    for name, label in (("macro", "mean"), ("weighted", "mean weighted by support")):
        shown.append([label, *(_percent(scores[name][score]) for score in SCORES), ""])
    console.table(title, ["", "precision", "recall", "F1", "support"], shown)
    without = [row["class"] for row in scores["by_class"] if "precision" in row["undefined"]]
    if without:
        more = f", and {len(without) - ERRORS_SHOWN} more" if len(without) > ERRORS_SHOWN else ""
        console.note(f"never predicted: {', '.join(without[:ERRORS_SHOWN])}{more}")


def _percent(share: float | None) -> str:
    return console.UNKNOWN if share is None else f"{100 * share:.2f}"


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
