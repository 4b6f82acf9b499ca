"""Batches of one epoch, from samples in memory or from samples that workers decode."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from ..coding.samples import Batch, EventBatch, SampleSpec
from ..core.errors import AsnnError, ConfigError, DataError
from .base import LazyInputs, Split
from .events import Events
from .order import shuffled_order
from .transforms.base import Augmentation, sample_generators
from .transforms.mixing import Targets

Order = Callable[[Tensor, Generator | None], Tensor]


class Batches:
    """Yields `(x, targets)`: a batch of samples and their targets.

    The targets hold the indices of the samples in the split; of a sample that an epoch draws more
    than once, index + r N for its r-th time, so that each time has random numbers of its own.

    Images are float32 `[B, C, H, W]` in [0, 1], series float32 `[B, T, ...]`, recordings of events
    an `EventBatch`.

    At the start of the iteration, `generator` draws the order of the samples and one augmentation
    seed per batch; the first of them is also the seed of the epoch, from which each sample has a
    generator of its own. An epoch that is resumed at batch `start`, with the generator in the
    state that it had when the epoch began, therefore yields the same batches as an uninterrupted
    epoch.

    Args:
        split: the samples.
        batch_size: samples per batch; the last batch may be smaller.
        full_scale: the uint8 value that becomes 1.0.
        device: the device of the batches.
        shuffle: use a random order, that of `order`, and drop a last batch of one sample, which
            batch norm cannot train on, unless it is the only batch.
        order: draws the samples of an epoch, see `asnn.datasets.order`.
        generator: a generator on the CPU; by default torch's global generator.
        augment: augmentation of the samples, from `make_augment`; None for none.
        epoch: counted from 0, for augmentation that depends on it.
        workers: processes that decode lazy images; 0 decodes in this process.
        start: the number of batches to skip without loading them.
        part: (rank, world size): yield only this process's share of each batch; the sizes of the
            shares differ by at most one. With `shuffle`, a last batch with fewer than two samples
            per process is dropped, unless it is the only batch.

    Raises:
        ConfigError: `batch_size` is not positive, `start` or `workers` is negative, or with
            several processes a batch has fewer than one sample (two with `shuffle`) per process.
        DataError: a lazy image cannot be decoded.
        AsnnError: a worker process has failed.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        full_scale: float,
        device: str | torch.device = "cpu",
        shuffle: bool = False,
        order: Order = shuffled_order,
        generator: Generator | None = None,
        augment: Augmentation | None = None,
        epoch: int = 0,
        workers: int = 0,
        start: int = 0,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        for key, value, minimum in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("start", start, 0),
        ):
            if value < minimum:
                raise ConfigError(f"{key} is {value}", why=f"it must be at least {minimum}")
        self.split = split
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.shuffle = shuffle
        self.order = order
        self.generator = generator
        self.augment = augment
        self.epoch = epoch
        self.workers = workers
        self.start = start
        self.rank, self.processes = part
        per_process = 2 if shuffle else 1
        if self.processes > 1 and min(batch_size, len(split)) < per_process * self.processes:
            raise ConfigError(
                f"{min(batch_size, len(split))} samples are too few for {self.processes} processes",
                why=f"each needs {per_process} of a batch"
                + (", for batch norm" if shuffle else ""),
                remedy="use larger batches or more samples, or start fewer processes",
            )
        # A tensor: CUDA would multiply by the rounded reciprocal of a Python number.
        self.full_scale = torch.tensor(full_scale, dtype=torch.float32, device=self.device)

    def __len__(self) -> int:
        return max(0, self._batches_per_epoch() - self.start)

    def __iter__(self) -> Iterator[tuple[Batch, Targets]]:
        count = self._batches_per_epoch()
        if self.shuffle:
            order = self.order(self.split.targets, self.generator)
        else:
            order = torch.arange(len(self.split))
        chosen = order.split(self.batch_size)[:count]
        seeds = [0] * count
        if self.augment is not None:
            seeds = torch.randint(2**62, (count,), generator=self.generator).tolist()
        # It does not depend on the number of batches, so neither do the generators of the samples.
        epoch_seed = seeds[0] if seeds else 0
        shares = [index.tensor_split(self.processes)[self.rank] for index in chosen[self.start :]]
        # Rank 0 has the seeds of a single process; the other ranks have different seeds.
        seeds = [seed + self.rank for seed in seeds[self.start :]]
        indices = tuple(share % max(len(self.split), 1) for share in shares)
        for index, draws, inputs, seed in zip(
            indices, shares, self._inputs(indices), seeds, strict=True
        ):
            y = self._to_device(self.split.targets[index])
            x = self._on_device(inputs)
            if self.augment is None:
                yield x, Targets(y, y, 1.0, draws, x)
                continue
            x, targets = self.augment.apply(
                x,
                y,
                epoch=self.epoch,
                generator=torch.Generator().manual_seed(seed),
                samples=sample_generators(epoch_seed, draws),
            )
            yield x, targets._replace(samples=draws, inputs=x)

    def _batches_per_epoch(self) -> int:
        full, rest = divmod(len(self.split), self.batch_size)
        if 0 < rest < 2 * self.processes and full > 0 and self.shuffle:
            return full
        return full + (rest > 0)

    def sample_indices(self) -> Tensor:
        """Return the indices of this process's samples in the split, in unshuffled order."""
        batches = torch.arange(len(self.split)).split(self.batch_size)[self.start :]
        return torch.cat([batch.tensor_split(self.processes)[self.rank] for batch in batches])

    def size(self, batch: int) -> int:
        """Return the number of samples of a batch over all processes."""
        return min(self.batch_size, len(self.split) - batch * self.batch_size)

    def _inputs(self, indices: tuple[Tensor, ...]) -> Iterator[Batch]:
        inputs = self.split.inputs
        if isinstance(inputs, Events):
            return (inputs.batch(index) for index in indices)
        if isinstance(inputs, Tensor):
            return (inputs[index] for index in indices)
        return _decoded(inputs, indices, self.workers)

    def _on_device(self, inputs: Batch) -> Batch:
        if isinstance(inputs, EventBatch):
            return inputs.to(self.device)
        x = self._to_device(inputs)
        return x.float() / self.full_scale if x.dtype == torch.uint8 else x.float()

    def _to_device(self, values: Tensor) -> Tensor:
        if self.device.type == "cuda":
            # Only a copy from pinned memory is asynchronous.
            return values.pin_memory().to(self.device, non_blocking=True)
        return values.to(self.device)


