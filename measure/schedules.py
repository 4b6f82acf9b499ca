"""Learned schedules: leak and gain of every layer at every step."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..coding.draws import drawing, sample_keys
from ..coding.samples import Batch
from ..models.layers.recurrent import Recurrent
from ..models.layers.spiking import SpikingLayer
from ..models.network import SpikingNetwork
from ..models.neurons.leaky import AdaptiveLeaky
from ..models.neurons.lif import DelayedReset
from ..models.nir.layers import Threshold
from ..models.nir.neuron import NirNeuron
from ..models.readouts import Readout


def schedules(model: nn.Module) -> dict[str, dict[str, list[float]]]:
    """Return the schedules of each neuron layer by name; schedules by channel as channel means.

    The readout is listed with its `scale`, if it has one. A learned threshold is a schedule of one
    value.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for name, module in model.named_modules():
        if isinstance(module, SpikingLayer):
            # The weights of a recurrent layer are no schedule; that of its neuron is.
            neuron = module.neuron.neuron if isinstance(module.neuron, Recurrent) else module.neuron
            if isinstance(neuron, NirNeuron | Threshold):
                continue  # constants of a file, not learned
            values = {key: _by_step(value) for key, value in _parameters(neuron).items()}
        elif isinstance(module, Readout) and module.scale is not None:
            values = {"scale": _by_step(module.scale)}
        else:
            continue
        found[name.removeprefix("body.")] = values
    return found


def _parameters(neuron: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that a neuron computes with, by name."""
    if isinstance(neuron, DelayedReset):
        return neuron.parameters_of()
    return {
        key.removeprefix("log_"): _effective(neuron, key, value)
        for key, value in neuron.state_dict(keep_vars=True).items()
        if key != "threshold" or value.requires_grad
    }


def _effective(neuron: nn.Module, key: str, value: Tensor) -> Tensor:
    """Return the value that the neuron computes with: a bounded leak is clamped, and a `log_tau`
    is that of τ."""
    if key.startswith("log_"):
        return value.exp()
    return neuron.clamped_leak() if key == "leak" and isinstance(neuron, AdaptiveLeaky) else value


def _by_step(schedule: Tensor) -> list[float]:
    values = schedule.detach().double().cpu()
    return (
        values.reshape(-1, 1).squeeze(1).tolist() if values.dim() < 2 else values.mean(1).tolist()
    )


@torch.no_grad()
def frozen_schedules(model: SpikingNetwork) -> SpikingNetwork:
    """Return a copy in which each schedule is replaced by its mean over the steps.

    Its accuracy shows whether the change of the schedules over time matters. For all t

        leak_t ← 1/(T-1) Σ_{t>1} leak_t     gain_t ← 1/T Σ_t gain_t     scale_t ← 1/T Σ_t scale_t

    and the reset size as the gain. The leak of step 1 is left out because it multiplies a membrane
    of 0 and is not learned. Means are taken for each channel.
    """
    frozen = copy.deepcopy(model)
    for module in frozen.modules():
        if isinstance(module, AdaptiveLeaky):
            _fill_with_mean(module.leak, module.clamped_leak()[1:])
            _fill_with_mean(module.gain, module.gain)
            if module.reset_size is not None:
                _fill_with_mean(module.reset_size, module.reset_size)
        elif isinstance(module, Readout) and module.scale is not None:
            _fill_with_mean(module.scale, module.scale)
    return frozen


def _fill_with_mean(schedule: Tensor, values: Tensor) -> None:
    if len(schedule) > 1:
        schedule.copy_(values.mean(0, keepdim=True).expand_as(schedule))


@torch.no_grad()
def recalibrate(model: SpikingNetwork, batches: Iterable[tuple[Batch, Any]]) -> None:
    """Estimate the statistics of all batch norms again, as means over batches of training data.

    The statistics of batch norms depend on the schedules.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momentums = [norm.momentum for norm in norms]
    was_training = model.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches, each with equal weight
    model.train()
    first = 0
    for x, targets in batches:
        samples = getattr(targets, "samples", None)
        keys = torch.arange(first, first + len(x)) if samples is None else samples
        with drawing(sample_keys(keys, 0)):
            model.mean_logits(x)
        first += len(x)
    for norm, momentum in zip(norms, momentums, strict=True):
        norm.momentum = momentum
    model.train(was_training)
