"""Random numbers that depend on a seed and the sample, not on its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b

import torch
from torch import Generator, Tensor

from ...coding.samples import Batch, EventBatch


class SampleRandom:
    """Random numbers for each sample of a batch, which depend on a key and the sample alone.

    They do not depend on the batch or the severity: a stronger corruption extends a weaker one.

    Args:
        samples: images or series `[B, ...]`, or B recordings of events.
        key: the name of the corruption and the seed.

    Attributes:
        generators: one for each sample, on the CPU.
    """

    def __init__(self, samples: Batch, key: str) -> None:
        self.generators = []
        for parts in _contents(samples):
            digest = blake2b(digest_size=8, key=key.encode())
            for part in filter(Tensor.numel, parts):
                digest.update(part.flatten().view(torch.uint8).numpy().data)
            seed = int.from_bytes(digest.digest())
            self.generators.append(Generator().manual_seed(seed))

    def uniform(self, like: Tensor) -> Tensor:
        """Return uniform numbers in [0, 1), shaped like `[B, ...]`, float32."""
        return self._fill(like, lambda row, generator: row.uniform_(generator=generator))

    def normal(self, like: Tensor) -> Tensor:
        """Return standard normal numbers, shaped like `[B, ...]`, float32."""
        return self._fill(like, lambda row, generator: row.normal_(generator=generator))

    def _fill(self, like: Tensor, fill: Callable[[Tensor, Generator], Tensor]) -> Tensor:
        values = torch.empty(like.shape)
        for row, generator in zip(values, self.generators, strict=True):
            fill(row, generator)
        return values.to(like.device)

    def rows(self, counts: Tensor, draw: Callable[[int, Generator], Tensor]) -> Tensor:
        """Return what `draw(count, generator)` gives for each sample, one after another.

        Args:
            counts: the number of rows of each sample, `[B]`.
            draw: returns a float64 tensor of `count` rows.
        """
        drawn = zip(counts.tolist(), self.generators, strict=True)
        parts = [draw(count, generator) for count, generator in drawn]
        # A batch without samples has no rows; `draw` says how wide they would be.
        return torch.cat(parts or [draw(0, Generator())]).to(counts.device)


def traded(trades: Tensor, key: Tensor) -> Tensor:
    """Return an order in which places trade at random, `[B, N]`: place n gets what is at order[n].

    Args:
        trades: the places that trade; the others keep what they have.
        key: uniform numbers in [0, 1).
    """
    at = torch.arange(trades.shape[1], device=trades.device).expand(trades.shape)
    # The places that trade first, in order and at random; then the others, twice in order.
    to = torch.where(trades, at, at + trades.shape[1]).argsort(1)
    given = torch.where(trades, key, at + 1.0).argsort(1)
    return torch.empty_like(to).scatter_(1, to, given)


def _contents(samples: Batch) -> Iterator[list[Tensor]]:
    """Yield the values of each sample, contiguous and on the CPU."""
    if not isinstance(samples, EventBatch):
        for sample in samples.detach().cpu().contiguous():
            yield [sample]
        return
    columns = [each.cpu() for each in (samples.t, samples.x, samples.y, samples.p)]
    sizes = samples.counts().tolist()
    for parts in zip(*(column.split(sizes) for column in columns), strict=True):
        yield [part.contiguous() for part in parts]
