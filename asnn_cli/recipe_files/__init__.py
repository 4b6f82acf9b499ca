"""The recipes that come with asnn: their names, their files, and the one made for own data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError
from ...core.registry import nearest, unknown
from ...core.text import shell

FOLDER = Path(__file__).parent
DEFAULT = "digits"
OF_DATA = {".npz", ".npy", ".zip", ".csv", ".tsv", ".parquet", ".h5", ".hdf5"}
"""Suffixes of data, which no recipe has; files of samples too are none."""


def recipe_names() -> list[str]:
    """Return the names of the built-in recipes, the default first."""
    names = (path.stem for path in FOLDER.glob("*.toml"))
    return sorted(names, key=lambda name: (name != DEFAULT, name))


def recipe_file(name: str) -> Path:
    """Return the file of a recipe: a built-in one by name, any other by path.

    Raises:
        ConfigError: there is neither, or the path is that of data.
    """
    if name in recipe_names():
        return FOLDER / f"{name}.toml"
    path = Path(name)
    if is_data(name):
        file = f"{path.stem or 'own'}.toml"
        raise ConfigError(
            f"{name} is data, not a recipe",
            why="`asnn train` alone makes a recipe for data",
            remedy=f"write it to a file: asnn train {shell(name)} --dry-run > {shell(file)}",
        )
    if path.is_file():
        return path
    error = unknown("recipe", name, recipe_names())
    files = [] if path.suffix == ".toml" else _entries(path.parent)
    near = nearest(path.name, files)
    if near is not None and nearest(path.name, [*recipe_names(), near]) == near:
        error.remedy = f"did you mean {shell(path.parent / near)}, to train on it?"
    if path.suffix == ".toml":
        error.what = f"there is no recipe file {name}"
    elif (path / "config.toml").is_file():
        error.remedy = f"to repeat a run give its configuration: {path / 'config.toml'}"
    elif path.suffix.lower() in OF_DATA or "/" in name:
        error.what = f"there is no recipe, file or folder {name}"
    raise error


def _entries(folder: Path) -> list[str]:
    """Return the names of what is in a folder and not hidden."""
    try:
        return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []


def is_data(name: str) -> bool:
    """Return whether a name is no built-in recipe but a folder, or a file that is not TOML."""
    path = Path(name).expanduser()
    if name in recipe_names() or (path / "config.toml").is_file():
        return False
    return path.is_dir() or (path.is_file() and _holds_data(path))


def _holds_data(path: Path) -> bool:
    from ...datasets.sources.file_kinds import SUFFIXES

    return path.suffix.lower() in OF_DATA | SUFFIXES.keys()


def recipe_document(name: str, asked: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the tables of a recipe, its name among them, and notes of one line each.

    Args:
        name: of a built-in recipe, or the path of a TOML file or of data.
        asked: keys with values that will be set, such as `data.size`.

    Raises:
        ConfigError: there is no such recipe, or it is no TOML.
        DataError: the file cannot be read, or the data are none to train on.
    """
    from ...learning import read_document

    if is_data(name):
        from .own import own_recipe

        own = own_recipe(name, asked)
        return own.document, own.lines(name, asked)
    document = read_document(recipe_file(name))
    document.setdefault("name", Path(name).stem)
    if name in recipe_names() and Path(name).exists():
        there = "folder" if Path(name).is_dir() else "file"
        return document, [
            f"{name} is the built-in recipe; for the {there} of this name: asnn train ./{name}"
        ]
    return document, []
