"""The progress of a training: its position in the data, and its results so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class TrainProgress:
    """The progress of a training. The current epoch is the one after `epoch` complete ones.

    Attributes:
        epoch: number of complete epochs.
        stage: number of complete stages.
        stage_epoch, stage_step: complete epochs and optimization steps of the current stage.
        batch: number of complete batches in the current epoch.
        step: number of optimization steps in all epochs.
        loss, score, seen: sums over the samples of the current epoch; `score` of the task's primary
            metric.
        seconds: training time, over all sessions.
        epoch_seconds: training time in the current epoch.
        data_wait_seconds: the part of it spent waiting for data.
        best: metrics of the best epoch on validation data.
        history: metrics of all complete epochs.
        times: training times of all complete epochs.
        statistics: of gradients and weights, of all complete epochs, with `train.statistics`.
        statistic_sums: those of the current epoch so far, see `monitoring.statistics`.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    stage: int = 0
    stage_epoch: int = 0
    stage_step: int = 0
    loss: float = 0.0
    score: float = 0.0
    seen: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    data_wait_seconds: float = 0.0
    best: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    times: list[dict[str, Any]] = field(default_factory=list)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    statistic_sums: dict[str, list[float]] = field(default_factory=dict)

    def close_epoch(self) -> None:
        """Count the current epoch as complete and begin the next."""
        self.epoch += 1
        self.stage_epoch += 1
        self.batch, self.loss, self.score, self.seen = 0, 0.0, 0.0, 0
        self.epoch_seconds = self.data_wait_seconds = 0.0
        self.statistic_sums = {}
