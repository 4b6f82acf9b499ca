"""Several processes that train one network, each on its share of every batch.

`torchrun` starts them and tells each its rank in the environment. The first one writes; what it
alone can know, it tells the others. Collectives are torch.distributed's: nccl between GPUs, gloo
between CPUs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from ..core.errors import AsnnError, ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is.

    Attributes:
        rank: among all, from 0; the first one writes.
        count: of all processes.
        local_rank: among those of this machine, from 0; says which GPU is its own.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """Which share of each batch is this process's: its rank, and how many there are."""
        return self.rank, self.count

    def device(self, found: torch.device) -> torch.device:
        """Return the device of this process, where the recipe names `found` for all.

        Raises:
            ConfigError: it is one that several processes cannot use.
        """
        if self.count == 1 or found.type == "cpu":
            return found
        if found.type != "cuda" or found.index is not None:
            raise ConfigError(
                f"{self.count} processes cannot all use {found}",
                why="each needs a device of its own",
                remedy="use --device cuda, or --device cpu",
            )
        if self.local_rank >= torch.cuda.device_count():
            raise ConfigError(
                f"process {self.rank} has no GPU of its own",
                why=f"this machine has {torch.cuda.device_count()}",
                remedy="start no more processes on it than that, or use --device cpu",
            )
        return torch.device("cuda", self.local_rank)

    def from_first(self, make: Callable[[], T]) -> T:
        """Return, in all processes, what `make` gives in the first; raise what it raises there."""
        if self.count == 1:
            return make()
        told: list[Any] = [None]
        if self.first:
            try:
                told = [(make(), None)]
            except Exception as error:
                told = [(None, error)]
        distributed.broadcast_object_list(told)
        made, error = told[0]
        if error is None:
            return made
        if not self.first:
            error.of_first = True  # which says what it is, so that it is said once
        raise error

    def summed(self, *values: float) -> list[float]:
        """Return the sum of each value over all processes."""
        if self.count == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(sums)
        return sums.tolist()

    def in_turn(self, load: Callable[[], T]) -> T:
        """Return what `load` gives: first in one process of each machine, then in its others.

        So what is missing is fetched once, and is whole when the others look for it.
        """
        if self.count == 1:
            return load()
        if self.local_rank == 0:
            loaded = load()
            distributed.barrier()
            return loaded
        distributed.barrier()
        return load()

    def same_weights(self, model: nn.Module) -> None:
        """Let a network have the parameters and statistics that it has in the first process."""
        if self.count > 1:
            for tensor in [*model.parameters(), *model.buffers()]:
                distributed.broadcast(tensor.detach(), 0)


ALONE = Processes()


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that `torchrun` has started, if it has; leave them at the end.

    Raises:
        ConfigError: the environment names a rank that cannot be.
        AsnnError: the others cannot be reached, or one of them has ended.
    """
    processes = _from_environment()
    if processes.count == 1:
        yield processes
        return
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(processes.local_rank % torch.cuda.device_count())
    try:
        # Both, for the objects and flags of a training lie in the memory of the CPU.
        distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo")
    except (ValueError, RuntimeError) as error:
        raise AsnnError(
            "the processes of the training cannot reach each other",
            why=_reason(error),
            remedy="start them with torchrun; docs/distributed.md shows how",
        ) from error
    try:
        yield processes
    except RuntimeError as error:
        if not _of_a_collective(error):
            raise
        raise AsnnError(
            "another process has ended",
            why=_reason(error),
            remedy="see what it said; a training goes on with `train --resume` and its folder",
        ) from error
    finally:
        distributed.destroy_process_group()


def _of_a_collective(error: RuntimeError) -> bool:
    signs = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe")
    text = str(error).lower()
    return isinstance(error, distributed.DistError) or any(sign in text for sign in signs)


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _from_environment() -> Processes:
    given = {key: os.environ.get(key) for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    if given["WORLD_SIZE"] is None or given["RANK"] is None:
        return ALONE
    try:
        rank, count = int(given["RANK"]), int(given["WORLD_SIZE"])
        local = int(given["LOCAL_RANK"] or rank)
    except ValueError as error:
        raise ConfigError(f"RANK, WORLD_SIZE or LOCAL_RANK is no number: {given}") from error
    if not 0 <= rank < count or local < 0:
        raise ConfigError(f"there is no process {rank} of {count}: {given}")
    return Processes(rank, count, local)
