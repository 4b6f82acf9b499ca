"""Samples that a data set holds more than once, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from .base import Inputs, Split
from .events import Events


def digests(inputs: Inputs) -> Iterator[bytes]:
    """Yield a hash of the values of each sample in memory."""
    if isinstance(inputs, Tensor):
        for sample in inputs:
            yield digest(sample.numpy())
    elif isinstance(inputs, Events):
        for start, count in zip(inputs.start.tolist(), inputs.count.tolist(), strict=True):
            part = slice(start, start + count)
            yield digest(inputs.t[part], inputs.x[part], inputs.y[part], inputs.p[part])


def copies_between(train: Split, validation: Split, test: Split) -> list[str]:
    """Return a line for each part that has exact copies of training samples.

    Such copies flatter the accuracy of a part that was cut at random. Samples that are decoded at
    access are not compared: it would take as long as an epoch.
    """
    known = set(digests(train.inputs))
    found = []
    for name, split in (("validation", validation), ("test", test)):
        copies = sum(each in known for each in digests(split.inputs))
        if copies:
            found.append(
                f"{copies:,} of {len(split):,} {name} samples are exact copies of training samples"
            )
    return found


def digest(*arrays: np.ndarray) -> bytes:
    """Return a hash of the values of arrays, 16 bytes."""
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.digest()
