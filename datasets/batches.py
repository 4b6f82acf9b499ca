"""Batches of one epoch, from tensors in memory or from images that workers decode."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from ..core.errors import AsnnError, ConfigError, DataError
from .base import LazyImages, Split
from .transforms.augment import Augment
from .transforms.mixing import Targets


class Batches:
    """Yields `(x, targets)`: float32 images `[B, C, H, W]` in [0, 1] and their targets.

    The order, and one seed per batch for its augmentation, are drawn from `generator` at the start
    of the iteration. So an epoch resumed at batch `start`, with the generator state of the
    beginning of that epoch, yields the same batches as without the interruption.

    Args:
        split: the samples.
        batch_size: samples per batch; the last batch may be smaller.
        full_scale: the uint8 value of 1.0.
        device: the device of the batches.
        shuffle: a new order each epoch; drops a last batch of one sample, which batch norm cannot
            train on, unless it is the only batch.
        generator: on the CPU; torch's global generator by default.
        augment: augmentation of the images.
        epoch: counted from 0, for augmentation that depends on it.
        workers: processes that decode lazy images; 0 decodes in this process.
        start: the number of batches to skip without loading them.
        part: (rank, world size): yield only the share of this process of each batch, in sizes that
            differ by at most one. With `shuffle`, drops a last batch with less than two samples
            per process, unless it is the only batch.

    Raises:
        ConfigError: `batch_size` is not positive, `start` or `workers` is negative, or a batch
            has less than one sample (two in training) per process.
        DataError: a lazy image cannot be decoded.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        full_scale: float,
        device: str | torch.device = "cpu",
        shuffle: bool = False,
        generator: Generator | None = None,
        augment: Augment | None = None,
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
        # A tensor, because CUDA divides by a Python number through its reciprocal, inexactly.
        self.full_scale = torch.tensor(full_scale, dtype=torch.float32, device=self.device)

    def __len__(self) -> int:
        return max(0, self._batches_per_epoch() - self.start)

    def __iter__(self) -> Iterator[tuple[Tensor, Targets]]:
        count = self._batches_per_epoch()
        if self.shuffle:
            order = torch.randperm(len(self.split), generator=self.generator)
        else:
            order = torch.arange(len(self.split))
        chosen = order.split(self.batch_size)[:count]
        seeds = [0] * count
        if self.augment is not None:
            seeds = torch.randint(2**62, (count,), generator=self.generator).tolist()
        shares = [index.tensor_split(self.processes)[self.rank] for index in chosen[self.start :]]
        # Rank 0 draws what a single process draws, the other ranks other numbers.
        seeds = [seed + self.rank for seed in seeds[self.start :]]
        indices = tuple(shares)
        for index, images, seed in zip(indices, self._images(indices), seeds, strict=True):
            x, y = self._to_device(images), self._to_device(self.split.labels[index])
            x = x.float() / self.full_scale if x.dtype == torch.uint8 else x.float()
            if self.augment is None:
                yield x, Targets(y, y, 1.0)
                continue
            yield self.augment.apply(
                x, y, epoch=self.epoch, generator=torch.Generator().manual_seed(seed)
            )

    def _batches_per_epoch(self) -> int:
        full, rest = divmod(len(self.split), self.batch_size)
        if 0 < rest < 2 * self.processes and full > 0 and self.shuffle:
            return full
        return full + (rest > 0)

    def sample_indices(self) -> Tensor:
        """Return the indices in the split of this process's samples, without shuffling."""
        batches = torch.arange(len(self.split)).split(self.batch_size)[self.start :]
        return torch.cat([batch.tensor_split(self.processes)[self.rank] for batch in batches])

    def size(self, batch: int) -> int:
        """Return the number of samples of a batch over all processes."""
        return min(self.batch_size, len(self.split) - batch * self.batch_size)

    def _images(self, indices: tuple[Tensor, ...]) -> Iterator[Tensor]:
        images = self.split.images
        if isinstance(images, Tensor):
            return (images[index] for index in indices)
        return _decoded(images, indices, self.workers)

    def _to_device(self, values: Tensor) -> Tensor:
        if self.device.type == "cuda":
            # Only a copy from pinned memory is asynchronous.
            return values.pin_memory().to(self.device, non_blocking=True)
        return values.to(self.device)


class _Samples:
    """Lazy images with the interface of a DataLoader's data set, one batch per access.

    An error is returned as a value: a DataLoader re-raises one from a worker without its fields.
    """

    def __init__(self, images: LazyImages) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: list[int]) -> Tensor | DataError:
        try:
            # A process's share of the last batch may be empty.
            return torch.stack([self.images[index] for index in indices or [0]])[: len(indices)]
        except DataError as error:
            return error


def _identity(batch: Any) -> Any:
    return batch


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block SIGINT, SIGTERM and SIGHUP, so that workers started in the block ignore them.

    A signal to the process group, as from `timeout` or a service manager, would end the workers
    before the training has finished its step. They end with the training.
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


def _decoded(images: LazyImages, indices: tuple[Tensor, ...], workers: int) -> Iterator[Tensor]:
    loader: DataLoader[Any] = DataLoader(
        _Samples(images),  # type: ignore[arg-type]
        batch_sampler=[index.tolist() for index in indices],
        num_workers=workers,
        collate_fn=_identity,
        # Otherwise each epoch would draw a number from the global generator.
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
        # A traceback may keep this frame and with it the iterator, whose workers ignore SIGTERM:
        # at its exit the process would wait for them for ever.
        decoded = None
