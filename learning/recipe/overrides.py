"""`--set key=value`: changes to a recipe, and what follows from them."""

from __future__ import annotations

import copy
from typing import Any

from ...core.documents import read_toml
from ...core.errors import ConfigError
from .checking import NAMED, component_options, named_component


def parse_override(text: str) -> tuple[list[str], Any]:
    """Return the key's parts and the value of `section.key=value`.

    The value is read as TOML (numbers, true, [lists], "text"); what is not TOML is text.

    Raises:
        ConfigError: there is no `=` or no section.
    """
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts) or (len(parts) < 2 and key not in ("name", "description")):
        raise ConfigError(
            f"--set {text!r} is not of the form section.key=value",
            remedy="for example --set train.epochs=20 or --set coding.name=direct",
        )
    try:
        return parts, read_toml(f"value = {value}")["value"]
    except ValueError:
        return parts, value.strip()


def override(
    document: dict[str, Any], changes: list[tuple[list[str], Any]]
) -> tuple[dict[str, Any], list[str]]:
    """Return the document with each change (key's parts, value) applied, and notices for the user.

    Where a change names another component (`coding.name=direct`), options of the former one that
    the new one does not have are left out, each with a notice; options that the changes
    themselves set are kept, so that a fault in them shows.

    Raises:
        ConfigError: a key leads through something that is not a table.
    """
    changed = copy.deepcopy(document)
    given: set[tuple[str, ...]] = set()
    for parts, value in changes:
        given.add(tuple(parts))
        table = changed
        for part in parts[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{'.'.join(parts)}: {part!r} is not a table")
        table[parts[-1]] = value
    notices = []
    for section in NAMED:
        notices += _leave_out_options(section, document, changed, given)
    return changed, notices


def _leave_out_options(
    section: str,
    before: dict[str, Any],
    after: dict[str, Any],
    given: set[tuple[str, ...]],
) -> list[str]:
    old, new = named_component(section, before), named_component(section, after)
    table = after.get(section)
    if old == new or not isinstance(table, dict):
        return []
    try:
        known = {*NAMED[section][0].model_fields, *component_options(section, new)}
        former = component_options(section, old)
    except ConfigError:  # an unknown name is reported with all other faults
        return []
    stale = [
        key for key in table if key in former and key not in known and (section, key) not in given
    ]
    for key in stale:
        del table[key]
    return [f"{section}.{key} is left out: {new!r} has no such option" for key in stale]
