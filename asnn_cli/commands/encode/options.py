"""The options of codes on the command line of `asnn encode`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ....coding import Coding
    from ....coding.samples import SampleSpec

STEPS = 4
Changes = list[tuple[list[str], Any]]


def coding_changes(thresholds: str | None, variant: str | None, options: list[str]) -> Changes:
    """Return the options of codes on the command line as changes of a recipe.

    Raises:
        ConfigError: a value of `--set` is not KEY=VALUE, or its key has an option of its own.
    """
    from ....core.errors import ConfigError

    named = {"thresholds": thresholds, "variant": variant}
    changes: Changes = [
        (["coding", key], value) for key, value in named.items() if value is not None
    ]
    for keys, value in (key_and_value(option, "coding.") for option in options):
        if keys[1:] in (["name"], ["steps"]):
            option = {"name": "--coding", "steps": "--steps"}[keys[1]]
            raise ConfigError(f"--set does not take {keys[1]}", remedy=f"use {option}")
        changes.append((keys, value))
    return changes


def key_and_value(option: str, section: str = "") -> tuple[list[str], Any]:
    """Return the key, split at dots and below a section, and the value of `--set KEY=VALUE`.

    Raises:
        ConfigError: it is not of this form.
    """
    from ....core.errors import ConfigError
    from ....learning import parse_override

    try:
        return parse_override(f"{section}{option}")
    except ConfigError as error:
        raise ConfigError(
            f"--set {option!r} is not of the form KEY=VALUE",
            remedy="for example --set tau=2.0 or --set data.size=[8,8]",
        ) from error


def coding_options(coding: str, steps: int, changes: Changes) -> dict[str, Any]:
    """Return the options of a code, checked in the same way as in a recipe.

    Raises:
        ConfigError: the code or an option is unknown, or a value or the number of steps is wrong.
    """
    from ....core.errors import ConfigError
    from ....learning import override
    from ....learning.recipe.checking import check_coding

    named: Changes = [(["coding", "name"], coding), (["coding", "steps"], steps)]
    document, _ = override({}, named + changes)
    try:
        options = check_coding(document["coding"]).options()
    except ConfigError as error:  # the user wrote no recipe: without its section names
        raise ConfigError(
            error.what,
            why=error.why.replace("coding.", ""),
            remedy="`asnn encode -h` shows the options",
        ) from error
    return {key: value for key, value in options.items() if value is not None}


def default_steps(coding: str, spec: SampleSpec | None = None) -> int:
    """Return the number of steps without `--steps`: those of a series, 1 of exact times, else 4.

    Args:
        coding: name of a code; an unknown one is refused later, with the known ones.
        spec: of the samples, once they are known.
    """
    if gives_times(coding):
        return 1
    if spec is None or spec.steps is None:
        return STEPS
    from ....coding import coding_registry

    return spec.steps if spec.kind in getattr(coding_registry.get(coding), "takes", ()) else STEPS


def gives_times(coding: str) -> bool:
    """Return whether a code gives exact times instead of steps; false of an unknown one."""
    from ....coding import coding_registry

    known = coding in coding_registry.names()
    return known and bool(getattr(coding_registry.get(coding), "gives_times", False))


def bound_coding(coding: str, steps: int, options: dict[str, Any], spec: SampleSpec) -> Coding:
    """Return a code of the samples of the input.

    Raises:
        ConfigError: it takes other samples, or not so many steps.
    """
    from ....coding import create_coding
    from ....core.errors import ConfigError

    code = create_coding(coding, steps=steps, **options)
    try:
        code.bind(spec)
    except ConfigError as error:  # its remedy is one of recipes
        remedy = error.remedy.replace("set coding.name=", "use --coding ")
        remedy = remedy.replace("set coding.steps=", "use --steps ")
        remedy = remedy.replace("coding.fit to", "--set fit= with one of")
        raise ConfigError(error.what, why=error.why, remedy=remedy) from error
    return code


def shared_options(names: list[str], steps: int, changes: Changes) -> dict[str, dict[str, Any]]:
    """Return the options of several codes by name: each gets the options that it knows.

    Raises:
        ConfigError: as `coding_options`, or none of the codes knows an option.
    """
    from ....core.registry import unknown
    from ....learning.recipe.checking import component_options

    known = {name: component_options("coding", name) for name in names}
    all_known = sorted(set().union(*known.values()))
    for keys, _ in changes:
        if keys[1] not in all_known:
            raise unknown(f"option of {', '.join(names)}", keys[1], all_known or ["none"])
    return {
        name: coding_options(name, steps, [each for each in changes if each[0][1] in known[name]])
        for name in names
    }
