"""The names that arrays of samples and labels have in files of others."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from ...core.errors import DataError

PARTS = ("train", "test", "validation")
SAMPLES = ("x", "image", "images", "data", "input", "inputs", "sample", "samples", "feature")
SAMPLES += ("features", "series")
TARGETS = ("y", "label", "labels", "target", "targets")
ROLES = {**dict.fromkeys(SAMPLES, "x"), **dict.fromkeys(TARGETS, "y")}
SPELLED = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPELLED |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")


def canonical(name: str) -> str:
    """Return the name that the array called `name` has here; `name` itself if it is no other's.

    >>> canonical("X_train"), canonical("val_images"), canonical("target"), canonical("weights")
    ('x_train', 'x_validation', 'y_train', 'weights')
    """
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    if len(words) == 1 and words[0] in ROLES:
        return f"{ROLES[words[0]]}_train"
    if len(words) == 2:
        for role, part in (words, words[::-1]):
            if role in ROLES and part in SPELLED:
                return f"{ROLES[role]}_{SPELLED[part]}"
    return name


def renamed(path: str, arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return arrays by their canonical names, and a note for those that had another.

    An array that has the canonical name goes before others of the same meaning.

    Raises:
        DataError: two arrays have the same meaning.
    """
    found: dict[str, np.ndarray] = {}
    origin: dict[str, str] = {}
    for name, array in arrays.items():
        own = canonical(name)
        if own != name and own in arrays:
            continue
        if own in found:
            raise DataError(
                f"{path} has two arrays for {own}",
                why=f"both {origin[own]} and {name} can be meant",
                remedy=f"save the one that is meant as {own}, and leave the other out",
            )
        found[own], origin[own] = array, name
    others = [f"{old} as {new}" for new, old in origin.items() if new != old]
    return found, [f"reads {', '.join(others)}"] if others else []
