"""Backpropagation through time with surrogate gradients."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...coding.samples import Batch
from ...core.errors import ConfigError
from ...datasets.transforms.mixing import Targets
from ...models.layers.neurons import spiking_neurons
from ..device import mixed_precision
from .base import Method, Stage


class Bptt(Method):
    """One stage in which everything learns, by the gradient of the task's loss through all steps.

    A subclass may add to the loss.

    Source: Neftci, Mostafa and Zenke, IEEE Signal Processing Magazine 36 (2019).
    """

    name = "bptt"

    def stages(self, epochs: int) -> list[Stage]:
        return [Stage(self.name, epochs)]

    def check(self, training: Any) -> None:
        for name, neuron in spiking_neurons(training.model).items():
            options = getattr(neuron, "options", None)
            if training.recipe.train.epochs and getattr(options, "gradient", None) == "none":
                raise ConfigError(
                    f"neuron.gradient is none: nothing before {name} would learn",
                    why=f"the method {self.name} learns by the gradient of the spikes",
                    remedy="set neuron.gradient=surrogate, or method.name=tandem",
                )

    def backward(
        self, training: Any, x: Batch, targets: Targets, weight: float
    ) -> tuple[Tensor, Tensor]:
        with mixed_precision(training.device, training.recipe.train.precision):
            outputs = training.forward(x, self.needs_mean_only(training))
            loss = self.loss(training, outputs, x, targets)
        training.scaler.scale(loss if weight == 1 else loss * weight).backward()
        return loss, outputs

    def needs_mean_only(self, training: Any) -> bool:
        """Return whether the loss needs only the mean of the outputs over the steps."""
        return training.task.needs_mean_only

    def loss(self, training: Any, outputs: Tensor, x: Batch, targets: Targets) -> Tensor:
        """Return the loss of a batch.

        Args:
            training: its task has the loss of the targets.
            outputs: `[T, B, K]`; with `needs_mean_only` their mean as one step.
            x, targets: the batch.
        """
        return training.task.loss(outputs, targets)
