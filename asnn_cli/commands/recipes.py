"""`asnn recipes`: list, show and copy the built-in recipes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ...core.text import printable, shell
from ..recipe_files import recipe_file, recipe_names
from ..terminal import completion, console, options


class _ListByDefault(TyperGroup):
    """A group that runs its command `list` if none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_option = bool(args) and args[0].startswith("-") and args[0] not in ctx.help_option_names
        if (not args or is_option) and not ctx.resilient_parsing:
            args = ["list", *args]
        return super().parse_args(ctx, args)


recipes_app = typer.Typer(
    cls=_ListByDefault,
    rich_markup_mode=None,
    help="List, show and copy the built-in recipes.\n\n"
    "Without a command it lists.\n\n"
    "Examples:\n\nasnn recipes\n\nasnn recipes show digits",
)


def _text(path: Path) -> str:
    from ...core.errors import ConfigError, DataError
    from ...core.reading import MAX_TOML, read_regular, why_unreadable

    try:
        return read_regular(path, max_size=MAX_TOML).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a TOML file", why=str(error)) from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}", why=why_unreadable(error)) from error


@recipes_app.command("list")
def list_recipes(
    as_json: options.Json = False,
) -> None:
    """List the built-in recipes.

    Examples:

    asnn recipes list

    asnn recipes list --json | jq keys
    """
    import tomllib

    described = {
        name: tomllib.loads(_text(recipe_file(name)))["description"] for name in recipe_names()
    }
    if as_json:
        console.print_json(described)
        return
    width = max(map(len, described))
    console.emit("".join(f"{name:{width}}  {text}\n" for name, text in described.items()))


@recipes_app.command("show")
def show_recipe(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Recipe, such as digits.",
            autocompletion=completion.recipe_names,
        ),
    ],
    resolved: Annotated[bool, typer.Option("--all", help="Every key, including defaults.")] = False,
) -> None:
    """Print a recipe.

    Examples:

    asnn recipes show digits

    asnn recipes show digits --all > digits-all.toml
    """
    path = recipe_file(name)
    if not resolved:
        # A file of a stranger may hold escape sequences.
        console.emit("".join(c if c in "\t\r\n" else printable(c) for c in _text(path)))
        return
    from ...learning import check_recipe, read_document

    console.emit(check_recipe(read_document(path), source=f"recipe {name}").toml())


@recipes_app.command("copy")
def copy_recipe(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Recipe, such as digits.",
            autocompletion=completion.recipe_names,
        ),
    ],
    target: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The new file.", show_default="NAME.toml")
    ] = None,
) -> None:
    """Copy a recipe to a new file, to change it.

    Examples:

    asnn recipes copy fashion-mnist mine.toml && asnn train mine.toml --data-dir data
    """
    from ...core.errors import ConfigError
    from ...core.files import write_text

    source = recipe_file(name)
    target = target or Path(f"{source.stem}.toml")
    if target.is_dir():
        target = target / f"{source.stem}.toml"
    if target.exists():
        raise ConfigError(f"{target} exists already", remedy="choose another name")
    # Only before the first table: data.name and other names are not changed.
    head, table, rest = _text(source).partition("[")
    head = re.sub(r'(?m)^name = ".*?"', f'name = "{target.stem}"', head)
    write_text(target, head + table + rest)
    console.note(f"wrote {target}; train it with: asnn train {shell(target)}")
