"""Figures of matplotlib as inline SVG with the colours of the page."""

from __future__ import annotations

import io
import re

from markupsafe import Markup, escape

from ..measure.figures.style import INK, LINE, QUIET, SERIES, style
from .drawing import Drawing

# Variables of the style sheet, which defines light and dark colours.
_VARIABLES = {
    INK: "currentColor",
    QUIET: "var(--muted)",
    LINE: "var(--line)",
    **{colour.lower(): f"var(--series-{i})" for i, colour in enumerate(SERIES)},
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def inline(drawing: Drawing, name: str) -> Markup:
    """Return the SVG element of a figure.

    Text stays text. The colours in `_VARIABLES` become variables of the style sheet. The same
    figure gives the same bytes.

    Args:
        drawing: the figure and its text alternative.
        name: prefix of ids, unique on the page.
    """
    written = io.StringIO()
    with style():
        drawing.figure.savefig(written, format="svg", transparent=True, metadata=_NO_METADATA)
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = text.replace("xlink:href=", "href=")
    text = _prefix_ids(name, text)
    text = re.sub(r"style=\"[^\"]*\"", _with_variables, text)
    text = re.sub(r" d=\"[^\"]*\"", _round_path, text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    width, height = drawing.figure.get_size_inches() * 96
    head = (
        f'<svg role="img" aria-label="{escape(drawing.alt)}" '
        f'viewBox="0 0 {0.75 * width:.1f} {0.75 * height:.1f}" '
        f'style="width:{width:.0f}px;min-width:{0.78 * width:.0f}px">'
    )
    return Markup(head + text[text.index(">") + 1 :])


def _prefix_ids(name: str, text: str) -> str:
    """Prefix referenced ids with `name`, and remove the others."""
    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", text))

    def renamed(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    text = re.sub(r" id=\"([^\"]+)\"", renamed, text)
    return re.sub(r"(url\(|href=\")#(?=[^)\"]+)", rf"\1#{name}-", text)


def _with_variables(match: re.Match[str]) -> str:
    text = re.sub(r"#[0-9a-f]{6}\b", lambda colour: _VARIABLES.get(colour[0], colour[0]), match[0])
    return re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--sans)", text)


def _round_path(match: re.Match[str]) -> str:
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", match[0])
