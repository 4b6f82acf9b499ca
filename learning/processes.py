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
from torch import distributed

from ..core.errors import AsnnError, ConfigError
from ..core.runs import Run

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

    def device(self, found: torch.device) -> torch.device:
        """Return the device of this process, where the recipe names `found` for all."""
        if self.count == 1 or found.type != "cuda" or found.index is not None:
            return found
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

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Processes()


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that `torchrun` has started, if it has; leave them at the end.

    Raises:
        ConfigError: the environment names a rank that cannot be.
        AsnnError: the others cannot be reached.
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
            why=str(error).splitlines()[0],
            remedy="start them with torchrun; docs/distributed.md shows how",
        ) from error
    try:
        yield processes
    finally:
        distributed.destroy_process_group()


@contextlib.contextmanager
def losing_none(processes: Processes, run: Run) -> Iterator[None]:
    """Say of a collective that fails what it means: another process has ended.

    Raises:
        AsnnError: in place of torch's own error.
    """
    try:
        yield
    except RuntimeError as error:
        if processes.count == 1 or not _of_a_collective(error):
            raise
        raise AsnnError(
            "another process of the training has ended",
            why=str(error).splitlines()[0],
            remedy=f"see what it said; then start them all again with `train --resume {run.path}`",
        ) from error


def _of_a_collective(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, distributed.DistError) or any(
        name in text for name in ("gloo", "nccl", "connection closed", "connection reset")
    )


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
