"""The trained networks that a training builds on: its ANN counterpart, and other runs."""

from __future__ import annotations

from typing import Any

from ..coding.base import Coding
from ..coding.factory import coding_registry, create_coding
from ..core.errors import ConfigError
from ..measure.cost.ann import why_no_ann
from ..models.network import SpikingNetwork
from ..models.readouts.registry import of_ann
from ..records.layout import Run
from ..records.open_run import open_run
from .methods.trained_network import ANN, TrainedNetwork
from .recipe.checking import check_recipe
from .recipe.schema import Recipe, TrainSection

# Keys of `train` that its ANN counterpart has not.
OWN_KEYS = (
    "init",
    "calibrate",
    "calibrate_samples",
    "freeze",
    *("ann_epochs", "ann_lr", "ann_neuron", "ann_levels", "ann_steps"),
)
TITLES = {"relu": "ReLU", "qcfs": "clipped and quantised ReLU"}


def load_trained(source: str, run: Run) -> TrainedNetwork:
    """Return the network of the run in the folder `source`, or the ANN counterpart of `run`.

    Raises:
        DataError: there is no such run, or its weights cannot be read.
    """
    opened = open_run(ann_counterpart_run(run) if source == ANN else source)
    model, checksum = opened.load_with_checksum()
    return TrainedNetwork(opened.files.model, model, opened.labels, checksum)


def ann_counterpart(recipe: Recipe, coding: Coding | None = None) -> Recipe:
    """Return the recipe of the ANN counterpart: the same network with ReLU, one step, direct code.

    A network of events or series keeps its code: the counterpart sees the same steps, or with
    `train.ann_steps = "all"` those of the whole recording, and its prediction is the mean of its
    logits over them. `train.ann_neuron` may be `qcfs`. Data, augmentation, seed and optimization
    are those of the recipe; the method is backpropagation.

    Args:
        recipe: of the network.
        coding: its code, bound to the data; needed for `train.ann_steps = "all"`.

    Raises:
        ConfigError: the network cannot be built this way, or the keys of the counterpart contradict
            each other.
    """
    train = recipe.train
    document = recipe.document()
    document["name"] = f"{recipe.name}-teacher"
    document["description"] = f"ANN counterpart of {recipe.name}: {TITLES[train.ann_neuron]}"
    document["coding"] |= _steps_of_counterpart(recipe, coding)
    one_step = "image" in coding_registry.get(recipe.coding.name).takes
    if one_step:
        document["description"] += ", one step"
        own = recipe.coding
        coding = coding or create_coding(own.name, steps=own.steps, **own.options())
        document["coding"] = {"name": "direct", "steps": 1, **coding.of_counterpart()}
    name, options = of_ann(recipe.readout.name, recipe.readout.options(), one_step=one_step)
    if name != recipe.readout.name and train.loss == "van-rossum":
        document["train"]["loss"] = "mean"  # an ANN has no trains of spikes to compare
    document["readout"] = {"name": name, **options}
    document["method"] = {}
    document["neuron"] = _neuron_options(recipe)
    document["model"] |= {"neuron": train.ann_neuron, "output_scale": False}
    document["train"]["kernels"] = "auto"  # `fused` has none of it
    document["train"]["epochs"] = ann_epochs(train)
    document["train"]["lr"] = train.ann_lr or train.lr
    for key in OWN_KEYS:
        document["train"].pop(key, None)
    return check_recipe(document, source=f"the ANN counterpart of recipe {recipe.name}")


def _steps_of_counterpart(recipe: Recipe, coding: Coding | None) -> dict[str, Any]:
    """Return the options of the code that are others than those of the network."""
    if recipe.train.ann_steps == "own":
        return {}
    whole = None if coding is None else coding.whole()
    if whole is None:
        raise ConfigError(
            f"train.ann_steps=all is not for the code {recipe.coding.name}",
            why="it takes no part of a recording or series, of which its counterpart could see all",
            remedy="leave train.ann_steps out",
        )
    if recipe.train.init == ANN and recipe.model.options().get("norm") == "per-step":
        raise ConfigError(
            "train.ann_steps=all is not for a start of batch norms by step",
            why="the counterpart has those of other steps",
            remedy="set model.norm=folded, or leave train.ann_steps out",
        )
    return whole


def _neuron_options(recipe: Recipe) -> dict[str, Any]:
    """Return the options of the neuron of the counterpart.

    By default `qcfs` has as many levels as the mean output of the network's neurons, m T, with
    which a conversion is exact where the input is constant.
    """
    train, own = recipe.train, recipe.neuron.options()
    if train.ann_neuron == "qcfs":
        levels = train.ann_levels or own.get("most", 1) * recipe.coding.steps
        start = {"scale": own["scale"]} if "scale" in own else {}
        return {"levels": levels, "granularity": own.get("granularity", "layer"), **start}
    if train.ann_levels is not None:
        raise ConfigError(
            f"train.ann_levels={train.ann_levels} has no effect",
            why=f"train.ann_neuron is {train.ann_neuron}, which is not quantised",
            remedy="set train.ann_neuron=qcfs, or leave train.ann_levels out",
        )
    return {}


def ann_epochs(train: TrainSection) -> int:
    """Return the epochs of the ANN counterpart: `ann_epochs`, or those of the network; of a network
    that is not trained, the default of `epochs`."""
    return train.ann_epochs or train.epochs or TrainSection.model_fields["epochs"].default


def ann_counterpart_run(run: Run) -> Run:
    """Return the run of the ANN counterpart, which is inside the run."""
    return Run(run.path / "teacher")


def require_ann_counterpart(recipe: Recipe, model: SpikingNetwork) -> None:
    """Refuse a network without an ANN counterpart.

    Raises:
        ConfigError: with the reason, that of a layer if one has it.
    """
    why = why_no_ann(model)
    if why is not None:
        raise ConfigError(
            f"{recipe.model.name} has no ANN counterpart",
            why=why,
            remedy="name a run as method.teacher or train.init",
        )
    ann_counterpart(recipe, model.coding)
