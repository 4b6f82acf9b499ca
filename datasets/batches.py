"""Batches of one epoch: indexed tensors where the data is in memory, workers where it is not."""

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

    The order, and one seed per batch for its augmentation, are drawn from `generator` when the
    iteration begins. So an epoch taken up at batch `start`, with the generator as it was at the
    beginning of that epoch, goes on exactly as it would have.

    Args:
        split: where the samples come from.
        batch_size: samples per batch; the last batch may be smaller.
        full_scale: the uint8 value that means 1.0.
        device: where the batches are wanted.
        shuffle: a new order each time; a last batch of a single sample is then left out (batch
            norm cannot train on it), unless it is the only one.
        generator: on the CPU; torch's global one where it is None.
        augment: changes of the images.
        epoch: counted from 0, for augmentation that depends on it.
        workers: processes that decode lazy images; 0 decodes in this one.
        start: leave out that many batches without loading them.
        part: rank and number of processes: of each batch, only the share of this process, sizes
            as equal as can be. With `shuffle`, a last batch with less than two samples for each
            is left out, unless it is the only one.

    Raises:
        ConfigError: `batch_size` is not positive, `start` or `workers` is negative, or a batch
            has not a sample (to train on, two) for each process.
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
        for key, value, least in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("start", start, 0),
        ):
            if value < least:
                raise ConfigError(f"{key} is {value}", why=f"it must be at least {least}")
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
        each = 2 if shuffle else 1
        if self.processes > 1 and min(batch_size, len(split)) < each * self.processes:
            raise ConfigError(
                f"{min(batch_size, len(split))} samples are too few for {self.processes} processes",
                why=f"each needs {each} of a batch" + (", for batch norm" if shuffle else ""),
                remedy="use larger batches or more samples, or start fewer processes",
            )
        # On the device, because CUDA multiplies by the reciprocal of a plain number: another bit.
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
        # Each process draws numbers of its own; the first one those of a process that is alone.
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
        whole, rest = divmod(len(self.split), self.batch_size)
        if 0 < rest < 2 * self.processes and whole > 0 and self.shuffle:
            return whole
        return whole + (rest > 0)

    def places(self) -> Tensor:
        """Return where in the split the samples of this process stand; they are not shuffled."""
        batches = torch.arange(len(self.split)).split(self.batch_size)[self.start :]
        return torch.cat([batch.tensor_split(self.processes)[self.rank] for batch in batches])

    def size(self, batch: int) -> int:
        """Return the number of samples of a batch of the epoch, over all processes."""
        return min(self.batch_size, len(self.split) - batch * self.batch_size)

    def _images(self, indices: tuple[Tensor, ...]) -> Iterator[Tensor]:
        images = self.split.images
        if isinstance(images, Tensor):
            return (images[index] for index in indices)
        return _decoded(images, indices, self.workers)

    def _to_device(self, values: Tensor) -> Tensor:
        if self.device.type == "cuda":
            # Only a copy from pinned memory leaves the CPU free to fetch the next batch.
            return values.pin_memory().to(self.device, non_blocking=True)
        return values.to(self.device)


class _Samples:
    """The face of lazy images that a DataLoader wants: one batch at a time.

    An error comes back as a value: raised in a worker it would lose its parts on the way.
    """

    def __init__(self, images: LazyImages) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: list[int]) -> Tensor | DataError:
        try:
            # A process may have no share in the last batch.
            return torch.stack([self.images[index] for index in indices or [0]])[: len(indices)]
        except DataError as error:
            return error


def _as_it_is(batch: Any) -> Any:
    return batch


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Let workers that are started within never see the signals that ask a training to stop.

    A signal to the whole group, as from `timeout` or a service manager, would end them, and with
    them the step that the training has yet to finish. They end when it does.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    former = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _decoded(images: LazyImages, indices: tuple[Tensor, ...], workers: int) -> Iterator[Tensor]:
    loader: DataLoader[Any] = DataLoader(
        _Samples(images),  # type: ignore[arg-type]
        batch_sampler=[index.tolist() for index in indices],
        num_workers=workers,
        collate_fn=_as_it_is,
        # Its own, or each epoch would draw a number from the global one.
        generator=torch.Generator(),
    )
    try:
        with _signals_held():
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
