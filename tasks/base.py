"""The interface of a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..coding.base import Coding
from ..coding.samples import SampleSpec
from ..core.errors import ConfigError, DataError
from ..core.metric import ACCURACY, Metric
from ..datasets.base import DataSet, TargetKind
from ..datasets.transforms.mixing import Targets
from ..models.readouts import Readout
from .class_weights import Weights
from .losses import Loss
from .outcomes import Outcomes

Gather = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Result:
    """What a meter found.

    Attributes:
        samples: number of samples N.
        values: metrics by name, plain values for JSON; `loss` and the primary metric are among
            them.
        outcomes: the prediction for each sample after each step, if the task has one class a
            sample.
        found: the boxes that are found in each sample, `[N, D, 6]`, if the task is detection.
    """

    samples: int
    values: dict[str, Any] = field(default_factory=dict)
    outcomes: Outcomes | None = None
    found: Tensor | None = None


class Meter:
    """Collects the outputs of a split, batch by batch; there may be no batch."""

    def take(self, outputs: Tensor, targets: Targets) -> None:
        """Add the outputs `[T, B, K]` of a batch; `targets` also holds its samples."""
        self.add(outputs, targets.first)

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Add the outputs `[T, B, K]` of a batch with its targets."""
        raise NotImplementedError

    def result(self, total: Gather, gather: Gather) -> Result:
        """Return the metrics of all batches.

        Args:
            total: returns the sum of a tensor over all processes.
            gather: returns `[..., N]` for the samples of all processes, in the order of the split.
        """
        raise NotImplementedError


class Task:
    """What a network is asked: the target, the loss, the metrics, and which of them decides.

    A subclass declares its options as keyword parameters. `bind` is called with the data before
    anything else.

    Attributes:
        name: the name in recipes.
        primary: the metric that chooses the best epoch and ranks runs.
        primaries: what `primary` may be after `bind`, if the data decide.
        tracked: names of the metrics that are computed after each epoch.
        shares: names of other metrics that are shares, which reports show in percent.
        needs_mean_only: whether loss and score need only the mean of the outputs over the steps,
            which is cheaper to compute; the outputs are then `[1, B, K]`.
        one_class: whether the answer for a sample is one class, so that its meter gives `outcomes`:
            what early exits, confusions and accuracies are made of.
        answers: what is said of an input, a name of `answer_registry` in
            `asnn.measure.prediction.answers`; by default `class` of a task with `one_class`, else
            nothing.
        each_step: whether the target says something for each step, so that each needs an output.
        has_places: whether its answers have places in the sample, and move with what it shows.
        trial_outputs: number of outputs of the network that a recipe's check builds without data.
        outputs: number of outputs K, set by `bind`.
        classes: names of the classes, set by `bind`; empty if the task has none.
        readout: of the network; None stands for the mean.
    """

    name: ClassVar[str] = ""
    primary: Metric = ACCURACY
    primaries: tuple[Metric, ...] = ()
    tracked: tuple[str, ...] = ("accuracy",)
    shares: tuple[str, ...] = ()
    needs_mean_only: bool = False
    one_class: bool = False
    answers: str = ""
    each_step: bool = False
    has_places: bool = False
    trial_outputs: int = 2
    outputs: int = 0
    classes: list[str]
    readout: Readout | None = None

    def answer(self, outputs: Tensor) -> Tensor:
        """Return what a loss compares with the target, `[B, K]`: by default the mean of the
        outputs over the steps."""
        return outputs.mean(0) if self.readout is None else self.readout.answer(outputs)

    def metric(self, name: str) -> Metric:
        """Return how the metric of a name is shown."""
        if name == self.primary.name:
            return self.primary
        return Metric(name, percent=name in self.shares)

    def bind(self, data: DataSet, coding: Coding) -> None:
        """Take what the task needs to know of the data and of the code.

        Raises:
            DataError: the targets are not those of the task.
        """
        raise NotImplementedError

    def restore(
        self, classes: list[str], sample: SampleSpec | None, coding: Coding | None = None
    ) -> None:
        """Take what a trained network knows of its data, to answer without them.

        Args:
            classes: their names.
            sample: what its samples are.
            coding: their code; None of a file that holds it.
        """
        self.classes = classes

    def use_readout(self, readout: Readout) -> None:
        """Take the readout of the network, which says what its outputs answer.

        Raises:
            ConfigError: its outputs are for another task.
        """
        if readout.only_for not in (None, self.name):
            raise ConfigError(
                f"this network is for the task {readout.only_for}, not {self.name}",
                why=f"its readout {type(readout).__name__} does not answer with K numbers a sample",
                remedy=f"set task.name={readout.only_for}, or choose another model.name",
            )
        self.readout = readout

    def use_loss(self, loss: Loss) -> None:
        """Take the loss of classes that `[train]` describes; a task that uses it overrides this.

        Raises:
            ConfigError: it is not the default one, and the task would ignore it.
        """
        defaults = {"train.loss": "mean"} if loss.name != "mean" else {}
        if loss.label_smoothing:
            defaults["train.label_smoothing"] = "0"
        if defaults:
            raise ConfigError(
                f"the task {self.name} does not use {' and '.join(defaults)}",
                why="it has a loss of its own; these are of one class a sample",
                remedy="set " + " and ".join(f"{key}={value}" for key, value in defaults.items()),
            )

    @classmethod
    def uses_loss(cls) -> bool:
        """Return whether it uses the loss of classes that `[train]` describes."""
        return cls.use_loss is not Task.use_loss

    def use_class_weights(self, given: Weights, targets: Tensor) -> None:
        """Weigh the loss of training by class, as `train.class_weights` says.

        Args:
            given: `balanced`, a list, or a table by class.
            targets: of the training samples.

        Raises:
            ConfigError: the task has no classes, or these are not weights of its classes.
        """
        raise ConfigError(
            f"the task {self.name} does not weigh classes",
            why="train.class_weights is for classification and step-classification",
            remedy="leave train.class_weights out",
        )

    def step_classes(self, targets: Targets, steps: int) -> Tensor:
        """Return the class that each step should answer, `[T, B]`, -1 for none: for rules that
        learn at every step.

        Raises:
            ConfigError: the task has no classes, or samples are mixed.
        """
        raise ConfigError(
            f"the task {self.name} has no class for a step to answer",
            why="the method teaches each step a class",
            remedy="set method.name=bptt",
        )

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Return the mean loss of outputs `[T, B, K]` for the targets of B samples."""
        raise NotImplementedError

    def losses(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Return the loss of each of the B samples alone, `[B]`; their mean is `loss` where that is
        a mean over samples."""
        inputs = targets.inputs
        return torch.stack(
            [
                self.loss(
                    outputs[:, b : b + 1],
                    targets._replace(
                        first=targets.first[b : b + 1],
                        second=targets.second[b : b + 1],
                        inputs=inputs[b : b + 1] if isinstance(inputs, Tensor) else None,
                    ),
                )
                for b in range(outputs.shape[1])
            ]
        )

    def score(self, outputs: Tensor, targets: Targets) -> float:
        """Return the sum of the primary metric over the B samples of a batch, for progress."""
        raise NotImplementedError

    def meter(self, steps: int) -> Meter:
        """Return an empty meter of outputs of so many steps."""
        raise NotImplementedError


