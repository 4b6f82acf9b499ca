"""`--set key=value`: changes to a recipe."""

from __future__ import annotations

import copy
from typing import Any

from ...coding.samples import PLURALS
from ...core.documents import read_toml
from ...core.errors import ConfigError
from ...datasets.transforms.by_kind import options_of_others
from ...tasks.factory import task_registry
from .checking import NAMED, component_options, named_component, sample_kind
from .schema import LOSS_KEYS, TrainSection


def _sections_of(key: str) -> list[str]:
    """Return a key with its section, for each section that has it whatever its component is."""
    sections = {name: section for name, (section, *_) in NAMED.items()} | {"train": TrainSection}
    return [f"{name}.{key}" for name, section in sections.items() if key in section.model_fields]


def parse_override(text: str) -> tuple[list[str], Any]:
    """Return the key's parts and the value of `section.key=value`.

    The value is read as TOML (numbers, true, [lists], "text"), and as text if it is not TOML.

    Raises:
        ConfigError: there is no `=` or no section.
    """
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts) or (len(parts) < 2 and key not in ("name", "description")):
        like = [f"--set {full}={value or '...'}" for full in _sections_of(key.strip())]
        raise ConfigError(
            f"--set {text!r} is not of the form section.key=value",
            remedy=" or ".join(like)
            or "for example --set train.epochs=20 or --set coding.name=direct",
        )
    try:
        return parts, read_toml(f"value = {value}")["value"]
    except ValueError:
        return parts, value.strip()


def override(
    document: dict[str, Any], changes: list[tuple[list[str], Any]]
) -> tuple[dict[str, Any], list[str]]:
    """Return the document with each change (key's parts, value) applied, and notices for the user.

    If a change selects another component (`coding.name=direct`), options that only the former one
    has are left out, each with a notice; so are options of `augment` for other samples than the
    new code takes. Options set by `changes` are kept, so that a mistake in them is reported.

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
    notices += _leave_out_augmentation(document, changed, given)
    return changed, notices + _leave_out_loss(document, changed, given)


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
    except ConfigError:  # an unknown name is reported by check_recipe
        return []
    stale = [
        key for key in table if key in former and key not in known and (section, key) not in given
    ]
    for key in stale:
        del table[key]
    return [f"{section}.{key} is left out: {new!r} has no such option" for key in stale]


def _leave_out_augmentation(
    before: dict[str, Any], after: dict[str, Any], given: set[tuple[str, ...]]
) -> list[str]:
    new = named_component("coding", after)
    table = after.get("augment")
    try:
        kind, former = sample_kind(new), sample_kind(named_component("coding", before))
    except ConfigError:  # an unknown name is reported by check_recipe
        return []
    if kind == former or not isinstance(table, dict):
        return []
    stale = [key for key in options_of_others(kind, table) if ("augment", key) not in given]
    for key in stale:
        del table[key]
    takes = PLURALS[kind]
    return [
        f"augment.{key} is left out: it does not augment {takes}, which {new!r} takes"
        for key in stale
    ]


def _leave_out_loss(
    before: dict[str, Any], after: dict[str, Any], given: set[tuple[str, ...]]
) -> list[str]:
    new = named_component("task", after)
    table = after.get("train")
    try:
        uses_loss = task_registry.get(new).uses_loss()
    except ConfigError:  # an unknown name is reported by check_recipe
        return []
    if uses_loss or new == named_component("task", before) or not isinstance(table, dict):
        return []
    stale = []
    for key in LOSS_KEYS:
        if key in table and ("train", key) not in given:
            value, default = table.pop(key), TrainSection.model_fields[key].default
            if value != default:
                stale.append(key)
    return [f"train.{key} is left out: the task {new} has a loss of its own" for key in stale]
