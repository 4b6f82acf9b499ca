"""Recipes: the configuration of a training, as typed sections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from ...coding.base import MAX_STEPS
from ...coding.factory import create_coding
from ...core.documents import read_toml
from ...core.errors import ConfigError, DataError
from ...core.reading import MAX_TOML, read_regular, why_unreadable
from ...datasets.base import DataSet
from ...datasets.load import load_dataset
from ...kernels.dispatch import Kernels
from ...records.layout import FORMAT
from ...tasks.base import Task
from ...tasks.class_weights import BALANCED
from ...tasks.factory import create_task
from ...tasks.losses import Loss, LossName
from ..methods import Method, create_method

SECTIONS = (
    "data",
    "coding",
    "neuron",
    "synapse",
    "model",
    "readout",
    "task",
    "method",
    "augment",
    "train",
)


def _as_list(given: Any) -> Any:
    """Return the names in a text, which commas separate; anything else as it is.

    `[a, b]` without quotes, which is no TOML, means `a, b`.
    """
    if not isinstance(given, str):
        return given
    given = given.strip()
    if given.startswith("[") and given.endswith("]") and "[" not in given[1:]:
        given = given[1:-1]
    return [name.strip() for name in given.split(",") if name.strip()]


Names = Annotated[list[str], BeforeValidator(_as_list)]
"""A list of names, or one text of them: `a, b`."""


class Section(BaseModel):
    """One table of a recipe; the options of its component are fields too."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    component_fields: ClassVar[frozenset[str]] = frozenset()

    def options(self) -> dict[str, Any]:
        """Return the options of the component."""
        return {name: getattr(self, name) for name in sorted(self.component_fields)}


class DataSection(Section):
    """The data set and its splits; other keys are options of the data set."""

    name: str = Field("digits", description="data set")
    validation: float = Field(
        0.1, gt=0, lt=1, description="fraction of training data for validation"
    )
    test: float = Field(
        0.2, gt=0, lt=1, description="fraction for testing, if there is no test part"
    )
    limit: int | None = Field(None, ge=1, description="train on this many samples only")
    target_images: str | None = Field(
        None, description="file of images, one of each sample, as targets"
    )

    def load(self) -> DataSet:
        """Load the data set and cut it into its splits.

        Raises:
            ConfigError: an option is not valid.
            DataError: files are missing, damaged or too few.
        """
        return load_dataset(
            self.name,
            validation=self.validation,
            test=self.test,
            limit=self.limit,
            target_images=self.target_images,
            **self.options(),
        )


class CodingSection(Section):
    """How images become spikes; other keys are options of the coding."""

    name: str = Field("hybrid", description="code")
    steps: int = Field(4, ge=1, le=MAX_STEPS, description="time steps T")


class NeuronSection(Section):
    """Options of the neuron `model.neuron`."""


class ModelSection(Section):
    """The network; other keys are options of the model."""

    name: str = Field("lenet", description="architecture")
    neuron: str = Field("adaptive", description="neuron")
    output_scale: bool | None = Field(
        None, description="learnable scale of the logits at each step; default: except with fixed"
    )


class SynapseSection(Section):
    """The filter in front of every layer but the first; other keys are its options."""

    name: str = Field("none", description="synapse")


class ReadoutSection(Section):
    """What the outputs of the steps answer; other keys are options of the readout."""

    name: str = Field("mean", description="readout")


class TaskSection(Section):
    """What the network is asked; other keys are options of the task."""

    name: str = Field("classification", description="task")


class MethodSection(Section):
    """How the weights are learned; other keys are options of the method."""

    name: str = Field("bptt", description="method")


class AugmentSection(Section):
    """Augmentation of training samples; the keys are the options of all kinds of samples."""


