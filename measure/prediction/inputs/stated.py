"""The classes that a file states for its samples, as names of the classes of a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....core.errors import DataError
from ....datasets.sources.labels import first_number, one_each


def stated_classes(
    labels: np.ndarray, classes: Sequence[str], names: Sequence[str] | None = None
) -> list[str | None]:
    """Return the class of each sample, None where the network has no such class.

    Labels have the forms that a training takes. Text is a name. A number is that of a name in the
    file; without names it is itself the name of a class if the classes are called by numbers, as
    those of a training on labels 1..K; otherwise it counts the classes of the network from 0.

    Args:
        labels: as in the file.
        classes: of the network.
        names: of the classes of the file, if it has them.
    """
    try:
        plain = one_each("", "y", labels, "sample", {})
    except DataError:
        return [None] * len(labels)
    if plain.dtype.kind == "U":
        found = plain.tolist()
    elif names is not None:
        first = first_number({"train": plain}, np.asarray(names)) if len(plain) else 0
        found = [_at(names, int(label) - first) for label in plain]
    elif all(name.isdecimal() for name in classes):
        found = [str(label) for label in plain]
    else:
        found = [_at(classes, int(label)) for label in plain]
    return [name if name in classes else None for name in found]


def _at(names: Sequence[str], number: int) -> str | None:
    return names[number] if 0 <= number < len(names) else None
