"""docs/cli.md is generated from the help of the commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from asnn.cli import reference
from asnn.cli.app import app
from asnn.cli.terminal import exits

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
PAGES = reference.pages()


def test_the_page_is_current():
    current = PAGE.read_text("utf-8") == reference.markdown()
    assert current, "regenerate it: python -m asnn.cli.reference > docs/cli.md"


@pytest.mark.slow
@pytest.mark.parametrize("width", ["40", "200"])
def test_it_does_not_depend_on_the_terminal(width):
    done = subprocess.run(
        [sys.executable, "-m", "asnn.cli.reference"],
        env={**os.environ, "COLUMNS": width, "TERM": "xterm-256color", "FORCE_COLOR": "1"},
        capture_output=True,
        timeout=60,
    )
    assert done.stdout.decode() == reference.markdown()


def test_every_command_has_a_page():
    def count(command) -> int:
        return 1 + sum(map(count, getattr(command, "commands", {}).values()))

    paths = [page.path for page in PAGES]
    assert len(set(paths)) == len(paths) == count(get_command(app))
    assert {"asnn", "asnn train", "asnn recipes copy"} <= set(paths)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_has_all_words_of_the_help(page, capsys):
    """Except the words that belong to the option --help itself."""
    words = [*page.path.split()[1:], "--help"]
    get_command(app)(words, prog_name="asnn", terminal_width=9999, standalone_mode=False)
    shown = capsys.readouterr().out
    rows = [part for row in page.arguments + page.options for part in row]
    below = [f"{other.path} {other.text}" for other in PAGES if other.path.startswith(page.path)]
    page_words = " ".join([page.synopsis, *page.examples, *rows, *below])
    frame = (
        "Usage Options Arguments Commands Examples default -h --help Show this message and exit. "
    )
    frame += "str int path range list Path"
    assert split(shown) - split(page_words) <= split(frame)


def split(text: str) -> set[str]:
    return set(re.findall(r"--?[a-z][\w-]+|[\w.]+", text))


def test_a_parameter_is_taken_apart():
    assert reference._meaning("Time steps.") == ("Time steps.", "")
    assert reference._meaning("Steps.  [default: 4; x>=1]") == ("Steps. (x>=1)", "4")
    assert reference._meaning("First.  [default: (all); x>=1]") == ("First. (x>=1)", "all")
    assert reference._meaning("To.  [default: (A; B if (c))]") == ("To.", "A; B if (c)")
    assert reference._meaning("Such as size=[8,8].") == ("Such as size=[8,8].", "")
    assert reference._meaning("Recipe.  [required]") == ("Recipe. (required)", "")


def test_examples_are_taken_from_a_help():
    text = "Do it.\n\nIt is\ndone.\n\nExamples:\n\nasnn do\n\nasnn do --long\n    --more"
    assert reference.split_examples(text) == (
        "Do it.\n\nIt is done.",
        ["asnn do", "asnn do --long --more"],
    )
    assert reference.split_examples("Do it.") == ("Do it.", [])


def test_the_exit_codes_are_those_of_the_program():
    codes = {0, 130, 143, exits.FAILURE, exits.USAGE, exits.UNVERIFIED, exits.DATA}
    rows = re.findall(r"^\| ([\d, ]+) \|", reference.HEAD, re.M)
    assert {int(code) for row in rows for code in row.split(",")} == codes | {exits.PIPE_CLOSED}
