"""Recipes: what a training does, as typed sections that are checked all at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field

from ...coding.base import MAX_STEPS
from ...core.documents import read_toml
from ...core.errors import ConfigError, DataError
from ...datasets.base import DataSet
from ...datasets.load import load_dataset
from ...kernels.dispatch import Kernels
from ...records.layout import FORMAT
from ..losses import Loss, LossName

SECTIONS = ("data", "coding", "neuron", "model", "augment", "train")


class Section(BaseModel):
    """One table of a recipe. The options of the component it names are fields of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    component_fields: ClassVar[frozenset[str]] = frozenset()

    def options(self) -> dict[str, Any]:
        """Return the component's own options."""
        return {name: getattr(self, name) for name in sorted(self.component_fields)}


class DataSection(Section):
    """Where samples come from; further keys are the data set's own."""

    name: str = Field("digits", description="data set")
    validation: float = Field(0.1, gt=0, lt=1, description="share of training data that validates")
    test: float = Field(0.2, gt=0, lt=1, description="share that tests, where no test part exists")
    limit: int | None = Field(None, ge=1, description="train on this many samples only")

    def load(self) -> DataSet:
        """Load the data set and cut it into its splits.

        Raises:
            ConfigError: an option is not possible.
            DataError: files are missing, damaged or too few.
        """
        return load_dataset(
            self.name,
            validation=self.validation,
            test=self.test,
            limit=self.limit,
            **self.options(),
        )


class CodingSection(Section):
    """How images become spikes; further keys are the code's own."""

    name: str = Field("hybrid", description="code")
    steps: int = Field(4, ge=1, le=MAX_STEPS, description="time steps T")


class NeuronSection(Section):
    """How neurons compute; all keys are those of the neuron that `model.neuron` names."""


class ModelSection(Section):
    """The network; further keys are the model's own."""

    name: str = Field("lenet", description="architecture")
    neuron: str = Field("adaptive", description="neuron")
    output_scale: bool | None = Field(
        None, description="learnable scale of the logits at each step; with all neurons but fixed"
    )


class AugmentSection(Section):
    """Changes to training images; its keys are those of `asnn.datasets.Augment`."""


class TrainSection(Section):
    """Optimisation."""

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=1)
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(1e-3, gt=0, le=1e30, description="learning rate after warm-up")
    final_lr: float = Field(1e-5, ge=0, description="learning rate at the end of the cosine")
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup_epochs: float = Field(0.0, ge=0)
    decay_epochs: int = Field(30, ge=1, description="schedule step: epochs between two falls")
    decay_factor: float = Field(0.1, gt=0, le=1, description="schedule step: factor of a fall")
    weight_decay: float = Field(0.0, ge=0, description="of weights, not of norms, biases, neurons")
    decay_all: bool = Field(False, description="weight_decay is of all parameters")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    loss: LossName = Field("mean", description="of the mean over steps, or tet: mean of the steps'")
    tet_lambda: float = Field(0.0, ge=0, le=1, description="of tet: weight of its regulariser")
    tet_phi: float = Field(1.0, description="of tet: where its regulariser draws the logits to")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    teacher: str | None = Field(
        None, min_length=1, description="ann: the analog twin, trained first; or a run's folder"
    )
    teacher_weight: float = Field(0.5, ge=0, le=1, description="of the teacher's answers, α")
    teacher_temperature: float = Field(2.0, gt=0, description="that softens all answers, τ")
    clip_norm: float | None = Field(None, gt=0, description="greatest norm of the gradient")
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of the average of the weights, which is what is kept"
    )
    accumulate: int = Field(1, ge=1, description="batches whose gradients make one step")
    sync_norm: bool = Field(
        False, description="batch norms see the samples of all processes, not of each by itself"
    )
    checkpoint_minutes: float = Field(
        5.0, gt=0, description="longest time between two training states"
    )
    checkpoint_steps: int | None = Field(
        None, ge=1, description="optimisation steps between two training states"
    )
    seed: int = Field(0, ge=0, lt=2**63)
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    workers: int = Field(0, ge=0, description="processes that load samples not in memory")
    kernels: Kernels = Field(
        "auto", description="fused, reference, or auto: fused where they can compute a layer"
    )

    def make_loss(self) -> Loss:
        """Return the loss that these settings describe.

        Raises:
            ConfigError: they contradict each other.
        """
        return Loss(self.loss, self.label_smoothing, self.tet_lambda, self.tet_phi)


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes:
        name: what its runs are called.
        description: one line.
    """

    name: str
    description: str
    data: DataSection
    coding: CodingSection
    neuron: NeuronSection
    model: ModelSection
    augment: AugmentSection
    train: TrainSection

    def document(self) -> dict[str, Any]:
        """Return all keys with their values, defaults included, as TOML can hold them."""
        return {
            "name": self.name,
            "description": self.description,
            **{name: getattr(self, name).model_dump(exclude_none=True) for name in SECTIONS},
        }

    def toml(self) -> str:
        """Return the recipe as TOML, its format first, which read again gives the same recipe.

        TOML has no null: keys that are not set stand as comments.
        """
        document = self.document()
        head = {k: v for k, v in document.items() if not isinstance(v, dict)}
        text = tomli_w.dumps({"format": FORMAT, **head})
        for name in SECTIONS:
            section: Section = getattr(self, name)
            text += "\n" + tomli_w.dumps({name: document[name]})
            for key, field in type(section).model_fields.items():
                if getattr(section, key) is None:
                    about = f": {field.description}" if field.description else ""
                    text += f"# {key} is not set{about}\n"
        return text

    def model_arguments(self) -> dict[str, Any]:
        """Return the arguments of `create_model` that the recipe decides."""
        return {
            "name": self.model.name,
            "coding": self.coding.name,
            "steps": self.coding.steps,
            "coding_options": self.coding.options(),
            "neuron": self.model.neuron,
            "neuron_options": self.neuron.options(),
            "output_scale": self.model.output_scale,
            **self.model.options(),
        }


def read_document(path: Path) -> dict[str, Any]:
    """Return the tables of a recipe file, unchecked.

    Raises:
        DataError: the file cannot be read.
        ConfigError: it is not TOML.
    """
    try:
        return read_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}", why=error.strerror or str(error)) from error
    except ValueError as error:
        raise ConfigError(f"{path} is not a TOML file", why=str(error)) from error
