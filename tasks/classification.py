"""Classification: one class for each sample."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..coding.base import Coding
from ..core.errors import ConfigError
from ..datasets.base import DataSet
from ..datasets.transforms.mixing import Targets
from ..models.readouts import Readout
from ..models.readouts.decision import running_mean
from .base import Gather, Meter, Result, Task, require_target
from .class_weights import Weights, class_weights
from .losses import DECISION_LOSSES, MEAN_LOSSES, Loss
from .outcomes import Outcomes, accuracy_over_time, calibration
from .van_rossum import require_spike_trains


class Classification(Task):
    """One class for each sample: the greatest mean of the logits over the steps.

    Its metrics are `accuracy`, `loss` (cross-entropy of the mean over all steps),
    `accuracy_per_step` (of the mean over the steps 1..t), `accuracy_of_each_step` (of the logits of
    step t alone), `confusion` (counts by true class and prediction) and `calibration_error`. With
    another readout than the mean they are those of its answers; `mean_step` is then that of its
    decisions, counted from 1, and `undecided` the share of samples without one. Of exact times
    there are `mean_time` of the decisions and `accuracy_over_time` instead of `mean_step`; a sample
    without a decision is wrong.
    """

    name = "classification"
    one_class = True
    shares = ("undecided",)

    def __init__(self) -> None:
        self.classes = []
        self.use_loss(Loss())

    @staticmethod
    def of(classes: int) -> Classification:
        """Return the task of numbered classes, without data."""
        task = Classification()
        task.classes, task.outputs = [str(number) for number in range(classes)], classes
        return task

    def bind(self, data: DataSet, coding: Coding) -> None:
        require_target(self.name, data)
        self.classes, self.outputs = data.classes, len(data.classes)

    def use_loss(self, loss: Loss) -> None:
        self._loss = loss
        self.needs_mean_only = loss.name in MEAN_LOSSES

    def use_class_weights(self, given: Weights, targets: Tensor) -> None:
        counts = torch.bincount(targets, minlength=self.outputs)
        weights = class_weights(given, self.classes, counts)
        self._loss = replace(self._loss, class_weights=weights)

    def use_readout(self, readout: Readout) -> None:
        """Take the readout of the network.

        Raises:
            ConfigError: the loss needs probabilities, decisions or spikes that the readout does not
                give.
        """
        if self._loss.name == "first-spike" and not readout.gives_likelihoods:
            raise ConfigError(
                "the loss first-spike needs a readout whose outputs fire at random",
                why="it is the likelihood of the class that fires first",
                remedy="set readout.name=first-crossing and readout.quantity=drawn, or another "
                "train.loss",
            )
        needed = DECISION_LOSSES.get(self._loss.name)
        if needed is not None and getattr(readout, "quantity", None) != needed:
            raise ConfigError(
                f"the loss {self._loss.name} needs a readout that answers at the first {needed} "
                "above a level",
                why="it teaches the step of that decision alone",
                remedy=f"set readout.name=first-crossing and readout.quantity={needed}, or another "
                "train.loss",
            )
        if self._loss.name == "van-rossum":
            require_spike_trains(readout, "train.loss")
        if self._loss.name == "count" and not readout.answers_with_counts:
            raise ConfigError(
                "the loss count needs a readout that counts spikes",
                why="it teaches their number",
                remedy="set readout.name=spike-count in a network of exact times, readout.name="
                "spikes in another one, or another train.loss",
            )
        super().use_readout(readout)
        if callable(getattr(readout, "crossed", None)):
            self.tracked = (*type(self).tracked, "mean_step", "undecided")
        if readout.reads_times:
            time = ["mean_time"] if hasattr(readout, "decision_times") else []
            self.tracked = (*type(self).tracked, *time, "undecided")
        self.needs_mean_only = self._loss.name in MEAN_LOSSES and readout.answers_with_mean

    def answer(self, outputs: Tensor) -> Tensor:
        """Return what the loss compares with the target, `[B, K]`: with a loss of the decision, the
        outputs at its step."""
        if self.readout is not None and self._loss.name in DECISION_LOSSES:
            return self.readout.decide(outputs).scores
        return super().answer(outputs)

    def step_classes(self, targets: Targets, steps: int) -> Tensor:
        """Return the class of the sample for every step."""
        if targets.weight != 1:
            raise ConfigError(
                "a step cannot be taught two classes of a mixed sample",
                why="the method compares each step with one class",
                remedy="leave augment.mixup, augment.cutmix and augment.mix out",
            )
        return targets.first.expand(steps, -1)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        return self._loss(outputs, targets, self.answer)

    @torch.no_grad()
    def score(self, outputs: Tensor, targets: Targets) -> float:
        """Return the number of correct predictions, of mixed samples weighted over both targets."""
        predictions = self.answer(outputs).argmax(1)
        first, second = (float((predictions == y).sum()) for y in (targets.first, targets.second))
        return targets.weight * first + (1 - targets.weight) * second

    def meter(self, steps: int) -> Meter:
        return _ClassMeter(self, steps)


class _ClassMeter(Meter):
    def __init__(self, task: Classification, steps: int) -> None:
        self._classes = task.outputs
        self._readout = task.readout
        # Steps to the decision, and samples that were decided.
        self._decided = torch.zeros(2, dtype=torch.float64)
        empty = torch.zeros(steps, 0)
        self._decides = callable(getattr(self._readout, "crossed", None))
        none = empty[0].long()
        steps_of_none = none if self._decides else None
        self._times = getattr(self._readout, "decision_times", None)
        times_of_none = none.double() if self._times else None
        self._batches = [Outcomes(none, empty.long(), empty, none, steps_of_none, times_of_none)]
        self._loss = torch.zeros(1, dtype=torch.float64)
        self._correct = torch.zeros(steps, dtype=torch.float64)  # by the logits of each step alone

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        steps, silent, times = None, None, None
        if self._readout is None or not self._readout.reads_times:
            outputs = outputs.float()
        if self._readout is None:
            so_far = running_mean(outputs)
            answer = so_far[-1]
        else:
            so_far = self._readout.so_far(outputs)
            answer = self._readout.likelihoods(outputs)
            decision = self._readout.decide(outputs)
            counts = (decision.step + 1).sum(), decision.decided.sum()
            self._decided += torch.stack(counts).double().cpu()
            steps = decision.step if self._decides else None
            silent = ~decision.decided if self._readout.must_decide else None
            times = None if self._times is None else self._times(outputs)
        correct = outputs.argmax(2) == targets
        self._correct += (correct if silent is None else correct & ~silent).sum(1).double().cpu()
        self._batches.append(Outcomes.of(so_far, targets, steps, silent=silent, times=times))
        self._loss += float(cross_entropy(answer, targets, reduction="sum"))

    def result(self, total: Gather, gather: Gather) -> Result:
        outcomes = Outcomes.concatenate(self._batches, gather)
        samples = len(outcomes.labels)
        values = {
            "accuracy": int(outcomes.correct[-1].sum()) / max(samples, 1),
            "loss": float(total(self._loss)) / max(samples, 1),
            "accuracy_per_step": (outcomes.correct.sum(1) / max(samples, 1)).tolist(),
            "accuracy_of_each_step": (total(self._correct) / max(samples, 1)).tolist(),
            "confusion": outcomes.confusion(self._classes),
            "calibration_error": calibration(outcomes).error,
        }
        steps, decided = total(self._decided).tolist()
        if self._readout is not None and not self._readout.answers_with_mean:
            if not self._readout.reads_times:
                values["mean_step"] = steps / max(samples, 1)
            values["undecided"] = 1 - decided / max(samples, 1)
        if outcomes.times is not None:
            times = outcomes.times[outcomes.times.isfinite()]
            values["mean_time"] = float(times.mean()) if len(times) else None
            values["accuracy_over_time"] = accuracy_over_time(outcomes)
        return Result(samples, values, outcomes)
