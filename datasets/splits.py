"""Cutting one split into disjoint, stratified parts, the same in every run."""

import numpy as np
import torch
from torch import Tensor

from .base import LazyImages, Split

SEED = 1797
"""Fixed for ever: runs with different seeds must see the same three splits."""


class View:
    """Some of the images of a lazy object, chosen by index."""

    def __init__(self, images: LazyImages, indices: Tensor) -> None:
        self.images = images
        self.indices = indices.tolist()
        self.shape = (len(self.indices), *images.shape[1:])
        if hasattr(images, "identity"):
            self.identity = self._identity

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[self.indices[index]]

    def _identity(self, index: int) -> str:
        return self.images.identity(self.indices[index])  # type: ignore[attr-defined]


def take(split: Split, indices: Tensor) -> Split:
    """Return the samples of `split` at `indices` `[M]`."""
    if isinstance(split.images, Tensor):
        return Split(split.images[indices], split.labels[indices])
    return Split(View(split.images, indices), split.labels[indices])


def cut(split: Split, fraction: float, part: int) -> tuple[Split, Split]:
    """Cut a stratified `fraction` off `split`, and return (what is left, what was cut off).

    Every class gives its rounded share: at least one sample, and never its last one. `part`
    numbers the cuts of one source, so that they draw independently.
    """
    random = np.random.default_rng([SEED, part])
    labels = split.labels.numpy()
    away = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        share = max(1, int(fraction * len(members) + 0.5))
        away[members[: min(share, len(members) - 1)]] = True
    return (
        take(split, torch.from_numpy(np.flatnonzero(~away))),
        take(split, torch.from_numpy(np.flatnonzero(away))),
    )


def head(split: Split, count: int | None) -> Split:
    """Return the first `count` samples of `split` in its own order; all of them for None."""
    if count is None or count >= len(split):
        return split
    return take(split, torch.arange(count))


def subset(split: Split, limit: int) -> Split:
    """Return `limit` samples of `split`: the head of a fixed order that mixes the classes evenly.

    A smaller limit keeps a subset of what a larger one keeps.
    """
    if limit >= len(split):
        return split
    random = np.random.default_rng([SEED, 0])
    labels = split.labels.numpy()
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        # Spread over [0, 1): whatever length the head has, each class has its share in it.
        place[members] = (np.arange(len(members)) + random.random()) / len(members)
    kept = np.sort(np.argsort(place, kind="stable")[:limit])
    return take(split, torch.from_numpy(kept))
