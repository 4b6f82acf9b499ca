"""A network that teaches another: the analog twin of a recipe, or any trained run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.errors import DataError
from ..datasets import DataSet
from ..models.network import SpikingNetwork
from ..records.layout import Run
from ..records.open_run import open_run
from .losses import teaching_loss
from .recipe.checking import check_recipe
from .recipe.schema import Recipe

TWIN = "ann"
OF_TEACHING = ("teacher", "teacher_weight", "teacher_temperature")


@dataclass(frozen=True)
class Teacher:
    """A trained network whose answers another learns, beside the labels.

        L = (1 - α) L_labels + α τ² 1/T Σ_t KL(softmax(z / τ) ‖ softmax(logits_t / τ))

    z are the teacher's logits of the very images that the student sees, the mean over its own
    steps; they are held against the logits of each single step of the student, whatever
    L_labels looks at. KL is the mean over samples.

    Attributes:
        model: the teacher, in evaluation mode; it does not learn.
        weight: α, in [0, 1].
        temperature: τ > 0.
        fingerprint: of its weights.

    Source: Hinton et al., arXiv 1503.02531; for the steps of a spiking student, Xu et al.,
    arXiv 2304.05627.
    """

    model: SpikingNetwork
    weight: float
    temperature: float
    fingerprint: str

    def blended(self, loss: Tensor, logits: Tensor, x: Tensor) -> Tensor:
        """Return the loss of the labels with what the teacher adds to it.

        Args:
            loss: L_labels.
            logits: of the student, `[T, B, K]`.
            x: the images `[B, C, H, W]`.
        """
        taught = teaching_loss(logits, self.model.predict(x), self.temperature)
        return (1 - self.weight) * loss + self.weight * taught


def twin(recipe: Recipe) -> Recipe:
    """Return the recipe of the analog twin: the same network with ReLU, one step, direct code.

    Data, augmentation, seed and optimisation are the recipe's own.

    Raises:
        ConfigError: the network cannot be built so.
    """
    document = recipe.document()
    document["name"] = f"{recipe.name}-teacher"
    document["description"] = f"analog twin of {recipe.name}: ReLU, one step"
    document["coding"] = {"name": "direct", "steps": 1}
    document["neuron"] = {}
    document["model"] |= {"neuron": "relu", "output_scale": False}
    document["train"]["kernels"] = "auto"  # there are none of ReLU that `fused` could insist on
    for key in OF_TEACHING:
        document["train"].pop(key, None)
    return check_recipe(document, source=f"the twin of recipe {recipe.name}")


def twin_run(run: Run) -> Run:
    """Return where the twin of a run lies, itself an ordinary run."""
    return Run(run.path / "teacher")


def load_teacher(recipe: Recipe, run: Run, data: DataSet, device: torch.device) -> Teacher:
    """Return the trained teacher of a recipe: the twin in the run, or the run that it names.

    Raises:
        DataError: there is no such run, or it was trained on images or classes of another kind.
    """
    settings = recipe.train
    assert settings.teacher is not None
    taught = open_run(twin_run(run) if settings.teacher == TWIN else settings.teacher)
    path, model, labels = taught.files.model, taught.load_model(), taught.labels
    shape = tuple(model.config["in_shape"])
    if shape != tuple(data.in_shape) or labels != list(data.classes):
        raise DataError(
            f"the teacher {path} does not know these data",
            why=f"it takes images {shape} of {len(labels)} classes, the data are "
            f"{tuple(data.in_shape)} of {len(data.classes)}, or the classes have other names",
            remedy="name a run on the same data set as train.teacher",
        )
    fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()
    return Teacher(
        model.to(device), settings.teacher_weight, settings.teacher_temperature, fingerprint
    )
