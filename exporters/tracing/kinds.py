"""Which parts of a torch module are neurons, which lower themselves, and the error for others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from torch import nn

from ...core.errors import ConfigError
from ...models.layer import answers
from ...models.neurons.snntorch import SnnTorchNeuron


def is_snntorch(part: object) -> bool:
    """Return whether a part is a neuron of snnTorch.

    A network with one has imported snnTorch; a network without needs no snnTorch.
    """
    module = sys.modules.get("snntorch")
    return module is not None and isinstance(part, module.SpikingNeuron)


def lowers_itself(part: object) -> bool:
    """Return whether a part is to say by itself how it is exported: asnn's neurons and layers, and
    those of other packages with `lower` or `neuron_fields`."""
    if isinstance(part, SnnTorchNeuron):
        return True
    return isinstance(part, nn.Module) and (
        answers(part, "lower") or answers(part, "neuron_fields")
    )


def declared_steps(module: nn.Module) -> set[int]:
    """Return for how many steps the parts that lower themselves have parameters."""
    found = {getattr(p, "steps", None) for p in module.modules() if lowers_itself(p)}
    return {steps for steps in found if isinstance(steps, int)}


def snntorch_neurons(module: nn.Module) -> Iterator[Any]:
    """Yield the neurons of snnTorch in a module."""
    return (part for part in module.modules() if is_snntorch(part))


def state_at_rest(neuron: Any) -> Any:
    """Return the state of a neuron before the first step.

    It is that of snnTorch's neurons after a reset, and of others what their only method `init_...`
    returns, such as `init_leaky`; None if they have none.
    """
    if is_snntorch(neuron):
        return neuron.mem
    starts = [name for name in dir(type(neuron)) if name.startswith("init_")]
    return getattr(neuron, starts[0])() if len(starts) == 1 else None


def refusal(where: str, layer: object | str, why: str, remedy: str = "") -> ConfigError:
    """Return the error for a layer.

    Args:
        where: its path in the network.
        layer: the layer, or the name of its class.
        why: the reason.
        remedy: what to do instead.
    """
    kind = layer if isinstance(layer, str) else type(layer).__name__
    return ConfigError(f"layer {where!r} ({kind}) cannot be exported", why=why, remedy=remedy)
