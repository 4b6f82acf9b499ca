"""`asnn eval --corrupt`: its values, and its tables."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from ...terminal import console

ALL = "all"
SEVERITIES_PER_TABLE = 6  # fits 80 columns


def read_corruptions(texts: list[str], model: Any) -> dict[str, list[float]]:
    """Return the severities of each corruption in the values of `--corrupt`, by its name.

    A corruption without a severity gets its default ones. `all` means every corruption that
    applies to the network and the kind of its samples; notes name the others.

    Raises:
        ConfigError: a corruption is unknown or does not apply to the network, or a severity is
            out of range; the message lists all faults.
    """
    from ....core.errors import ConfigError
    from ....measure.robustness.corruptions import corruption_registry, fitting

    known = corruption_registry.names()
    requested: dict[str, list[float]] = {}
    faults: list[str] = []
    for text in texts:
        name, equals, given = text.partition("=")
        if text == ALL:
            requested = {each: [] for each in known} | requested
            continue
        if name == ALL:
            faults.append(f"{text}: all takes no severity")
            continue
        severities, wrong = _severities(name, given.split(",") if equals else [], model)
        requested.setdefault(name, []).extend(severities)
        faults += wrong
    if faults:
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise ConfigError(
            f"--corrupt has {count}",
            why="\n".join(faults),
            remedy="give NAME, NAME=SEVERITY[,SEVERITY...] or all; choose from "
            + ", ".join(fitting(model)),
        )
    corruptions = {name: corruption_registry.get(name) for name in requested}
    excluded: dict[str, list[str]] = {}
    for name, corruption in corruptions.items():
        misfit = corruption.misfit(model)
        if misfit is not None:
            excluded.setdefault(misfit, []).append(name)
    for misfit, names in excluded.items():
        console.note(f"left out: {', '.join(names)}: {misfit}")
    return {
        name: given or list(corruptions[name].severities)
        for name, given in requested.items()
        if corruptions[name].fits(model)
    }


def _severities(name: str, texts: list[str], model: Any) -> tuple[list[float], list[str]]:
    """Return the severities of one value of `--corrupt`, and the faults in it."""
    from ....core.errors import ConfigError
    from ....measure.robustness.corruptions import check_corruption, corruption_registry

    try:
        corruption_registry.get(name)
    except ConfigError as error:
        return [], ["; ".join(filter(None, (error.what, error.remedy or error.why)))]
    try:
        check_corruption(model, name, 0)
    except ConfigError as error:  # the error of all faults names those that apply
        return [], [error.what]
    severities, faults = [], []
    for text in texts:
        try:
            severity = float(text)
            check_corruption(model, name, severity)
            severities.append(severity)
        except ConfigError as error:
            faults.append(f"{error.what}: {error.why}")
        except ValueError:
            faults.append(f"the severity of {name} must be a number, not {text!r}")
    return severities, faults


def show_robustness(rows: list[dict[str, Any]]) -> None:
    """Show the rows of `measure.robustness`: a table for each corruption, clean data first."""
    from ....measure.figures.robustness import severity_text
    from ....measure.robustness.corruptions import corruption_registry

    for name, group in groupby(rows, key=lambda row: row["corruption"]):
        found = list(group)
        clean = found[0]["accuracy"]
        title = f"{name}: {corruption_registry.get(name).unit}"
        for begin in range(0, len(found), SEVERITIES_PER_TABLE):
            part = found[begin : begin + SEVERITIES_PER_TABLE]
            changes = [
                f"{100 * (row['accuracy'] - clean):+.2f}" if row["severity"] else "" for row in part
            ]
            console.table(
                title,
                ["", *(severity_text(row["severity"]) for row in part)],
                [
                    ["accuracy, %", *(f"{100 * row['accuracy']:.2f}" for row in part)],
                    ["against clean", *changes],
                    ["spike rate", *(f"{row['spike_rate']:.4f}" for row in part)],
                ],
            )
