"""Text in terminals and in Markdown: a parser of Markdown shows what was written, and no more."""

import html
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from asnn.core.text import code_block, markdown, printable, shell

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = [
    "a|b",
    "a\n\n# heading\n- item",
    "<script>alert(1)</script>",
    "<!-- open",
    "&lt;b&gt; &amp; &#60;",
    "`code` ``two`` ```",
    "[a](javascript:x) ![b](http://c) <http://d>",
    "*a* **b** _c_ __d__ ~~e~~ a_b label_smoothing",
    "=cmd|' /C calc'!A0",
    "@all #1",
    "back\\slash \\| \\",
    "\x1b[31m\x07\u202e\u2066\x00\x7f\ud800",
    "$x$",
]
MARKUP = st.text("ab |\\`*_<>&;[]()!~$#\n=+-@/:'\"\x1b\u202e", max_size=30)


def rendered(text: str) -> str:
    return PARSER.render(text)


def listed(*texts):
    def decorate(function):
        for text in texts:
            function = example(text)(function)
        return function

    return decorate


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(MARKUP)
@listed(*HOSTILE)
def test_markdown_shows_the_text(text):
    shown = html.escape(printable(text), quote=False).replace('"', "&quot;")
    assert rendered(f"x {markdown(text)} x") == f"<p>x {shown} x</p>\n"


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(MARKUP)
@listed(*HOSTILE)
def test_a_cell_stays_one_cell(text):
    found = rendered(f"| a | b |\n|---|---|\n| {markdown(text)} | end |\n")
    cells = re.findall("<td>(.*?)</td>", found, re.DOTALL)
    shown = html.escape(printable(text).strip(), quote=False).replace('"', "&quot;")
    assert cells == [shown, "end"]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(MARKUP)
@listed(*HOSTILE)
def test_code_ends_where_it_ends(text):
    found = rendered(f"{code_block(text)}\n\nend")
    assert found.count("<pre>") == 1 and found.endswith("</code></pre>\n<p>end</p>\n")
    assert "<script>" not in found and all(c.isprintable() or c == "\n" for c in found)


@pytest.mark.parametrize("text", ["a|b", "<b>x</b>", "*a*", "`a`", "[a](b)", "&lt;", "~~a~~"])
def test_without_escapes_the_parser_shows_something_else(text):
    table = "| x {} | end |\n|---|---|\n"
    assert rendered(table.format(text)) != rendered(table.format(markdown(text)))


def test_usual_text_is_not_changed():
    for text in ("97.50 ± 0.31", "label_smoothing", "[16, 32]", "digits-2", "1e-3 … 2e-3", "T = 4"):
        assert markdown(text) == text


@pytest.mark.parametrize("name", ["a; touch ESCAPED", "$(touch ESCAPED)", "`x`", "a b", "'"])
def test_a_path_in_a_command_is_one_word(name):
    assert shlex.split(f"asnn eval {shell(name)}") == ["asnn", "eval", name]
    assert shell(Path("runs/digits-20260101-120000")) == "runs/digits-20260101-120000"


def test_letters_and_emoji_that_are_joined_stay():
    for text in ("می\u200cخواهم", "👩\u200d🔬"):
        assert printable(text) == text
    assert printable("a\u202eb\u200b") == "a\\u202eb\\u200b"  # the negative control
