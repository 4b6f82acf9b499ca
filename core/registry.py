"""Names that a user may type, open to other packages through entry points."""

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
    """Return the choice that is spelt most like `name`, or None if none is near."""
    import difflib  # not at the top: `asnn --help` has no use for it

    found = difflib.get_close_matches(name.lower(), list(choices), n=1, cutoff=0.5)
    return found[0] if found else None


class Registry:
    """The components of one kind, by name.

    Built-in components are given as `"module:attribute"` and imported when they are asked for;
    an installed package adds its own through the entry point group `asnn.<kind>`.

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
            ConfigError: no component has that name; the message lists all and the nearest.
        """
        if name in self.builtin:
            module, attribute = self.builtin[name].split(":")
            return getattr(import_module(f"asnn.{module}"), attribute)
        if name in self._external:
            try:
                return self._external[name].load()
            except Exception as error:  # what another package raises when imported is its own
                raise ConfigError(
                    f"{self.kind.rstrip('s')} {name!r} cannot be loaded",
                    why=f"{self._external[name].value}: {error}",
                    remedy="mend or remove the package that adds it",
                ) from error
        raise unknown(self.kind.rstrip("s"), name, self.names())


def keyword_options(component: Any) -> dict[str, inspect.Parameter]:
    """Return the keyword-only parameters of a component, which are its options, by name."""
    parameters = inspect.signature(component).parameters
    return {name: each for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}


def check_options(kind: str, name: str, component: Any, options: Iterable[str]) -> None:
    """Refuse options that a component's signature does not have.

    Raises:
        ConfigError: an option is unknown; the message lists all and the nearest.
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
        why=f"there are: {', '.join(choices)}",
        remedy=f"did you mean {near!r}?" if near else "",
    )
