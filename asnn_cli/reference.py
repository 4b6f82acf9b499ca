"""`python -m asnn.cli.reference > docs/cli.md`: the manual page, from the commands themselves."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OPENING = "Examples:"
HEAD = """\
# The command line

<!-- Written by `python -m asnn.cli.reference > docs/cli.md`; a test holds it to the commands. -->

Every command has `--help` (`-h`), which says what is said here. Data go to stdout, with `--json`
one JSON object and nothing else; what is meant for people goes to stderr. There are pages about
[the files of a run](runs.md) and about [pipelines](ci.md) that train, measure and export.

## Completion

`asnn --install-completion` makes the shell that it is called in (bash, zsh or fish) complete
commands, options and values from its next start on: recipes, folders of runs and sweeps, codes,
data sets, splits, formats, devices, corruptions, tables of energy. `asnn --show-completion` prints
what it would install; in bash `eval "$(asnn --show-completion)"` completes in this shell alone.

## Exit codes

| code | meaning |
|---|---|
| 0 | fine |
| 1 | failure: a full disk, a training that diverged, a faulty installation (`asnn doctor`) |
| 2 | usage or configuration: an unknown name, key or option, a value out of range |
| 3 | verification failed: an exported file does not compute what the network does |
| 4 | bad data or file: missing, damaged, not what it should be |
| 130, 143 | stopped by SIGINT; by SIGTERM or SIGHUP; the training state is saved |
| 141 | the reader of stdout went away, as in `asnn ... \\| head` |

## Environment

| variable | meaning |
|---|---|
| `NO_COLOR` | no colours, on a terminal either |
| `COLUMNS` | width of tables and help, in characters |
| `OMP_NUM_THREADS` | threads that are computed with |

## Commands

| command | does |
|---|---|
"""


@dataclass(frozen=True)
class Page:
    """What the manual says of one command."""

    path: str
    synopsis: str
    text: str
    examples: list[str]
    arguments: list[tuple[str, str, str]]  # name, meaning, default
    options: list[tuple[str, str, str]]
    children: list[str]


def pages() -> list[Page]:
    """Return a page for `asnn` and for each command below it, in the order of its help."""
    from typer.main import get_command

    from .app import app

    command: Any = get_command(app)
    return list(_walk(command, command.make_context("asnn", [], resilient_parsing=True)))


def _walk(command: Any, context: Any) -> Iterator[Page]:
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    text, examples = split_examples(command.help or "")
    rows: dict[str, list[tuple[str, str, str]]] = {"argument": [], "option": []}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            name = re.sub(r" <.*" if parameter.metavar else " range(?=>)", "", record[0])
            rows[parameter.param_type_name].append((name, *_meaning(record[1])))
    yield Page(
        path=context.command_path,
        synopsis=" ".join([context.command_path, *command.collect_usage_pieces(context)]),
        text="\n\n".join(filter(None, [text, command.epilog])),
        examples=examples,
        arguments=rows["argument"],
        options=rows["option"],
        children=names,
    )
    for name in names:
        child = command.get_command(context, name)
        yield from _walk(child, type(context)(child, info_name=name, parent=context))


def split_examples(text: str) -> tuple[str, list[str]]:
    """Return a help without its examples, and the examples: what comes after `Examples:`."""
    text, _, rest = text.partition(OPENING)
    unwrapped = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    examples = [" ".join(paragraph.split()) for paragraph in rest.split("\n\n")]
    return "\n\n".join(unwrapped).strip(), [line for line in examples if line]


def _meaning(text: str) -> tuple[str, str]:
    """Return meaning and default of a parameter: `Time steps.  [default: 4; x>=1]`."""
    found = re.fullmatch(
        r"(.*?)(?:  )?\[(?:default: (?:\((.*)\)|([^;\]]*)))?(?:; )?([^\]]*)\]", text
    )
    if found is None:
        return text, ""
    meaning, said, plain, more = found.groups(default="")
    return " ".join(filter(None, [meaning, more and f"({more})"])), said or plain


def markdown() -> str:
    """Return the manual: `docs/cli.md`."""
    written = pages()
    index = "".join(
        f"| [`{page.path}`](#{page.path.replace(' ', '-')}) | {_cell(_first_line(page))} |\n"
        for page in written
    )
    return "\n".join([HEAD + index, *map(_section, written)])


def _first_line(page: Page) -> str:
    return page.text.partition("\n\n")[0]


def _section(page: Page) -> str:
    parts = [f"## {page.path}", _escaped(page.text), f"```\n{page.synopsis}\n```"]
    parts += _table("argument", page.arguments) + _table("option", page.options)
    parts.append("\n".join(["Examples:", "", "```", *page.examples, "```"]))
    return "\n\n".join(parts) + "\n"


def _table(kind: str, rows: list[tuple[str, str, str]]) -> list[str]:
    if not rows:
        return []
    lines = [f"| {kind} | meaning | default |", "|---|---|---|"]
    for name, meaning, default in rows:
        shown = _cell(default) if " " in default else default and _code(default)
        lines.append(f"| {_code(name)} | {_cell(meaning)} | {shown} |")
    return ["\n".join(lines)]


def _cell(text: str) -> str:
    return _escaped(text).replace("|", "\\|")


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _escaped(text: str) -> str:
    return re.sub(r"([*<])", r"\\\1", text)


if __name__ == "__main__":
    sys.stdout.write(markdown())
