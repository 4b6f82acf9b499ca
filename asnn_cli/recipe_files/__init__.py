"""The recipes that come with asnn: their names and their files."""

from __future__ import annotations

from pathlib import Path

from ...core.registry import unknown

FOLDER = Path(__file__).parent
DEFAULT = "digits"


def recipe_names() -> list[str]:
    """Return the names of the built-in recipes, the default first."""
    names = (path.stem for path in FOLDER.glob("*.toml"))
    return sorted(names, key=lambda name: (name != DEFAULT, name))


def recipe_file(name: str) -> Path:
    """Return the file of a recipe: a built-in one by name, any other by path.

    Raises:
        ConfigError: there is neither.
    """
    if name in recipe_names():
        return FOLDER / f"{name}.toml"
    path = Path(name)
    if path.is_file():
        return path
    error = unknown("recipe", name, recipe_names())
    if path.suffix == ".toml":
        error.what = f"there is no recipe file {name}"
    elif (path / "config.toml").is_file():
        error.remedy = f"to repeat a run give its configuration: {path / 'config.toml'}"
    raise error