def _weigh(values: list[Any]) -> bool:
    """Return whether these are weights of classes."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return numbers and all(0 <= v < math.inf for v in values) and sum(values) > 0


LOSS_KEYS = ("loss", "label_smoothing", "tet_lambda", "tet_phi", "entropy", "counts")
"""Keys of `[train]` that say what the loss of classes is."""


class TrainSection(Section):
    """Optimization."""

    epochs: int = Field(10, ge=0, description="0: keep the start, see init")
    init: str = Field(
        "none",
        min_length=1,
        description="start from: none, ann (the ANN counterpart, trained first), or a run's folder",
    )
    calibrate: Literal["mse", "max", "quantile", "none"] = Field(
        "mse", description="how the amplitudes of a start are set, by the activations of the ANN"
    )
    calibrate_samples: int = Field(512, ge=1, description="training samples to calibrate with")
    ann_epochs: int | None = Field(
        None, ge=1, description="epochs of the ANN counterpart; default: those of epochs"
    )
    ann_lr: float | None = Field(
        None, gt=0, le=1e30, description="learning rate of the ANN counterpart; default: that of lr"
    )
    ann_neuron: Literal["relu", "qcfs"] = Field(
        "relu", description="neuron of the ANN counterpart: ReLU, or clipped and quantised"
    )
    ann_levels: int | None = Field(
        None, ge=1, description="levels of qcfs; default: those of the mean output of the neurons"
    )
    ann_steps: Literal["own", "all"] = Field(
        "own", description="steps of the ANN counterpart: those of coding, or all of a recording"
    )
    freeze: Names = Field(
        [], description="layers or parameters that keep their weights, such as conv1 or spikes*"
    )
    patience: int | None = Field(
        None, ge=1, description="end a stage after so many epochs without a better one"
    )
    batch_size: int = Field(64, ge=1)
    optimizer: Literal["adam", "adamw", "adamax", "sgd"] = "adam"
    lr: float = Field(1e-3, gt=0, le=1e30, description="learning rate after warm-up")
    final_lr: float = Field(1e-5, ge=0, description="learning rate at the end of the cosine")
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup_epochs: float = Field(0.0, ge=0)
    decay_epochs: int = Field(30, ge=1, description="schedule step: epochs between two decays")
    decay_factor: float = Field(0.1, gt=0, le=1, description="schedule step: factor of a decay")
    weight_decay: float = Field(0.0, ge=0, description="of weights, not of norms, biases, neurons")
    decay_all: bool = Field(False, description="weight_decay applies to all parameters")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    betas: list[float] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="of adam, adamw and adamax: decays of both averages; default: 0.9, 0.999",
    )
    loss: LossName = Field(
        "mean",
        description="of the mean over steps; tet: mean of the steps'; first-spike: of drawn ones; "
        "rank, rank-published: of the first crossing; van-rossum: of spike trains; count: of "
        "numbers of spikes",
    )
    entropy: float = Field(0.0, ge=0, description="of rank: reward of uncertain decisions")
    counts: list[float] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="of count: spikes of the output of the target, and of the others; 15, 3",
    )
    tet_lambda: float = Field(0.0, ge=0, le=1, description="of tet: weight of its regularizer")
    tet_phi: float = Field(1.0, description="of tet: target of the logits in its regularizer")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: str | list[float] | dict[str, float] | None = Field(
        None, description="factors of the loss by class: balanced, a list, or a table by name"
    )
    sampling: Literal["shuffle", "balanced"] = Field(
        "shuffle", description="of an epoch: each sample once, or all classes equally often"
    )
    clip_norm: float | None = Field(None, gt=0, description="maximum norm of the gradient")
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of the average of the weights, which is then saved"
    )
    accumulate: int = Field(1, ge=1, description="batches per optimization step")
    sync_norm: bool = Field(
        False, description="batch norm statistics over all processes, not of each one"
    )
    checkpoint_minutes: float = Field(5.0, gt=0, description="maximum time between two checkpoints")
    checkpoint_steps: int | None = Field(
        None, ge=1, description="optimization steps between two checkpoints"
    )
    log: Names = Field(
        [], description="write metrics for others as well: csv, tensorboard, or of a plug-in"
    )
    statistics: bool = Field(False, description="norms of gradients and weights, by layer")
    seed: int = Field(0, ge=0, lt=2**63)
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    workers: int = Field(0, ge=0, description="processes that load samples not in memory")
    kernels: Kernels = Field(
        "auto", description="fused, reference, or auto: fused where they support a layer"
    )

    @field_validator("betas")
    @classmethod
    def _check_betas(cls, given: list[float] | None) -> list[float] | None:
        if given is not None and not all(0 <= beta < 1 for beta in given):
            raise ValueError("must be two numbers from 0 to below 1")
        return given

    @field_validator("class_weights", mode="before")
    @classmethod
    def _check_class_weights(cls, given: Any) -> Any:
        """Refuse what is no weights with one sentence instead of one for each form."""
        values = list(given.values()) if isinstance(given, dict) else given
        if given is None or given == BALANCED or (isinstance(values, list) and _weigh(values)):
            return given
        raise ValueError(
            "must be balanced, a list of numbers (one a class), or a table of class = number, none "
            "below 0 and not all 0"
        )

    def make_loss(self) -> Loss:
        """Return the loss of these settings.

        Raises:
            ConfigError: they contradict each other.
        """
        return Loss(
            self.loss,
            self.label_smoothing,
            self.tet_lambda,
            self.tet_phi,
            entropy=self.entropy,
            counts=None if self.counts is None else (self.counts[0], self.counts[1]),
        )


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes:
        name: beginning of the names of its runs.
        description: one line.
    """

    name: str
    description: str
    data: DataSection
    coding: CodingSection
    neuron: NeuronSection
    synapse: SynapseSection
    model: ModelSection
    readout: ReadoutSection
    task: TaskSection
    method: MethodSection
    augment: AugmentSection
    train: TrainSection

    def document(self) -> dict[str, Any]:
        """Return all keys that are set, defaults included, as a TOML document."""
        return {
            "name": self.name,
            "description": self.description,
            **{name: getattr(self, name).model_dump(exclude_none=True) for name in SECTIONS},
        }

    def toml(self) -> str:
        """Return the recipe as TOML, with its format; read again, it gives the same recipe.

        TOML has no null: keys that are not set are comments.
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

    def make_task(self, data: DataSet) -> Task:
        """Return the task of the recipe, bound to the data.

        Raises:
            ConfigError: the code does not take the samples.
            DataError: the targets of the data are not those of the task.
        """
        coding = create_coding(self.coding.name, steps=self.coding.steps, **self.coding.options())
        coding.bind(data.spec)
        task = create_task(self.task.name, **self.task.options())
        task.use_loss(self.train.make_loss())
        task.bind(data, coding)
        return task

    def make_method(self) -> Method:
        """Return the method of the recipe.

        Raises:
            ConfigError: an option is not valid.
        """
        return create_method(self.method.name, **self.method.options())

    def model_arguments(self) -> dict[str, Any]:
        """Return the arguments of `create_model` that are in the recipe."""
        return {
            "name": self.model.name,
            "coding": self.coding.name,
            "steps": self.coding.steps,
            "coding_options": self.coding.options(),
            "neuron": self.model.neuron,
            "neuron_options": self.neuron.options(),
            "output_scale": self.model.output_scale,
            "synapse": self.synapse.name,
            "synapse_options": self.synapse.options(),
            "readout": self.readout.name,
            "readout_options": self.readout.options(),
            **self.model.options(),
        }


def read_document(path: Path) -> dict[str, Any]:
    """Return the tables of a recipe file, unchecked.

    Raises:
        DataError: the file cannot be read.
        ConfigError: it is not TOML.
    """
    try:
        content = read_regular(path, max_size=MAX_TOML)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}", why=why_unreadable(error)) from error
    try:
        return read_toml(content.decode())
    except ValueError as error:
        raise ConfigError(f"{path} is not a TOML file", why=str(error)) from error