def refuse_mixed(task: str, targets: Targets) -> None:
    """Refuse two targets for a sample, as mixup and cutmix give.

    Raises:
        ConfigError: the samples are mixed.
    """
    if targets.weight != 1:
        raise ConfigError(
            f"the task {task} cannot train on mixed samples",
            why="each has two targets with a weight, which are for classes of samples",
            remedy="leave augment.mixup, augment.cutmix and augment.mix out",
        )


def wrong_target(task: str, needs: str, data: DataSet, has: str) -> DataError:
    """Return the error for a data set whose targets are not those of a task."""
    return DataError(
        f"the task {task} needs {needs}, the data set {data.name} has {has}",
        remedy=f"set task.name={target_kind(data)}",
    )


def target_kind(data: DataSet) -> str:
    """Return the name of the task that fits the targets of a data set."""
    if data.target is not None:
        return OF_KIND[data.target]
    targets = data.train.targets
    if targets.is_floating_point():
        return "reconstruction" if targets.dim() == 4 else "regression"
    return "classification" if targets.dim() == 1 else "step-classification"


OF_KIND: dict[TargetKind, str] = {"boxes": "detection", "flow": "flow"}
"""The task that fits targets of a kind that a data set names."""

TARGETS = {
    "classification": "one class a sample",
    "step-classification": "a class for each step",
    "regression": "real values",
    "reconstruction": "images",
    "detection": "boxes",
    "flow": "flow",
}
"""What the targets are that fit each built-in task."""


def require_target(task: str, data: DataSet) -> None:
    """Refuse targets of another kind than those of a built-in task.

    Raises:
        DataError: with the task that fits.
    """
    found = target_kind(data)
    if found != task:
        raise wrong_target(task, TARGETS[task], data, TARGETS[found])
