"""The results as rows of tables and as the page `results.md`."""

from __future__ import annotations

from typing import Any

from ..core.metric import ACCURACY, Metric
from ..core.text import code_block, markdown
from .grid import display

Rows = list[list[str]]


def short_names(keys: list[str]) -> list[str]:
    """Return the keys without their sections, if they stay distinct and are not `name`.

    >>> short_names(["coding.steps", "coding.name", "model.width", "train.width"])
    ['steps', 'coding.name', 'model.width', 'train.width']
    """
    last = [key.rpartition(".")[2] for key in keys]
    return [
        short if last.count(short) == 1 and short != "name" else key
        for key, short in zip(keys, last, strict=True)
    ]


def results_table(results: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the head and the rows of the table: a row for each point of the grid."""
    metric, others = results_metric(results), results.get("other_metrics", [])
    heads = [*short_names(results["keys"]), "n", metric.axis]
    heads += [*(name.replace("_", " ") for name in others), "spikes", "training, s"]
    rows = []
    for point in results["points"]:
        settings = [display(point["settings"][key]) for key in results["keys"]]
        rows.append(
            [
                *settings,
                str(point["n"]),
                metric_text(point[metric.name], metric),
                *(metric_text(point[name], Metric(name, percent=False)) for name in others),
                plus_minus(point["spikes_per_sample"], 1, 0),
                _figure(point["training_seconds"]["mean"], 1, 0),
            ]
        )
    return heads, rows


def comparison_table(
    comparisons: list[dict[str, Any]],
    keys: list[str],
    *,
    pooled: bool,
    metric: Metric = ACCURACY,
) -> tuple[list[str], Rows]:
    """Return the head and the rows of a table of differences, of shares in percentage points.

    Args:
        comparisons: one of the lists of `compare`.
        keys: all varied keys.
        pooled: whether the comparisons are over all other settings.
        metric: that is compared.
    """
    names = dict(zip(keys, short_names(keys), strict=True))
    heads = ["change", "settings" if pooled else "with", "n", "difference", "95 % interval"]
    heads += ["p", "p, Holm"]
    rows = []
    for each in comparisons:
        low, high = each["low"], each["high"]
        rows.append(
            [
                _change(each["from"], each["to"], names),
                str(each["settings"]) if pooled else _values(each["others"]) or "–",
                str(each["n"]),
                _signed(each["difference"], metric),
                "–" if low is None else f"{_signed(low, metric)} … {_signed(high, metric)}",
                _probability(each["p"]),
                _probability(each["p_holm"]),
            ]
        )
    return heads, rows


def reasons(comparisons: list[dict[str, Any]]) -> list[str]:
    """Return why comparisons have no p value, each reason once."""
    return list(dict.fromkeys(each["why"] for each in comparisons if each["why"]))


def plus_minus(spread: dict[str, float | None], scale: float, digits: int) -> str:
    """Return `97.50 ± 0.31`, without the deviation if it is None."""
    mean, deviation = spread["mean"], spread["deviation"]
    text = _figure(mean, scale, digits)
    return text if deviation is None else f"{text} ± {_figure(deviation, scale, digits)}"


def metric_text(spread: dict[str, float | None], metric: Metric) -> str:
    """Return mean ± deviation of a metric: of shares in percent, of others with four digits."""
    mean, deviation = spread["mean"], spread["deviation"]
    if metric.percent:
        return plus_minus(spread, 100, 2)
    if mean is None:
        return "–"
    return metric.figure(mean) if deviation is None else f"{metric.figure(mean)} ± {deviation:.2g}"


def results_metric(results: dict[str, Any]) -> Metric:
    """Return the primary metric of the results; accuracy if they name none, as in 0.1.0."""
    return Metric.from_document(results.get("metric"))


def page(results: dict[str, Any]) -> str:
    """Return the text of `results.md`."""
    title = markdown(f"{results['recipe']}: {', '.join(results['keys']) or 'seeds'}")
    parts = [f"# {title}", *_unfinished(results), markdown_table(*results_table(results))]
    metric = results_metric(results)
    if metric != ACCURACY:
        parts.append(f"The members are compared by {metric.title}: {metric.direction}.")
    parts.append(
        "Mean ± sample standard deviation over n seeds; spikes of all neurons of the network over "
        "all steps, for each sample; seconds of training, without evaluation."
    )
    if any(member.get("draws") for member in results["members"]):
        parts.append("A figure of a random code is that of one draw: `asnn eval RUN --repeats N`.")
    parts += _comparisons(results["comparisons"], results["keys"], metric)
    parts += ["## Conditions", _conditions(results), code_block(results["command"])]
    return "\n\n".join(parts) + "\n"


def markdown_table(heads: list[str], rows: Rows) -> str:
    """Return a table in Markdown with figures aligned right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(markdown, line))} |" for line in lines)


