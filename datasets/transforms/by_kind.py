"""Which class augments which kind of samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, get_type_hints

from ...coding.samples import PLURALS, SampleSpec
from ...core.errors import ConfigError
from ...core.registry import unknown
from ..base import TargetKind
from .augment import Augment
from .base import Augmentation
from .boxes import carry_boxes
from .events import EventAugment
from .flow import carry_flow
from .positions import Carrying
from .series import SeriesAugment

BY_KIND: dict[str, type[Any]] = {
    "image": Augment,
    "events": EventAugment,
    "series": SeriesAugment,
}
CARRIED = {"boxes": carry_boxes, "flow": carry_flow}
"""What moves targets that have a place in the sample."""


def augment_options() -> dict[str, tuple[Any, Any]]:
    """Return type and default of the options of all kinds, by name.

    Kinds that share an option give it the same type and default.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for each in BY_KIND.values():
        hints = get_type_hints(each)
        found |= {field.name: (hints[field.name], field.default) for field in fields(each)}
    return found


def options_of(kind: str) -> list[str]:
    """Return the names of the options of a kind."""
    return [field.name for field in fields(BY_KIND[kind])]


def options_of_others(kind: str, options: Mapping[str, Any]) -> list[str]:
    """Return the names of the options that augment other kinds and are not at their default."""
    own = options_of(kind)
    return [key for key in _given(options) if key not in own]


def moving_options(kind: str, options: Mapping[str, Any]) -> list[str]:
    """Return the names of the options, not at their default, that may move what a sample shows."""
    moving = getattr(BY_KIND[kind], "moving", ())
    return [key for key in _given(options) if key in moving]


def _given(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the options that are not at their default."""
    for key, (_, default) in augment_options().items():
        value = options.get(key, default)
        # A recipe read from a file has lists for tuples.
        if (tuple(value) if isinstance(value, list) else value) != default:
            yield key


def make_augment(
    spec: SampleSpec, options: Mapping[str, Any], target: TargetKind | None = None
) -> Augmentation:
    """Return the augmentation of the samples of a data set, with their targets.

    Args:
        spec: of the samples.
        options: of any kind; those of other kinds at their default.
        target: what the targets are, if they have a place in the sample.

    Raises:
        ConfigError: an option of another kind, an unknown one, one that is out of range, does not
            fit the samples or would leave their targets wrong.
    """
    augment = augment_kind(spec.kind, options)
    augment.check(spec)
    if target is None:
        return augment
    _require_right_targets(spec, options, target)
    if not moving_options(spec.kind, options):
        return augment
    height, width = spec.shape[-2:]
    return Carrying(augment, partial(CARRIED[target], height=height, width=width))


def _require_right_targets(
    spec: SampleSpec, options: Mapping[str, Any], target: TargetKind
) -> None:
    keeping = getattr(BY_KIND[spec.kind], "keeping", {}).get(target, ())
    wrong = [f"augment.{key}" for key in _given(options) if key not in keeping]
    if wrong:
        raise ConfigError(
            f"{' and '.join(wrong)} would leave the {target} of the {spec.many} wrong",
            why=f"{spec.many} with {target} take {', '.join(keeping) or 'no augmentation'}",
            remedy="leave the others out",
        )


def augment_kind(kind: str, options: Mapping[str, Any]) -> Augmentation:
    """Return the augmentation of a kind of samples, as `make_augment`, but for the size.

    Raises:
        ConfigError: an option of another kind, an unknown one, or one that is out of range.
    """
    own, known = options_of(kind), list(augment_options())
    for key in options:
        if key not in known:
            raise unknown("option of augment", key, known)
    others = options_of_others(kind, options)
    if others:
        raise ConfigError(
            f"{_what_they_augment(others)}, the samples are {PLURALS[kind]}",
            why=f"{PLURALS[kind]} take {', '.join(own)}",
            remedy="leave the others out",
        )
    return BY_KIND[kind](**{key: value for key, value in options.items() if key in own})


def _what_they_augment(keys: list[str]) -> str:
    by_kinds: dict[str, list[str]] = {}
    for key in keys:
        kinds = " and ".join(PLURALS[kind] for kind in BY_KIND if key in options_of(kind))
        by_kinds.setdefault(kinds, []).append(f"augment.{key}")
    return ", ".join(
        f"{' and '.join(names)} {'augments' if len(names) == 1 else 'augment'} {kinds}"
        for kinds, names in by_kinds.items()
    )
