"""What `asnn data info` prints."""

from __future__ import annotations

from typing import Any

from ...terminal import console

MAX_CLASSES = 30
MAX_FILES = 10
UNEVEN = 3.0
"""Ratio of the largest to the smallest class from which a remedy is named."""


def show_survey(found: dict[str, Any]) -> None:
    """Show the result of `asnn data info`, as in its JSON object."""
    classes = found["classes"]
    count = f"{len(classes):,} classes" if classes else "real values"
    console.heading(f"{found['source']}: {found['samples']:,} {found['many']}, {count}")
    for note in found["notes"]:
        console.note(note)
    _show_classes(found)
    for line in (*_lines(found), *_copies(found["copies"])):
        console.note(line)
    _show_damaged(found["damaged"])
    console.note(f"next: {found['train']}")


def _show_classes(found: dict[str, Any]) -> None:
    classes, parts = found["classes"], found["parts"]
    shown = dict(list(classes.items())[:MAX_CLASSES])
    rows = [[name, *(f"{n:,}" for n in by.values())] for name, by in shown.items()]
    more = len(classes) - len(shown)
    if more:
        rows.append([f"and {more:,} more", *["..."] * len(parts)])
    counted = found["counted"]
    name = "all" if counted == "samples" else found["many"]
    rows.append([name, *(f"{n:,}" for n in parts.values())])
    console.table(f"{counted} by class and part", ["class", *parts], rows)
    if found["cut"]:
        console.note(
            f"{' and '.join(found['cut'])}: cut from the training samples, as a training does; "
            "there is no such part"
        )
        empty = [part for part in found["cut"] if not parts[part]]
        if empty:
            console.note(f"too few samples: a training refuses an empty part ({', '.join(empty)})")
    ratio = found["imbalance"]
    if ratio is not None and ratio >= UNEVEN and counted == "samples":
        totals = {name: sum(by.values()) for name, by in classes.items()}
        low, high = min(totals, key=totals.__getitem__), max(totals, key=totals.__getitem__)
        console.note(
            f"unbalanced: {high} has {ratio:.1f} times the samples of {low}; "
            "--set train.class_weights=balanced gives classes the same weight"
        )


def _lines(found: dict[str, Any]) -> list[str]:
    sizes, lines = found["sizes"], []
    low, high = ("x".join(map(str, sizes[key])) for key in ("smallest", "largest"))
    if low:
        what = "T x features" if found["many"] == "series" else "height x width"
        some = f"{low} to {high}, {sizes['different']:,} different" if low != high else low
        lines.append(f"sizes ({what}): {some}")
    names = {"1": "grey", "3": "colour"}
    channels = found["channels"]
    if channels:
        several = [f"{count:,} {names.get(n, f'of {n} channels')}" for n, count in channels.items()]
        lines.append(f"channels: {', '.join(several)}")
    if found["range"]:
        first, last = (f"{value:.4g}" for value in found["range"])
        constant = f"; {found['constant']:,} are of one value" if found["constant"] else ""
        lines.append(f"values: {first} to {last}{constant}")
    if found["rates_hz"]:
        rates = [f"{count:,} of {int(rate):,} Hz" for rate, count in found["rates_hz"].items()]
        lines.append(f"rates: {', '.join(rates)}")
    for key, name, unit in (("duration_ms", "durations", " ms"), ("events", "events", "")):
        spread = found[key]
        if spread:
            low, middle, high = (f"{value:,.0f}" for value in spread.values())
            lines.append(f"{name}: {low} to {high}{unit}, median {middle}")
    return lines


def _copies(copies: dict[str, Any]) -> list[str]:
    between = sum(copies["between"].values())
    total = between + copies["within"]
    if not total:
        return ["copies: none, byte for byte"]
    lines = [f"copies, byte for byte: {total:,}, {copies['within']:,} of them within a part"]
    for pair, count in copies["between"].items():
        first, second = pair.split("-")
        lines.append(
            f"  {count:,} between {first} and {second}: the accuracy on {second} is too good"
        )
    if copies["of_different_classes"]:
        lines.append(f"  {copies['of_different_classes']:,} have another class than their copy")
    first, second = copies["pairs"][0]
    return [*lines, f"  such as {first} and {second} (all: --json)"]


def _show_damaged(damaged: dict[str, Any]) -> None:
    if not damaged["count"]:
        return
    console.note(f"damaged: {damaged['count']:,}; a training stops at the first, so remove them")
    for each in damaged["files"][:MAX_FILES]:
        console.note(f"  {each['file']}: {each['why']}")
    if damaged["count"] > MAX_FILES:
        console.note(f"  and {damaged['count'] - MAX_FILES:,} more (--json)")
