"""Classification of every time step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..coding.base import Coding
from ..core.errors import ConfigError
from ..core.metric import ACCURACY
from ..datasets.base import DataSet
from ..datasets.transforms.mixing import Targets
from ..models.readouts import Readout
from .base import Gather, Meter, Result, Task, refuse_mixed, require_target
from .class_weights import Weights, class_weights

UNLABELLED = -1


class StepClassification(Task):
    """One class for each step: the greatest output of that step.

    Targets are `[N, T]`; steps of target -1 have no label, and count nowhere. The loss is the mean
    cross-entropy of the labelled steps of a batch, each times the weight of its class.

    Its metrics are `accuracy` (share of correct labelled steps), `balanced_accuracy` (mean of the
    classes' recalls), `accuracy_per_class`, `loss`, `confusion` (steps by true class and
    prediction), `change_latency` (steps from a change of the label to the first correct
    prediction, the mean over the changes that are followed before the label changes again), and
    `changes_missed` (the share of changes that are not).
    """

    name = "step-classification"
    answers = "step-classes"
    each_step = True
    tracked = ("accuracy", "balanced_accuracy")
    primary = ACCURACY

    def __init__(self) -> None:
        self.classes = []
        self._coding: Coding | None = None
        self._class_weights: Tensor | None = None

    def bind(self, data: DataSet, coding: Coding) -> None:
        require_target(self.name, data)
        self.classes, self.outputs = data.classes, len(data.classes)
        self._coding = coding

    def use_readout(self, readout: Readout) -> None:
        """Take the readout of the network.

        Raises:
            ConfigError: it answers at one step.
        """
        if callable(getattr(readout, "crossed", None)):
            raise ConfigError(
                "the readout answers at one step, the task step-classification at each",
                why="a first crossing would not be looked for",
                remedy="set readout.name=membrane: the outputs of a step are the same",
            )
        super().use_readout(readout)

    def use_class_weights(self, given: Weights, targets: Tensor) -> None:
        counts = torch.bincount(targets[targets != UNLABELLED], minlength=self.outputs)
        self._class_weights = class_weights(given, self.classes, counts)

    def step_classes(self, targets: Targets, steps: int) -> Tensor:
        refuse_mixed(self.name, targets)
        return self._labels(targets.first, steps)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        refuse_mixed(self.name, targets)
        y = self._labels(targets.first, len(outputs))
        logits, weights = outputs.float().flatten(0, 1), self._class_weights
        total = cross_entropy(
            logits,
            y.flatten(),
            None if weights is None else weights.to(logits.device),
            ignore_index=UNLABELLED,
            reduction="sum",
        )
        # A batch without a labelled step has the loss 0, not 0 / 0.
        return total / (y != UNLABELLED).sum().clamp(min=1)

    @torch.no_grad()
    def score(self, outputs: Tensor, targets: Targets) -> float:
        """Return the sum over the samples of their share of correct labelled steps."""
        y = self._labels(targets.first, len(outputs))
        labelled = y != UNLABELLED
        correct = ((outputs.argmax(2) == y) & labelled).sum(0)
        return float((correct / labelled.sum(0).clamp(min=1)).sum())

    def meter(self, steps: int) -> Meter:
        return _StepMeter(self, steps)

    def _labels(self, targets: Tensor, steps: int) -> Tensor:
        """Return the labels of the code's steps, `[T, B]`."""
        aligned = targets if self._coding is None else self._coding.step_targets(targets)
        return aligned.transpose(0, 1)[:steps]


class _StepMeter(Meter):
    def __init__(self, task: StepClassification, steps: int) -> None:
        self._task = task
        k = task.outputs
        self._confusion = torch.zeros(k, k, dtype=torch.int64)
        # Loss, samples, steps of latency, changes that were followed, changes.
        self._sums = torch.zeros(5, dtype=torch.float64)

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        y = self._task._labels(targets, len(outputs)).cpu()
        outputs = outputs.float().cpu()
        predictions = outputs.argmax(2)
        labelled = y != UNLABELLED
        k = len(self._confusion)
        pairs = y[labelled] * k + predictions[labelled]
        self._confusion += torch.bincount(pairs, minlength=k * k).view(k, k)
        loss = cross_entropy(
            outputs.flatten(0, 1), y.flatten(), ignore_index=UNLABELLED, reduction="sum"
        )
        latency = change_latencies(y.T.numpy(), predictions.T.numpy())
        followed = latency[latency >= 0]
        self._sums += torch.tensor(
            [float(loss), y.shape[1], float(followed.sum()), len(followed), len(latency)],
            dtype=torch.float64,
        )

    def result(self, total: Gather, gather: Gather) -> Result:
        confusion = total(self._confusion)
        loss, samples, waited, followed, changes = total(self._sums).tolist()
        steps = int(confusion.sum())
        correct, of_class = confusion.diagonal().double(), confusion.sum(1)
        recalls = [
            float(hit) / int(count) if count else None
            for hit, count in zip(correct, of_class, strict=True)
        ]
        known = [each for each in recalls if each is not None]
        values = {
            "accuracy": float(correct.sum()) / max(steps, 1),
            "balanced_accuracy": sum(known) / max(len(known), 1),
            "accuracy_per_class": recalls,
            "loss": loss / max(steps, 1),
            "confusion": confusion.tolist(),
            "labelled_steps": steps,
            "change_latency": waited / followed if followed else None,
            "changes_missed": 1 - followed / changes if changes else None,
            "changes": int(changes),
        }
        return Result(int(samples), values)


def change_latencies(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return the steps from each change of a label to the first correct prediction, -1 for never.

    A change is a step with another label than the step before, both labelled; the prediction has
    to be correct before the label changes again or ends.

    Args:
        labels: `[B, T]`, -1 for none.
        predictions: `[B, T]`.
    """
    before = np.concatenate([np.full((len(labels), 1), UNLABELLED), labels[:, :-1]], 1)
    begins = labels != before  # a segment of one label
    begins[:, :1] = True
    is_change = begins & (labels != UNLABELLED) & (before != UNLABELLED)
    segment = begins.reshape(-1).cumsum() - 1
    starts = np.flatnonzero(begins)
    position = np.arange(labels.size) - starts[segment]
    never = labels.shape[1]
    first = np.full(len(starts), never)
    correct = (labels == predictions).reshape(-1)
    np.minimum.at(first, segment[correct], position[correct])
    found = first[is_change.reshape(-1)[starts]]
    return np.where(found == never, -1, found)
