"""How far a training has come: where it stands in its data, and what it has found so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class TrainProgress:
    """How far a training has come.

    Attributes:
        epoch: epochs that are complete.
        batch: batches that are complete in the epoch after those.
        step: optimisation steps in all.
        loss, correct, seen: sums over the batches of the open epoch.
        seconds: time spent training, over all sittings.
        epoch_seconds: time spent in the open epoch.
        data_wait_seconds: the part of it that was spent waiting for data.
        best: metrics of the epoch with the best validation accuracy.
        history: metrics of all complete epochs.
        times: how long each of them took.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: float = 0.0
    seen: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    data_wait_seconds: float = 0.0
    best: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    times: list[dict[str, Any]] = field(default_factory=list)

    def close_epoch(self) -> None:
        """Count the open epoch as complete and begin the next."""
        self.epoch += 1
        self.batch, self.loss, self.correct, self.seen = 0, 0.0, 0.0, 0
        self.epoch_seconds = self.data_wait_seconds = 0.0
