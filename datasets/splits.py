"""Stratified, disjoint parts of a split, the same in every run."""

import numpy as np
import torch
from torch import Tensor

from .base import LazyImages, Split

SEED = 1797
"""Never changes: runs with different seeds have the same three splits."""


class LazySubset:
    """Lazy images at given indices of other lazy images."""

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
    return Split(LazySubset(split.images, indices), split.labels[indices])


def cut(split: Split, fraction: float, part: int) -> tuple[Split, Split]:
    """Return `split` without a stratified `fraction`, and that fraction.

    Each class gives its rounded share, at least one sample and never its last. `part` numbers the
    cuts of one source, so that their random numbers are independent.
    """
    random = np.random.default_rng([SEED, part])
    labels = split.labels.numpy()
    is_cut = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        share = max(1, int(fraction * len(members) + 0.5))
        is_cut[members[: min(share, len(members) - 1)]] = True
    return (
        take(split, torch.from_numpy(np.flatnonzero(~is_cut))),
        take(split, torch.from_numpy(np.flatnonzero(is_cut))),
    )


def head(split: Split, count: int | None) -> Split:
    """Return the first `count` samples of `split`, all of them for None."""
    if count is None or count >= len(split):
        return split
    return take(split, torch.arange(count))


def subset(split: Split, limit: int) -> Split:
    """Return `limit` samples of `split`, classes in proportion.

    They are the first of a fixed order, so a smaller limit gives a subset of a larger one.
    """
    if limit >= len(split):
        return split
    random = np.random.default_rng([SEED, 0])
    labels = split.labels.numpy()
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        # Each class is equally spaced over [0, 1), so that any first part has its share of it.
        rank[members] = (np.arange(len(members)) + random.random()) / len(members)
    kept = np.sort(np.argsort(rank, kind="stable")[:limit])
    return take(split, torch.from_numpy(kept))
