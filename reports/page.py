"""The page: one HTML file without external files, fonts or scripts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from markupsafe import Markup, escape

from ..core.text import printable
from .collect import RunReport
from .comparison import comparison, labels_of
from .view import view

VERSIONS = ("asnn", "torch", "matplotlib")


def page(
    reports: Sequence[RunReport], *, command: str, differences: dict[str, list[Any]] | None = None
) -> str:
    """Return the page of one run, or of several runs with a comparison first.

    The same reports give the same bytes. All text from runs and data is escaped,
    and its control characters, also those of the direction of writing, are shown as `visible` does.

    Args:
        reports: one or more.
        command: that reproduces the page.
        differences: keys of the configuration that differ, with the value in each run.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__ or "asnn.reports"),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    several = len(reports) > 1
    labels = labels_of(reports, differences or {})
    title = f"{len(reports)} runs compared" if several else printable(reports[0].name)
    runs = [view(report, f"run{i}") for i, report in enumerate(reports, 1)]
    return environment.get_template("page.html").render(
        title=title,
        runs=[{**each, "label": label} for each, label in zip(runs, labels, strict=True)],
        comparison=comparison(reports, labels, differences or {}) if several else None,
        command=printable(command),
        versions=[(name, version(name)) for name in VERSIONS],
    )


def visible(value: Any) -> Any:
    """Return a value of the page, control characters of text escaped; spaces and lines stay."""
    if type(value) is not str or value.isprintable():  # Markup is made of texts that were shown
        return value
    return "".join(
        c if c == "\n" or unicodedata.category(c) == "Zs" else printable(c) for c in value
    )


def breakable(name: str) -> Markup:
    """Return a name with line-break opportunities after its parts."""
    name = visible(name)
    return Markup("<wbr>").join(escape(part) for part in re.findall(r"[^,/]*[,/]?", name) if part)
