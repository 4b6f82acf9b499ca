"""The interface of augmentation, and the random numbers of a sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from torch import Generator, Tensor

from ...coding.samples import SampleSpec
from .mixing import Targets


class Augmentation(Protocol):
    """Random changes of the samples of one kind; its fields are its options."""

    def check(self, spec: SampleSpec) -> None:
        """Refuse samples that an option does not fit.

        Raises:
            ConfigError: the option and the reason.
        """
        ...

    def apply(
        self,
        x: Any,
        y: Tensor,
        *,
        epoch: int,
        generator: Generator | None = None,
        samples: Iterable[Generator] = (),
    ) -> tuple[Any, Targets]:
        """Return the changed batch of samples and its targets.

        Args:
            x: B samples.
            y: their targets, `[B, ...]`.
            epoch: counted from 0.
            generator: for what depends on the batch; on the CPU.
            samples: a generator for each sample, on the CPU, for what does not depend on the batch.
        """
        ...


def sample_generators(seed: int, samples: Tensor) -> Iterator[Generator]:
    """Yield a generator for each sample; it depends on the seed and the sample's number alone.

    Args:
        seed: of the epoch.
        samples: indices in the split, `[B]`.
    """
    for sample in samples.tolist():
        sequence = np.random.SeedSequence(seed, spawn_key=(sample,))
        yield Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]) >> 1)
