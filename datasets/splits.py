"""Stratified, disjoint parts of a split, the same in every run."""

import numpy as np
import torch
from torch import Tensor

from ..coding.samples import EventList
from .base import Inputs, LazyInputs, Split
from .events import Events

SEED = 1797
"""Never changes: runs with different seeds have the same three splits."""


class LazySubset:
    """Lazy samples at given indices of other lazy samples."""

    def __init__(self, inputs: LazyInputs, indices: Tensor) -> None:
        self.inputs = inputs
        self.indices = indices.tolist()
        self.shape = (len(self.indices), *inputs.shape[1:])
        if hasattr(inputs, "identity"):
            self.identity = self._identity
        if hasattr(inputs, "spec"):
            self.spec = inputs.spec  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Tensor | EventList:
        return self.inputs[self.indices[index]]

    def _identity(self, index: int) -> str:
        return self.inputs.identity(self.indices[index])  # type: ignore[attr-defined]


def original(inputs: Inputs, index: int) -> tuple[Inputs, int]:
    """Return the inputs that subsets are cut from, and the index of a sample there."""
    while isinstance(inputs, LazySubset):
        inputs, index = inputs.inputs, inputs.indices[index]
    return inputs, index


def take(split: Split, indices: Tensor) -> Split:
    """Return the samples of `split` at `indices` `[M]`."""
    inputs: Inputs
    if isinstance(split.inputs, Tensor):
        inputs = split.inputs[indices]
    elif isinstance(split.inputs, Events):
        inputs = split.inputs.take(indices)
    else:
        inputs = LazySubset(split.inputs, indices)
    return Split(inputs, split.targets[indices], None if split.ids is None else split.ids[indices])


def cut(split: Split, fraction: float, part: int) -> tuple[Split, Split]:
    """Return `split` without a stratified `fraction`, and that fraction.

    Each class gives its rounded share, at least one sample and never its last; samples without one
    class each are of one stratum. Samples of the same `ids`, such as the windows of a recording,
    stay together: if there are any, groups of them are cut, of one stratum. `part` numbers the cuts
    of one source, so that their random numbers are independent.
    """
    random = np.random.default_rng([SEED, part])
    if _has_groups(split):
        return _cut_groups(split, fraction, random)
    labels = _strata(split)
    is_cut = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        share = max(1, int(fraction * len(members) + 0.5))
        is_cut[members[: min(share, len(members) - 1)]] = True
    return (
        take(split, torch.from_numpy(np.flatnonzero(~is_cut))),
        take(split, torch.from_numpy(np.flatnonzero(is_cut))),
    )


def _has_groups(split: Split) -> bool:
    return split.ids is not None and len(split.ids.unique()) < len(split.ids)


def _cut_groups(split: Split, fraction: float, random: np.random.Generator) -> tuple[Split, Split]:
    assert split.ids is not None
    groups = np.unique(split.ids.numpy())
    share = min(max(1, int(fraction * len(groups) + 0.5)), len(groups) - 1)
    is_cut = np.isin(split.ids.numpy(), random.permutation(groups)[:share])
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
    labels = _strata(split)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        # Each class is equally spaced over [0, 1), so that any first part has its share of it.
        rank[members] = (np.arange(len(members)) + random.random()) / len(members)
    kept = np.sort(np.argsort(rank, kind="stable")[:limit])
    return take(split, torch.from_numpy(kept))


def _strata(split: Split) -> np.ndarray:
    """Return the class of each sample, 0 for all if a sample has labels of steps or real values."""
    one_class = split.targets.dim() == 1 and not split.targets.is_floating_point()
    return split.targets.numpy() if one_class else np.zeros(len(split), np.int64)
