"""Knowledge distillation: from the ANN counterpart of a network, or from any trained run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from ..coding.factory import coding_registry
from ..coding.samples import Batch
from ..core.errors import DataError
from ..datasets import DataSet
from ..models.network import SpikingNetwork
from ..records.layout import Run
from ..records.open_run import open_run
from ..tasks.losses import distillation_loss
from .recipe.checking import check_recipe
from .recipe.schema import Recipe

ANN = "ann"  # value of `train.teacher`: the ANN counterpart, trained first
TEACHER_KEYS = ("teacher", "teacher_weight", "teacher_temperature")


@dataclass(frozen=True)
class Teacher:
    """A trained network whose predictions a student learns, besides the labels.

        L = (1 - α) L_labels + α τ² 1/T Σ_t KL(softmax(z / τ) ‖ softmax(logits_t / τ))

    z are the teacher's logits of the augmented images of the student, the mean over its own steps.
    They are compared with the logits of each step of the student, for every choice of L_labels.
    KL is the mean over samples.

    Attributes:
        model: the teacher, in evaluation mode; it is not trained.
        weight: α, in [0, 1].
        temperature: τ > 0.
        fingerprint: SHA-256 of its file.

    Source: Hinton et al., arXiv 1503.02531; for the steps of a spiking student, Xu et al.,
    arXiv 2304.05627.
    """

    model: SpikingNetwork
    weight: float
    temperature: float
    fingerprint: str

    def blended(self, loss: Tensor, logits: Tensor, x: Batch) -> Tensor:
        """Return L.

        Args:
            loss: L_labels.
            logits: of the student, `[T, B, K]`.
            x: the samples, such as images `[B, C, H, W]`.
        """
        distillation = distillation_loss(logits, self.model.predict(x), self.temperature)
        return (1 - self.weight) * loss + self.weight * distillation


def ann_counterpart(recipe: Recipe) -> Recipe:
    """Return the recipe of the ANN counterpart: the same network with ReLU, one step, direct code.

    A network of events or series keeps its code: the counterpart sees the same steps, and its
    prediction is the mean of its logits over them. Data, augmentation, seed and optimization are
    those of the recipe.

    Raises:
        ConfigError: the network cannot be built this way.
    """
    document = recipe.document()
    document["name"] = f"{recipe.name}-teacher"
    document["description"] = f"ANN counterpart of {recipe.name}: ReLU"
    if "image" in coding_registry.get(recipe.coding.name).takes:
        document["description"] += ", one step"
        document["coding"] = {"name": "direct", "steps": 1}
    document["neuron"] = {}
    document["model"] |= {"neuron": "relu", "output_scale": False}
    document["train"]["kernels"] = "auto"  # `fused` has none of ReLU
    for key in TEACHER_KEYS:
        document["train"].pop(key, None)
    return check_recipe(document, source=f"the ANN counterpart of recipe {recipe.name}")


def ann_counterpart_run(run: Run) -> Run:
    """Return the run of the ANN counterpart, which is inside the run."""
    return Run(run.path / "teacher")


def load_teacher(recipe: Recipe, run: Run, data: DataSet, device: torch.device) -> Teacher:
    """Return the trained teacher: the ANN counterpart in the run, or the run `train.teacher`.

    Raises:
        DataError: there is no such run, or it was trained on other images or classes.
    """
    settings = recipe.train
    assert settings.teacher is not None
    teacher = open_run(ann_counterpart_run(run) if settings.teacher == ANN else settings.teacher)
    path, model, labels = teacher.files.model, teacher.load_model(), teacher.labels
    shape = tuple(model.config["in_shape"])
    if shape != tuple(data.in_shape) or labels != list(data.classes):
        raise DataError(
            f"the teacher {path} does not fit these data",
            why=f"it takes images {shape} of {len(labels)} classes, the data are "
            f"{tuple(data.in_shape)} of {len(data.classes)}, or the classes have other names",
            remedy="name a run on the same data set as train.teacher",
        )
    fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()
    return Teacher(
        model.to(device), settings.teacher_weight, settings.teacher_temperature, fingerprint
    )
