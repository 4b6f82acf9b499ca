"""The interface of a method of learning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from ...coding.samples import Batch
from ...datasets.transforms.mixing import Targets
from ...models.network import SpikingNetwork
from .forward import TrainableForward


@dataclass(frozen=True)
class Stage:
    """A part of a training with an optimizer and a learning rate schedule of its own.

    Attributes:
        name: in `metrics.jsonl`.
        epochs: how many; those of all stages add up to `train.epochs`.
        lr: in place of `train.lr`, if it is not None.
    """

    name: str
    epochs: int
    lr: float | None = None


class Method:
    """How weights are learned; it knows no files and no terminals.

    The argument `training` of its functions is an `asnn.learning.training.Training`. `bind` is
    called first, then `stages` and `check`, then `load`, and `begin` at the beginning of each
    stage.

    A subclass declares its options as keyword parameters. What it keeps between two calls beside
    the weights is its `state`, so that a resumed training ends with the same bytes.

    Attributes:
        name: the name in recipes.
        needs_counterpart: whether the ANN counterpart is trained first, into the run's folder
            `teacher/`.
    """

    name: ClassVar[str] = ""
    needs_counterpart: bool = False

    def bind(self, model: SpikingNetwork, train: Any) -> None:
        """Take the network and the settings `[train]` of the recipe.

        Raises:
            ConfigError: the method is not for this network.
        """

    def stages(self, epochs: int) -> list[Stage]:
        """Return the stages, whose epochs add up to `epochs`."""
        raise NotImplementedError

    def check(self, training: Any) -> None:
        """Refuse a training that the method is not for; called before anything is written.

        Raises:
            AsnnError: it does not fit the task, the data or the network.
        """

    def load(self, training: Any) -> None:
        """Load what the method needs beside the data, such as a teacher.

        Called once, before the first stage begins or a checkpoint is restored; the ANN counterpart
        is trained by then, if the method needs it. `training.load_trained` reads it, and runs.

        Raises:
            AsnnError: it cannot be read or does not fit.
        """

    def fingerprints(self) -> dict[str, str]:
        """Return the SHA-256 of each file on which the weights depend, by what it is.

        A training is not resumed if one has changed.
        """
        return {}

    def begin(self, training: Any, stage: Stage) -> list[nn.Module]:
        """Prepare a stage, before its optimizer is made from the parameters that require gradients.

        It may change the weights, as a function of the weights and of `training.best` (content of
        a model file with the best weights of the stage before) alone.

        Returns:
            Modules that stay in evaluation mode in this stage, such as frozen batch norms.
        """
        return []

    def make_forward(self, training: Any) -> nn.Module:
        """Return the module that computes the network in a stage that has begun.

        It is `training.forward`; parameters that learn get gradients through what it returns, so
        that several processes can average them. By default `forward(x, mean)` returns the logits
        `[T, B, K]`, or with `mean` their mean as one step.
        """
        return TrainableForward(training.model)

    def validated(self, training: Any) -> SpikingNetwork:
        """Return the network that is validated in the current stage; `training.result` by default,
        whose weights are those that are kept."""
        return training.result

    def backward(
        self, training: Any, x: Batch, targets: Targets, weight: float
    ) -> tuple[Tensor, Tensor]:
        """Add the gradients of a batch to those of the parameters.

        Args:
            training: its `forward` computes the network, its `scaler` scales losses.
            x, targets: the batch.
            weight: factor with which the batch counts in the optimization step.

        Returns:
            The loss without the weight, and the outputs `[T, B, K]`, for the line of progress.
        """
        raise NotImplementedError

    def updates(self, steps: int) -> int:
        """Return the number of optimization steps of a batch of `steps` time steps; 1 by default.

        Rates, averages, statistics and checkpoints count them.
        """
        return 1

    def learn(
        self, training: Any, x: Batch, targets: Targets, weight: float
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield at each optimization step of a batch, when its gradients are complete.

        The step is taken before the iterator goes on; a method with several steps a batch clears
        the gradients then. By default the only step is that of `backward`.

        Args:
            training, x, targets, weight: as of `backward`.

        Yields:
            The mean loss since the last step, and the outputs `[t, B, K]` of the time steps since
            then. `updates` times in all.
        """
        yield self.backward(training, x, targets, weight)

    def ends(self, training: Any, metrics: dict[str, Any]) -> bool:
        """Return whether the stage ends with this epoch, before its number of epochs."""
        return False

    def state(self) -> dict[str, Any]:
        """Return plain values and tensors, for checkpoints."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take the state of a checkpoint."""
