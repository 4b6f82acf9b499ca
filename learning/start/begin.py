"""The start of a training: the weights of the ANN counterpart, or of another run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...core.errors import ConfigError, DataError
from ...models import create_model
from ...models.layers.neurons import calibratable, has_spikes, spiking_neurons
from ...models.network import SpikingNetwork
from ...models.nir.graph import graph_of
from ..checkpoints.storage import newest_first
from ..methods.trained_network import ANN
from ..trained import ann_counterpart, require_ann_counterpart
from .calibration import calibrate, learned_limits
from .weights import plan_transfer

if TYPE_CHECKING:
    from ..training import Training

NONE = "none"
LEARNED = "learned"  # of amplitudes that follow from what the ANN has learned, without calibration


def needs_start(training: Training) -> bool:
    """Return whether the training begins with weights that it does not have yet.

    A checkpoint has them already, so their source is not needed any more.
    """
    none_yet = not newest_first(training.run.checkpoints)
    return training.recipe.train.init != NONE and none_yet


def needs_counterpart(training: Training) -> bool:
    """Return whether the ANN counterpart is to be trained, for the method or for the start."""
    wanted = training.recipe.train.init == ANN and needs_start(training)
    return training.method.needs_counterpart or wanted


def check_start(training: Training) -> None:
    """Refuse a counterpart or a start that does not fit, before anything is written.

    Raises:
        ConfigError: there is no ANN counterpart, the run has another architecture, or its
            activations cannot calibrate the neurons.
        DataError: there is no such run.
    """
    train = training.recipe.train
    fresh = train.init in (NONE, ANN) and not newest_first(training.run.checkpoints)
    if fresh and graph_of(training.model) is not None:
        raise ConfigError(
            "the network of a NIR file has to begin with the values of the file",
            why=f"train.init is {train.init}, and the recipe has the shapes of the arrays alone",
            remedy="set train.init to the folder of the run that `asnn import` made",
        )
    if needs_counterpart(training):
        require_ann_counterpart(training.recipe, training.model)
    if not needs_start(training):
        return
    has_activations = train.init == ANN
    limits: dict[str, Tensor] = {}
    if train.init == ANN:
        plan_transfer(_untrained_counterpart(training), training.model, "the ANN counterpart")
    else:
        source = training.load_trained(train.init)
        transfer = plan_transfer(source.model, training.model, train.init)
        if transfer.new_readout and train.epochs == 0:
            raise ConfigError(
                f"{train.init} has another number of outputs, and 0 epochs train no new readout",
                why=f"it has {source.model.config['classes']}, this network "
                f"{training.model.config['classes']}",
                remedy="set train.epochs to 1 or more",
            )
        has_activations = not has_spikes(source.model)
        limits = learned_limits(training.model, source.model)
    if has_activations and train.calibrate != NONE:
        for name, neuron in calibratable(training.model).items():
            if callable(getattr(neuron, "require_calibratable", None)):
                neuron.require_calibratable()
            if name in limits and callable(getattr(neuron, "require_limit", None)):
                neuron.require_limit(limits[name])


def begin_from_start(training: Training) -> None:
    """Give the network the weights that it starts from, and calibrate its amplitudes by them.

    It is a function of the recipe, the data and the source alone. What was done is in
    `training.start`.

    Raises:
        ConfigError: the source has another architecture.
        DataError: it cannot be read.
    """
    train, model = training.recipe.train, training.model
    source = training.load_trained(train.init)
    transfer = plan_transfer(source.model, model, train.init)
    transfer.apply(model)
    rule, calibrated = train.calibrate, []
    why_not = "no amplitude"  # of layers that are not calibrated
    limits = learned_limits(model, source.model)
    if rule == NONE:
        why_not = "train.calibrate is none"
    elif has_spikes(source.model):
        why_not = "the source has spikes, not activations"
    elif limits:
        rule, calibrated = LEARNED, list(limits)
        for name, limit in limits.items():
            calibratable(model)[name].use_limit(limit.to(training.device))
    elif calibratable(model):
        calibrated = calibrate(
            model,
            source.model.to(training.device),
            training.data,
            rule=rule,
            samples=train.calibrate_samples,
            device=training.device,
            workers=train.workers,
        )
    training.processes.same_weights(model)
    own = [name for name in transfer.kept if _layer_of(name) not in calibrated]
    training.start = {
        "init": train.init,
        "fingerprint": source.fingerprint,
        "calibrate": rule,
        "samples": _samples(training) if calibrated and rule != LEARNED else 0,
        "calibrated": calibrated,
        "not_calibrated": {
            name: why_not for name in spiking_neurons(model) if name not in calibrated
        },
        "kept": own,
        "new_readout": transfer.new_readout,
        "classes": _compare_classes(source.labels, training.data.classes),
    }


def _untrained_counterpart(training: Training) -> SpikingNetwork:
    """Return the ANN counterpart without values: its weights have names and shapes alone."""
    recipe = ann_counterpart(training.recipe, training.model.coding)
    config, spec = training.model.config, training.data.spec
    with torch.device("meta"):
        return create_model(
            **recipe.model_arguments(), in_shape=spec.shape, classes=config["classes"], sample=spec
        )


def _samples(training: Training) -> int:
    return min(training.recipe.train.calibrate_samples, len(training.data.train))


def _compare_classes(former: list[str], classes: list[str]) -> str:
    """Return how the classes of the source differ: in number, names or order; empty if not."""
    if former == classes:
        return ""
    if len(former) != len(classes):
        return f"{len(former)} there, {len(classes)} here"
    if sorted(former) == sorted(classes):
        return "the same in another order"
    there, here = next(each for each in zip(former, classes, strict=True) if each[0] != each[1])
    return f"other names, such as {there} there and {here} here"


def require_same_start(training: Training, former: dict[str, Any]) -> None:
    """Refuse a start with other weights than those of an earlier session.

    Args:
        training: whose start has just been made again.
        former: content of `environment.json`.

    Raises:
        DataError: they have changed.
    """
    then, now = former.get("start"), training.start
    if then is not None and now is not None and then.get("fingerprint") != now["fingerprint"]:
        raise DataError(
            f"the weights in {now['init']} are not those that {training.run.path} began with",
            why="they have changed since",
            remedy="restore that run, or train anew without --resume",
        )


def start_notes(start: dict[str, Any]) -> list[str]:
    """Return what was done, for a user: one line for the weights, one for the amplitudes."""
    source = "the ANN counterpart" if start["init"] == ANN else start["init"]
    notes = [f"start: the weights of {source}"]
    if start.get("classes"):
        readout = "begins anew" if start["new_readout"] else "goes over"
        notes.append(f"its classes differ ({start['classes']}): the readout {readout}")
    calibrated, others = start["calibrated"], start["not_calibrated"]
    if calibrated:
        how = f"calibrated ({start['calibrate']}, {start['samples']} samples)"
        if start["calibrate"] == LEARNED:
            how = "from the greatest activations that the ANN has learned"
        notes.append(f"{how}: the amplitudes of {', '.join(calibrated)}")
    if others:
        why = ", ".join(sorted(set(others.values())))
        notes.append(f"not calibrated ({why}): {', '.join(others)}")
    return notes


def _layer_of(name: str) -> str:
    """Return the layer of a parameter of a neuron, as `layer_outputs` names it."""
    return name.removeprefix("body.").partition(".neuron.")[0]