class _Samples:
    """Lazy samples as a data set for a DataLoader, read one batch at a time.

    An error is returned, not raised: a DataLoader re-raises a worker's error without its fields.
    """

    def __init__(self, inputs: LazyInputs) -> None:
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitems__(self, indices: list[int]) -> Batch | DataError:
        try:
            # This process's share of the last batch may be empty; sample 0 then gives the shape.
            found = [self.inputs[index] for index in indices or [0]]
        except DataError as error:
            return error
        if isinstance(found[0], Tensor):
            return torch.stack(found)[: len(indices)]  # type: ignore[arg-type]
        spec: SampleSpec = self.inputs.spec  # type: ignore[attr-defined]
        assert spec.duration is not None
        return EventBatch.of(found[: len(indices)], spec.shape, spec.duration)  # type: ignore[arg-type]


def _identity(batch: Any) -> Any:
    return batch


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block SIGINT, SIGTERM and SIGHUP, so that workers started in the block ignore them.

    Otherwise a signal to the process group, as from `timeout` or a service manager, would end the
    workers before the training has finished its step. The workers end with the training.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    previous = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _decoded(inputs: LazyInputs, indices: tuple[Tensor, ...], workers: int) -> Iterator[Batch]:
    loader: DataLoader[Any] = DataLoader(
        _Samples(inputs),  # type: ignore[arg-type]
        batch_sampler=[index.tolist() for index in indices],
        num_workers=workers,
        collate_fn=_identity,
        # Without it, each epoch would draw a number from the global generator.
        generator=torch.Generator(),
    )
    decoded: Any = None
    try:
        with _blocked_signals():
            decoded = iter(loader)
        for batch in decoded:
            if isinstance(batch, DataError):
                raise batch
            yield batch
    except RuntimeError as error:
        if workers == 0:
            raise
        raise AsnnError(
            "a process that loads samples has failed",
            why=next(iter(str(error).splitlines()), ""),
            remedy="lower train.workers, or raise the limits of memory and open files",
        ) from error
    finally:
        # Drop the iterator, so that its workers end even if a traceback keeps this frame alive.
        # They ignore SIGTERM, so the process would otherwise wait for them forever at its exit.
        decoded = None
