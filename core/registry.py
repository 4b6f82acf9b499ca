"""Components by name; other packages add theirs through entry points."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice whose spelling is closest to `name`, None if none is close."""
    import difflib  # not at the top: `asnn --help` does not need it

    found = difflib.get_close_matches(name.lower(), list(choices), n=1, cutoff=0.5)
    return found[0] if found else None


class Registry:
    """The components of one kind, by name.

    Built-in components are given as `"module:attribute"` and imported by `get`; an installed
    package adds its own through the entry point group `asnn.<kind>`.

    Args:
        kind: the plural that names the entry point group, such as `codings`.
        builtin: name to `"module:attribute"`, modules relative to `asnn`.
    """

    def __init__(self, kind: str, builtin: dict[str, str]) -> None:
        self.kind = kind
        self.builtin = builtin

    @cached_property
    def _external(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=f"asnn.{self.kind}")}

    def names(self) -> list[str]:
        """Return every known name: the built-in ones first, in their order."""
        return [*self.builtin, *sorted(set(self._external) - set(self.builtin))]

    def get(self, name: str) -> Any:
        """Return the component called `name`.

        Raises:
            ConfigError: no component has that name; the message lists all names and the closest.
        """
        if name in self.builtin:
            module, attribute = self.builtin[name].split(":")
            return getattr(import_module(f"asnn.{module}"), attribute)
        if name in self._external:
            try:
                return self._external[name].load()
            except Exception as error:  # an import of another package may raise anything
                raise ConfigError(
                    f"{self.kind.rstrip('s')} {name!r} cannot be loaded",
                    why=f"{self._external[name].value}: {error}",
                    remedy="repair or remove the package that adds it",
                ) from error
        raise unknown(self.kind.rstrip("s"), name, self.names())


def keyword_options(component: Any) -> dict[str, inspect.Parameter]:
    """Return the options of a component, its keyword-only parameters, by name."""
    parameters = inspect.signature(component).parameters
    return {name: each for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}


def check_options(kind: str, name: str, component: Any, options: Iterable[str]) -> None:
    """Refuse options that are not in a component's signature.

    Raises:
        ConfigError: an option is unknown; the message lists all options and the closest.
    """
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(component).parameters.values()):
        return
    known = list(keyword_options(component))
    for option in options:
        if option not in known:
            raise unknown(f"option of {kind} {name}", option, known)


def unknown(kind: str, name: object, choices: list[str]) -> ConfigError:
    """Return the error for a name that is not among `choices`."""
    near = nearest(str(name), choices)
    return ConfigError(
        f"unknown {kind} {name!r}",
        why=f"choose from {', '.join(choices)}" if choices else "it has none",
        remedy=f"did you mean {near!r}?" if near else "",
    )
