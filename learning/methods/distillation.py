"""Knowledge distillation: from the ANN counterpart of a network, or from any trained run."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ...coding.samples import Batch
from ...core.errors import ConfigError, DataError
from ...core.registry import unknown
from ...datasets.transforms.mixing import Targets
from ...models.network import SpikingNetwork
from ...tasks.losses import distillation_loss
from ...tasks.step_classification import StepClassification
from .bptt import Bptt
from .trained_network import ANN, TrainedNetwork

Mode = Literal["blend", "add"]
Compare = Literal["steps", "mean"]


class Distillation(Bptt):
    """`Bptt` whose loss has the distance to the predictions of a trained network as well.

        D = τ² 1/T Σ_t KL(softmax(z / τ) ‖ softmax(logits_t / τ))        compare = steps
        D = τ² KL(softmax(z / τ) ‖ softmax(1/T Σ_t logits_t / τ))        compare = mean
        L = (1 - α) L_labels + α D                                       mode = blend
        L = L_labels + α D                                               mode = add

    z are the teacher's logits of the augmented samples of the student: of a class for each sample
    the teacher's answer, of a class for each step its logits of that step. The teacher encodes the
    samples with its own code, so that it may see more frames of a recording than the student. KL is
    the mean over samples.

    Args:
        teacher: `ann`, the ANN counterpart, which is trained first; or the folder of a run.
        weight: α, in [0, 1], with `add` at least 0.
        temperature: τ > 0.
        mode: how the two losses are joined.
        compare: `steps`, the logits of each step of the student, for every choice of L_labels; or
            `mean`, their mean, of a class for each sample.

    Attributes:
        network: the teacher, in evaluation mode; it is not trained.

    Raises:
        ConfigError: an option out of range.

    Source: Hinton et al., arXiv 1503.02531; for the steps of a spiking student, Xu et al.,
    arXiv 2304.05627; added to the labels' loss, with more frames, arXiv 2409.12507.
    """

    name = "distillation"
    network: SpikingNetwork

    def __init__(
        self,
        *,
        teacher: str = ANN,
        weight: float = 0.5,
        temperature: float = 2.0,
        mode: Mode = "blend",
        compare: Compare = "steps",
    ) -> None:
        if not teacher:
            raise ConfigError("teacher is empty", remedy="give ann, or the folder of a run")
        if mode not in get_args(Mode):
            raise unknown("mode", mode, list(get_args(Mode)))
        if compare not in get_args(Compare):
            raise unknown("compare", compare, list(get_args(Compare)))
        if mode == "blend" and not 0 <= weight <= 1:
            raise ConfigError(f"weight, that of the teacher, must be from 0 to 1, not {weight}")
        if not 0 <= weight < math.inf:
            raise ConfigError(f"weight, that of the teacher, must be at least 0, not {weight}")
        if not temperature > 0:
            raise ConfigError(f"temperature must be above 0, not {temperature}")
        self.teacher, self.weight, self.temperature = teacher, weight, temperature
        self.mode, self.compare = mode, compare
        self.needs_counterpart = teacher == ANN
        self._trained: TrainedNetwork | None = None

    def check(self, training: Any) -> None:
        super().check(training)
        task = training.task
        if not task.one_class and not isinstance(task, StepClassification):
            raise ConfigError(
                f"a teacher is for tasks of classes, not for {task.name}",
                why="the student learns the teacher's probabilities",
                remedy="set method.name=bptt",
            )
        if not task.one_class:
            self._require_same_steps(training)
        if self.teacher != ANN:
            self._trained = self._fitting(training)

    def load(self, training: Any) -> None:
        if self._trained is None:
            self._trained = self._fitting(training)
        self.network = self._trained.model.to(training.device)

    def fingerprints(self) -> dict[str, str]:
        return {} if self._trained is None else {"teacher": self._trained.fingerprint}

    def needs_mean_only(self, training: Any) -> bool:
        return self.compare == "mean" and super().needs_mean_only(training)

    def loss(self, training: Any, outputs: Tensor, x: Batch, targets: Targets) -> Tensor:
        loss = training.task.loss(outputs, targets)
        compared = outputs.mean(0, keepdim=True) if self.compare == "mean" else outputs
        distance = distillation_loss(compared, self._logits(training, x), self.temperature)
        of_labels = 1 - self.weight if self.mode == "blend" else 1
        return of_labels * loss + self.weight * distance

    def _logits(self, training: Any, x: Batch) -> Tensor:
        """Return z: `[B, K]`, or `[T, B, K]` of a class for each step."""
        if training.task.one_class:
            return self.network.predict(x)
        with torch.no_grad():
            return self.network.frozen()(x)

    def _require_same_steps(self, training: Any) -> None:
        """Refuse what has no teacher's logits of the same step."""
        for wrong, key, remedy in (
            (self.compare == "mean", "method.compare=mean", "method.compare=steps"),
            (
                self.needs_counterpart and training.recipe.train.ann_steps == "all",
                "train.ann_steps=all",
                "train.ann_steps=own",
            ),
        ):
            if wrong:
                raise ConfigError(
                    f"{key} is not for the task {training.task.name}",
                    why="each step has a class of its own, which the teacher tells at that step",
                    remedy=f"set {remedy}",
                )

    def _fitting(self, training: Any) -> TrainedNetwork:
        """Return the trained teacher.

        Raises:
            DataError: there is no such run, or it was trained on other samples or classes, or of a
                class for each step it has other steps.
        """
        found, data = training.load_trained(self.teacher), training.data
        shape = tuple(found.model.config["in_shape"])
        if shape != tuple(data.in_shape) or found.labels != list(data.classes):
            raise DataError(
                f"the teacher {found.path} does not fit these data",
                why=f"it takes images {shape} of {len(found.labels)} classes, the data are "
                f"{tuple(data.in_shape)} of {len(data.classes)}, or the classes have other names",
                remedy="name a run on the same data set as method.teacher",
            )
        steps, own = found.model.coding.steps, training.model.coding.steps
        if not training.task.one_class and steps != own:
            raise DataError(
                f"the teacher {found.path} has {steps} steps, the student {own}",
                why="the student learns the class of each step from the same step of the teacher",
                remedy=f"name a run with coding.steps={own} as method.teacher",
            )
        return found
