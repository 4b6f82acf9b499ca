"""What a network has learned about time: leak and gain of every layer at every step."""

from __future__ import annotations

from torch import Tensor, nn

from ..models.layers import Readout, SpikingLayer
from ..models.neurons import AdaptiveLeaky


def schedules(model: nn.Module) -> dict[str, dict[str, list[float]]]:
    """Return, for each neuron layer, its schedules by name; means over channels where they differ.

    The readout is listed with its `scale`, where it has one. Learned thresholds are schedules of
    one value.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for name, module in model.named_modules():
        if isinstance(module, SpikingLayer):
            values = {
                key: _by_step(_effective(module.neuron, key, value))
                for key, value in module.neuron.state_dict(keep_vars=True).items()
                if key != "threshold" or value.requires_grad
            }
        elif isinstance(module, Readout) and module.scale is not None:
            values = {"scale": _by_step(module.scale)}
        else:
            continue
        found[name.removeprefix("body.")] = values
    return found


def _effective(neuron: nn.Module, key: str, value: Tensor) -> Tensor:
    """Return what a neuron computes with, which for a bounded leak may not be what it has."""
    return neuron.kept_leak() if key == "leak" and isinstance(neuron, AdaptiveLeaky) else value


def _by_step(schedule: Tensor) -> list[float]:
    values = schedule.detach().double().cpu()
    return (
        values.reshape(-1, 1).squeeze(1).tolist() if values.dim() < 2 else values.mean(1).tolist()
    )
