"""Backpropagation through time with surrogate gradients."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...coding.samples import Batch
from ...datasets.transforms.mixing import Targets
from ..device import mixed_precision
from .base import Method, Stage


class Bptt(Method):
    """One stage in which everything learns, by the gradient of the task's loss through all steps.

    With `train.teacher` the loss is blended with the distance to the teacher's predictions.

    Source: Neftci, Mostafa and Zenke, IEEE Signal Processing Magazine 36 (2019).
    """

    name = "bptt"

    def stages(self, epochs: int) -> list[Stage]:
        return [Stage("bptt", epochs)]

    def backward(
        self, training: Any, x: Batch, targets: Targets, weight: float
    ) -> tuple[Tensor, Tensor]:
        with mixed_precision(training.device, training.recipe.train.precision):
            mean_only = training.task.needs_mean_only and training.teacher is None
            outputs = training.forward(x, mean_only)
            loss = training.task.loss(outputs, targets)
            if training.teacher is not None:
                loss = training.teacher.blended(loss, outputs, x)
        training.scaler.scale(loss if weight == 1 else loss * weight).backward()
        return loss, outputs
