"""The results for people: rows of a table, and the page `results.md`."""

from __future__ import annotations

from typing import Any

from .grid import shown

Rows = list[list[str]]


def short_names(keys: list[str]) -> list[str]:
    """Return the keys without their sections, where that leaves them different.

    >>> short_names(["coding.steps", "coding.name", "model.name"])
    ['steps', 'coding.name', 'model.name']
    """
    last = [key.rpartition(".")[2] for key in keys]
    return [short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)]


def results_table(results: dict[str, Any]) -> tuple[list[str], Rows]:
    """Return the head and the rows of the table: a row for each point of the grid."""
    heads = [*short_names(results["keys"]), "n", "accuracy, %", "spikes", "training, s"]
    rows = []
    for point in results["points"]:
        settings = [shown(point["settings"][key]) for key in results["keys"]]
        rows.append(
            [
                *settings,
                str(point["n"]),
                plus_minus(point["accuracy"], 100, 2),
                plus_minus(point["spikes_per_sample"], 1, 0),
                _figure(point["training_seconds"]["mean"], 1, 0),
            ]
        )
    return heads, rows


def plus_minus(spread: dict[str, float | None], scale: float, digits: int) -> str:
    """Return `97.50 ± 0.31`, without the deviation where there is none."""
    mean, deviation = spread["mean"], spread["deviation"]
    text = _figure(mean, scale, digits)
    return text if deviation is None else f"{text} ± {_figure(deviation, scale, digits)}"


def page(results: dict[str, Any]) -> str:
    """Return the text of `results.md`."""
    title = f"# {results['recipe']}: {', '.join(results['keys']) or 'seeds'}"
    parts = [title, *_unfinished(results), markdown_table(*results_table(results))]
    parts.append(
        "Mean ± sample standard deviation over n seeds; spikes of all neurons of the network over "
        "all steps, for each sample; seconds of training, without evaluation."
    )
    parts += [_conditions(results), f"```\n{results['command']}\n```"]
    return "\n\n".join(parts) + "\n"


def markdown_table(heads: list[str], rows: Rows) -> str:
    """Return a table of markdown, figures to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _figure(value: float | None, scale: float, digits: int) -> str:
    return "–" if value is None else f"{scale * value:,.{digits}f}"


def _unfinished(results: dict[str, Any]) -> list[str]:
    said = []
    if results["missing"]:
        said.append(f"Not finished: {len(results['missing'])} members are still to be trained.")
    if results["failed"]:
        failed = "; ".join(f"{each['name']}: {each['what']}" for each in results["failed"])
        said.append(f"Failed: {failed}.")
    if results["left_out"]:
        lines = [
            f"- {', '.join(f'{k}={shown(v)}' for k, v in each['settings'].items())}: "
            f"{'; '.join(each['why'])}"
            for each in results["left_out"]
        ]
        said.append("Left out, because it cannot be trained:\n\n" + "\n".join(lines))
    return said


def _conditions(results: dict[str, Any]) -> str:
    members = results["members"]

    def of_all(*path: str) -> str:
        """Return the values that members have, the varied ones all of them."""
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
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)])
