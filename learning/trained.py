"""The trained networks that a training builds on: its ANN counterpart, and other runs."""

from __future__ import annotations

from ..coding.factory import coding_registry
from ..core.errors import ConfigError
from ..measure.cost.ann import why_no_ann
from ..models.network import SpikingNetwork
from ..models.readouts.registry import for_one_step
from ..records.layout import Run
from ..records.open_run import open_run
from .methods.trained_network import ANN, TrainedNetwork
from .recipe.checking import check_recipe
from .recipe.schema import Recipe, TrainSection

# Keys of `train` that its ANN counterpart has not.
OWN_KEYS = ("init", "calibrate", "calibrate_samples", "ann_epochs", "freeze")


def load_trained(source: str, run: Run) -> TrainedNetwork:
    """Return the network of the run in the folder `source`, or the ANN counterpart of `run`.

    Raises:
        DataError: there is no such run, or its weights cannot be read.
    """
    opened = open_run(ann_counterpart_run(run) if source == ANN else source)
    model, checksum = opened.load_with_checksum()
    return TrainedNetwork(opened.files.model, model, opened.labels, checksum)


def ann_counterpart(recipe: Recipe) -> Recipe:
    """Return the recipe of the ANN counterpart: the same network with ReLU, one step, direct code.

    A network of events or series keeps its code: the counterpart sees the same steps, and its
    prediction is the mean of its logits over them. Data, augmentation, seed and optimization are
    those of the recipe; the method is backpropagation.

    Raises:
        ConfigError: the network cannot be built this way.
    """
    document = recipe.document()
    document["name"] = f"{recipe.name}-teacher"
    document["description"] = f"ANN counterpart of {recipe.name}: ReLU"
    if "image" in coding_registry.get(recipe.coding.name).takes:
        document["description"] += ", one step"
        document["coding"] = {"name": "direct", "steps": 1}
        document["readout"] = for_one_step(recipe.readout.name, document["readout"])
    document["neuron"] = document["method"] = {}
    document["model"] |= {"neuron": "relu", "output_scale": False}
    document["train"]["kernels"] = "auto"  # `fused` has none of ReLU
    document["train"]["epochs"] = ann_epochs(recipe.train)
    for key in OWN_KEYS:
        document["train"].pop(key, None)
    return check_recipe(document, source=f"the ANN counterpart of recipe {recipe.name}")


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
    ann_counterpart(recipe)
