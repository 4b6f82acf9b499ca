"""`asnn eval --corrupt`: what is asked for, and the tables."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from ...terminal import console

ALL = "all"
SEVERITIES_A_TABLE = 6  # what fits 80 columns


def read_corruptions(texts: list[str], model: Any) -> dict[str, list[float]]:
    """Return the severities of each corruption that `--corrupt` asks for, by its name.

    A corruption that is named without a severity has its own ones. `all` is every corruption that
    the network can suffer; what it leaves out is told.

    Raises:
        ConfigError: a name, a severity, or a corruption of this network is not possible; the
            message lists all faults.
    """
    from ....core.errors import ConfigError
    from ....measure.robustness.corruptions import corruption_registry

    known = corruption_registry.names()
    wanted: dict[str, list[float]] = {}
    faults: list[str] = []
    for text in texts:
        name, equals, given = text.partition("=")
        if text == ALL:
            wanted = {each: [] for each in known} | wanted
            continue
        if name == ALL:
            faults.append(f"{text}: all takes no severity")
            continue
        severities, own = _severities(name, given.split(",") if equals else [], model)
        wanted.setdefault(name, []).extend(severities)
        faults += own
    if faults:
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise ConfigError(
            f"--corrupt has {count}",
            why="\n".join(faults),
            remedy="give NAME, NAME=SEVERITY[,SEVERITY...] or all; choose from " + ", ".join(known),
        )
    corruptions = {name: corruption_registry.get(name) for name in wanted}
    unfit = [name for name, corruption in corruptions.items() if not corruption.fits(model)]
    if unfit:
        console.note(
            f"left out: {', '.join(unfit)}: the code {model.coding.name!r} has no spikes to corrupt"
        )
    return {
        name: given or list(corruptions[name].severities)
        for name, given in wanted.items()
        if name not in unfit
    }


def _severities(name: str, texts: list[str], model: Any) -> tuple[list[float], list[str]]:
    """Return the severities that are given for a corruption, and the faults."""
    from ....core.errors import ConfigError
    from ....measure.robustness.corruptions import check_corruption

    try:
        check_corruption(model, name, 0)
    except ConfigError as error:
        return [], ["; ".join(filter(None, (error.what, error.remedy or error.why)))]
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
    """Show what `measure.robustness` returns: a table for each corruption, clean first."""
    from ....measure.figures.robustness import severity_text
    from ....measure.robustness.corruptions import corruption_registry

    for name, group in groupby(rows, key=lambda row: row["corruption"]):
        found = list(group)
        clean = found[0]["accuracy"]
        title = f"{name}: {corruption_registry.get(name).unit}"
        for begin in range(0, len(found), SEVERITIES_A_TABLE):
            part = found[begin : begin + SEVERITIES_A_TABLE]
            against = [
                f"{100 * (row['accuracy'] - clean):+.2f}" if row["severity"] else "" for row in part
            ]
            console.table(
                title,
                ["", *(severity_text(row["severity"]) for row in part)],
                [
                    ["accuracy, %", *(f"{100 * row['accuracy']:.2f}" for row in part)],
                    ["against clean", *against],
                    ["spike rate", *(f"{row['spike_rate']:.4f}" for row in part)],
                ],
            )