def _figure(value: float | None, scale: float, digits: int) -> str:
    return "–" if value is None else f"{scale * value:,.{digits}f}"


def _comparisons(
    comparisons: dict[str, list[dict[str, Any]]], keys: list[str], metric: Metric
) -> list[str]:
    single, pooled = comparisons["single"], comparisons["pooled"]
    if not single:
        return []
    parts = [
        f"## Differences in {metric.title}",
        f"In {metric.unit_of_change}, against the first value of a key with all else equal, "
        f"paired over seeds; Student's paired t.{_sign(metric)} The last column is Holm's "
        f"correction over the {len(single)} comparisons of the table.",
        markdown_table(*comparison_table(single, keys, pooled=False, metric=metric)),
        *(f"–: {markdown(why)}." for why in reasons(single)),
    ]
    if len(pooled) < len(single):
        parts += [
            "Over all other settings and seeds at once, the pairs taken as independent; Holm's "
            f"correction over the {len(pooled)} comparisons of the table.",
            markdown_table(*comparison_table(pooled, keys, pooled=True, metric=metric)),
        ]
    return parts


def _change(before: dict[str, Any], after: dict[str, Any], names: dict[str, str]) -> str:
    # Several keys would be too long for a column.
    name = "".join(names[key] for key in before) + " " if len(before) == 1 else ""
    return f"{name}{_values(before)} → {_values(after)}"


def _values(settings: dict[str, Any]) -> str:
    return ", ".join(display(value) for value in settings.values())


def _sign(metric: Metric) -> str:
    return "" if metric.greater_is_better else " A difference below 0 is an improvement."


def _signed(difference: float | None, metric: Metric) -> str:
    return "–" if difference is None else metric.change(difference)


def _probability(p: float | None) -> str:
    if p is None:
        return "–"
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def _unfinished(results: dict[str, Any]) -> list[str]:
    sentences = []
    if results["missing"]:
        sentences.append(f"Not finished: {len(results['missing'])} members are not trained yet.")
    if results["failed"]:
        failed = "; ".join(f"{each['name']}: {each['what']}" for each in results["failed"])
        sentences.append(f"Failed: {markdown(failed)}.")
    if results["left_out"]:
        lines = [
            "- "
            + markdown(
                f"{', '.join(f'{k}={display(v)}' for k, v in each['settings'].items())}: "
                f"{'; '.join(each['why'])}"
            )
            for each in results["left_out"]
        ]
        sentences.append("Left out, because it cannot be trained:\n\n" + "\n".join(lines))
    return sentences


def _conditions(results: dict[str, Any]) -> str:
    members = results["members"]

    def of_all(*path: str) -> str:
        """Return the distinct values of all members."""
        found = []
        for member in members:
            value: Any = member
            for key in path:
                value = value[key]
            if value not in found:
                found.append(value)
        return ", ".join(map(str, found)) or "–"

    fingerprints = ", ".join(sorted({each["fingerprint"][:12] for each in members})) or "–"
    rows = [
        ["data", of_all("data")],
        ["fingerprint", fingerprints],
        ["evaluated on", f"{results['split']}, {of_all('samples')} samples"],
        ["seeds", ", ".join(map(str, results["seeds"]))],
        ["steps T", of_all("steps")],
        ["epochs", of_all("epochs")],
        ["device", of_all("machine", "device")],
        ["processor", f"{of_all('machine', 'processor')}; {of_all('machine', 'cores')} cores"],
        ["threads of a training", of_all("machine", "threads")],
        ["torch", of_all("machine", "torch")],
    ]
    return "\n".join(
        ["| | |", "|---|---|", *(f"| {name} | {markdown(text)} |" for name, text in rows)]
    )
