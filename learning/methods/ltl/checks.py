"""What local tandem learning is not for."""

from __future__ import annotations

from typing import Any

from ....core.errors import ConfigError
from ....models.layers.neurons import calibratable, has_spikes, spiking_neurons
from ....models.network import SpikingNetwork
from ....models.neurons.integrate import Integrate
from ....models.readouts.crossing import FirstCrossingReadout


def require_activations(ann: SpikingNetwork, name: str) -> None:
    """Refuse a network with spikes as the source of activations."""
    if has_spikes(ann):
        raise ConfigError(
            f"train.init={name} has spikes, and ltl learns the activations of an ANN",
            why="each layer has the activations of the same layer as its target",
            remedy="set train.init=ann, or to the folder of a run with model.neuron=relu, such as "
            "the folder teacher of a run",
        )


def require_classes(training: Any) -> None:
    """Refuse a task without one class for each sample, and losses of single steps."""
    task, loss = training.task, training.recipe.train.loss
    if not task.one_class:
        raise ConfigError(
            f"ltl is for tasks with one class for each sample, not for {task.name}",
            why="the readout learns from the mean over the steps",
            remedy="set method.name=bptt",
        )
    if loss != "mean":
        raise ConfigError(
            f"train.loss={loss} is not for the method ltl",
            why="its stages have losses of their own, of the mean over the steps and of the step "
            "of the decision",
            remedy="set train.loss=mean",
        )


def require_learnable_layers(model: SpikingNetwork, *, scaled: bool) -> None:
    """Refuse neurons whose mean output is no activation, or through which no gradient passes.

    Args:
        model: the network.
        scaled: whether the amplitudes are to be scaled.
    """
    neurons, fit = spiking_neurons(model), calibratable(model)
    others = [name for name in neurons if name not in fit]
    if others or not neurons:
        raise ConfigError(
            f"ltl is not for the neurons {model.config['neuron']}",
            why="only neurons with a calibrated amplitude have a mean output that is the "
            "activation of an ANN",
            remedy="set model.neuron=integrate, with neuron.most=5 and "
            "neuron.gradient=straight-through",
        )
    for name, neuron in neurons.items():
        options = getattr(neuron, "options", None)
        if getattr(options, "gradient", None) == "none":
            raise ConfigError(
                f"{name} has no gradient for ltl to learn by",
                why="neuron.gradient is none",
                remedy="set neuron.gradient=straight-through",
            )
        if scaled and not isinstance(neuron, Integrate):
            raise ConfigError(
                f"method.gain scales the amplitudes of integrate neurons, not of {name}",
                remedy="set method.gain=1, or model.neuron=integrate",
            )


def require_readout(model: SpikingNetwork, *, decides: bool) -> None:
    """Refuse a network that ends with something else than a readout.

    Args:
        model: the network.
        decides: whether the readout is to decide at the first crossing of a potential.
    """
    readout = model.readout
    if not any(module is readout for module in model.body.children()):
        raise ConfigError(
            "the network does not end with a readout",
            why="ltl trains the readout by itself",
            remedy="end its body, a torch.nn.Sequential, with ctx.make_readout(features)",
        )
    if not decides:
        return
    decides_by_potential = isinstance(readout, FirstCrossingReadout) and (
        readout.quantity == "potential"
    )
    if not decides_by_potential:
        raise ConfigError(
            "method.readout_epochs train a readout that decides at the first crossing of a "
            "potential, and this one does not",
            remedy="set readout.name=first-crossing, readout.quantity=potential and for example "
            "readout.psp=[2.0,0.5], or method.readout_epochs=0",
        )
