"""Distributed training: several processes train one network, each on its part of every batch.

`torchrun` starts them and sets the rank of each in its environment. The first process writes files,
and broadcasts what only it knows. The collectives are those of torch.distributed: nccl between
GPUs, gloo between CPUs.
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
    """The rank of this process and the number of processes.

    Attributes:
        rank: among all processes, from 0.
        count: of all processes.
        local_rank: among the processes of this machine, from 0; the index of its GPU.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """The part of each batch for this process: rank and number of processes."""
        return self.rank, self.count

    def device(self, found: torch.device) -> torch.device:
        """Return the device of this process; `found` is that of the recipe.

        Raises:
            ConfigError: several processes cannot use it.
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
                remedy="start at most as many processes on it, or use --device cpu",
            )
        return torch.device("cuda", self.local_rank)

    def from_first(self, make: Callable[[], T]) -> T:
        """Call `make` in the first process; return its result, or raise its error, in all."""
        if self.count == 1:
            return make()
        message: list[Any] = [None]
        if self.first:
            try:
                message = [(make(), None)]
            except Exception as error:
                message = [(None, error)]
        distributed.broadcast_object_list(message)
        made, error = message[0]
        if error is None:
            return made
        if not self.first:
            error.of_first = True  # the first process prints it; the others do not
        raise error

    def summed(self, *values: float) -> list[float]:
        """Return the sum of each value over all processes."""
        if self.count == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(sums)
        return sums.tolist()

    def in_turn(self, load: Callable[[], T]) -> T:
        """Return the result of `load`, called in one process of each machine, then in the others.

        Missing files are downloaded once, and are complete when the others look for them.
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
        """Broadcast the parameters and buffers of a network from the first process."""
        if self.count > 1:
            for tensor in [*model.parameters(), *model.buffers()]:
                distributed.broadcast(tensor.detach(), 0)


ALONE = Processes()


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Join the process group that `torchrun` has started, if any, and leave it at the end.

    Raises:
        ConfigError: the environment has an impossible rank.
        AsnnError: the other processes cannot be reached, or one has ended.
    """
    processes = _from_environment()
    if processes.count == 1:
        yield processes
        return
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(processes.local_rank % torch.cuda.device_count())
    try:
        # Both: objects and flags are broadcast from CPU memory.
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
        if not _is_collective_error(error):
            raise
        raise AsnnError(
            "another process has ended",
            why=_reason(error),
            remedy="see its message; resume a training with `train --resume` and its folder",
        ) from error
    finally:
        distributed.destroy_process_group()


def _is_collective_error(error: RuntimeError) -> bool:
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
        raise ConfigError(f"RANK, WORLD_SIZE or LOCAL_RANK is not a number: {given}") from error
    if not 0 <= rank < count or local < 0:
        raise ConfigError(f"there is no process {rank} of {count}: {given}")
    return Processes(rank, count, local)
