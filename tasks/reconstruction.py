"""Reconstruction: the sample itself, or a field that belongs to it, from its spikes."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ..coding.base import Coding
from ..core.errors import ConfigError, DataError
from ..core.metric import Metric
from ..datasets.base import DataSet
from ..datasets.transforms.mixing import Targets
from ..models.network import SpikingNetwork
from ..models.saved import load_run
from .base import Gather, Meter, Result, Task, refuse_mixed, target_kind

NAMES = ("bce", "mse")
NONE = "none"


class Reconstruction(Task):
    """An image from each sample: the sample itself, or the target `[C, H, W]` that the data have.

    Outputs are its values in the order of `[C, H, W]`, K = C·H·W. With the loss `bce` they are
    log-odds, and the image is σ of them; with `mse` they are its values:

        bce = mean over pixels of -y log σ(o) - (1 - y) log σ(-o)        mse = mean of (y - o)²

    NaN in a target is not known, and counts nowhere.

    Its metrics are `mse` of the image, `psnr` = -10 log10 mse in dB (None of 0), `loss`, and with a
    classifier `classifier_accuracy`, the share of images that it assigns to the class of their
    sample; of fields, to the class that it assigns to the target itself.

    Args:
        loss: `bce`, for values from 0 to 1, or `mse`.
        classifier: the folder of a run that classifies such images, or its `model.safetensors`.

    Raises:
        ConfigError: an unknown loss.
    """

    name = "reconstruction"
    primary = Metric("mse", greater_is_better=False, percent=False)
    tracked = ("mse", "psnr")
    shares = ("classifier_accuracy",)

    def __init__(self, *, loss: Literal["bce", "mse"] = "bce", classifier: str = NONE) -> None:
        if loss not in NAMES:
            raise ConfigError(f"unknown loss {loss!r}", why=f"choose from {', '.join(NAMES)}")
        self.kind = loss
        self.answers = "log-odds" if loss == "bce" else "values"
        self.needs_mean_only = True
        self.classes = []
        self.shape: tuple[int, ...] = ()
        self.classifier: SpikingNetwork | None = None
        self._source = classifier
        self._of_samples = True

    def bind(self, data: DataSet, coding: Coding) -> None:
        targets = data.train.targets
        self._of_samples = target_kind(data) != self.name
        if self._of_samples and data.spec.kind != "image":
            raise DataError(
                f"the task {self.name} has nothing to reconstruct in the data set {data.name}",
                why=f"its samples are {data.spec.many}, which are no images, and its targets are "
                "not either",
                remedy="give real targets [N, C, H, W], or a data set of images",
            )
        self.shape = tuple(data.in_shape if self._of_samples else targets.shape[1:])
        self.outputs = math.prod(self.shape)
        if self.kind == "bce" and not self._of_samples:
            self._require_shares(data)
        if self._source != NONE:
            self.classifier = self._fitting(data)

    def use_readout(self, readout: object) -> None:
        super().use_readout(readout)  # type: ignore[arg-type]
        self.needs_mean_only = bool(getattr(readout, "answers_with_mean", False))

    def image(self, answer: Tensor) -> Tensor:
        """Return the image of an answer `[..., K]`, of the same shape."""
        return answer.sigmoid() if self.kind == "bce" else answer

    def losses(self, outputs: Tensor, targets: Targets) -> Tensor:
        answer, y, known = self._compared(outputs, targets)
        if self.kind == "bce":
            each = binary_cross_entropy_with_logits(answer, y, reduction="none")
        else:
            each = (answer - y).square()
        return (each * known).sum(1) / known.sum(1).clamp(min=1)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        return self.losses(outputs, targets).mean()

    @torch.no_grad()
    def score(self, outputs: Tensor, targets: Targets) -> float:
        """Return the sum over the samples of their mean squared errors."""
        answer, y, known = self._compared(outputs, targets)
        errors = ((self.image(answer) - y).square() * known).sum(1)
        return float((errors / known.sum(1).clamp(min=1)).sum())

    def meter(self, steps: int) -> Meter:
        return _ImageMeter(self)

    def _compared(self, outputs: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
        """Return answers and targets `[B, K]`, with 0 where one is not known, and which are."""
        if self._of_samples:
            assert isinstance(targets.inputs, Tensor), "batches of images hold their samples"
            y = targets.inputs
        else:
            refuse_mixed(self.name, targets)
            y = targets.first
        y = y.flatten(1).float()
        known = ~y.isnan()
        return self.answer(outputs).float(), torch.where(known, y, 0), known

    def _require_shares(self, data: DataSet) -> None:
        """Refuse targets of the loss `bce` outside of [0, 1]."""
        for name in ("train", "validation", "test"):
            y = data.split(name).targets
            if bool(((y < 0) | (y > 1)).any()):
                raise DataError(
                    f"the {name} targets of {data.name} are not all from 0 to 1",
                    why="the loss bce takes them as probabilities",
                    remedy="scale them, or set task.loss=mse",
                )

    def _fitting(self, data: DataSet) -> SpikingNetwork:
        """Return the classifier.

        Raises:
            DataError: there is no such run, or it does not classify such images.
        """
        found = load_run(self._source)
        shape, classes = tuple(found.config["in_shape"]), found.config["classes"]
        takes = "image" if found.sample is None else found.sample.kind
        known = len(data.classes) if self._of_samples else classes  # fields have no classes
        if (takes, shape, classes) != ("image", self.shape, known):
            has = f" and the data have {known} classes" if self._of_samples else ""
            raise DataError(
                f"the classifier {self._source} does not fit these data",
                why=f"it takes {takes} samples {shape} and has {classes} outputs, the images are "
                f"{self.shape}{has}",
                remedy="name a run that classifies these images as task.classifier",
            )
        return found


class _ImageMeter(Meter):
    def __init__(self, task: Reconstruction) -> None:
        self._task = task
        # Squared errors, known values, losses, samples, correct classes, classified samples.
        self._sums = torch.zeros(6, dtype=torch.float64)

    def take(self, outputs: Tensor, targets: Targets) -> None:
        task = self._task
        answer, y, known = task._compared(outputs, targets)
        image = task.image(answer)
        errors = ((image - y).square() * known).sum(dtype=torch.float64)
        losses = task.losses(outputs, targets).sum(dtype=torch.float64)
        found = [errors, known.sum(), losses, len(y), *self._classified(image, y, targets.first)]
        self._sums += torch.tensor([float(each) for each in found], dtype=torch.float64)

    def _classified(self, image: Tensor, y: Tensor, labels: Tensor) -> tuple[float, float]:
        """Return how many images `[B, K]` the classifier assigns to their class, of how many."""
        task = self._task
        if task.classifier is None:
            return 0.0, 0.0
        if task._of_samples:
            if labels.dim() > 1 or labels.is_floating_point():
                return 0.0, 0.0
        else:
            labels = self._classes(y)
        return float((self._classes(image) == labels).sum()), float(len(labels))

    def _classes(self, images: Tensor) -> Tensor:
        """Return the class that the classifier assigns to each image `[B, K]`."""
        task = self._task
        assert task.classifier is not None
        shown = images.clamp(0, 1).unflatten(1, task.shape)
        return task.classifier.to(images.device).predict(shown).argmax(1)

    def result(self, total: Gather, gather: Gather) -> Result:
        errors, known, losses, samples, correct, classified = total(self._sums).tolist()
        mse = errors / max(known, 1)
        values = {
            "mse": mse,
            "psnr": -10 * math.log10(mse) if mse > 0 else None,
            "loss": losses / max(samples, 1),
        }
        if classified:
            values["classifier_accuracy"] = correct / classified
        return Result(int(samples), values)
