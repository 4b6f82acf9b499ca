"""The order of the samples in an epoch: which are drawn, and how often."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def shuffled_order(targets: Tensor, generator: Generator | None) -> Tensor:
    """Return each of N samples once, in a random order: draws `[N]`, see `balanced_order`."""
    return torch.randperm(len(targets), generator=generator)


def balanced_order(targets: Tensor, generator: Generator | None) -> Tensor:
    """Return N draws from N samples, equally many of each class, in a random order.

    The numbers of draws of two classes differ by at most one. Of a class that has more samples
    than draws, a random part is drawn; of a smaller one each sample as often as another, or once
    more. The draw i + r N is sample i for the r-th time in the epoch, counted from 0.

    Args:
        targets: classes of the samples, `[N]`.
        generator: on the CPU; by default torch's global generator.
    """
    count = len(targets)
    present = targets.unique()
    share, rest = divmod(count, len(present))
    draws = torch.full((len(present),), share)
    draws[torch.randperm(len(present), generator=generator)[:rest]] += 1
    found = []
    for each, wanted in zip(present, draws.tolist(), strict=True):
        members = (targets == each).nonzero().flatten()
        rounds = -(-wanted // len(members))
        of_class = [
            members[torch.randperm(len(members), generator=generator)] + number * count
            for number in range(rounds)
        ]
        found.append(torch.cat(of_class)[:wanted] if rounds else members[:0])
    return torch.cat(found)[torch.randperm(count, generator=generator)]
