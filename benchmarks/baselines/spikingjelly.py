"""SpikingJelly 2: layers of `activation_based.layer` in multi-step mode, ParametricLIFNode.

On a CPU its neurons have one backend, plain torch ("CPU uses Torch", says its README); its training
example also offers `torch.compile`. State is reset after each step, as in its examples.

Its neuron, v ← v + (x - v)/τ with initial τ = 2, soft reset and a sigmoid surrogate with α = 4,
equals asnn's with leak = gain = 0.5. Its DSRIFNode is asnn's `integrate` neuron with the gradient
`representation`, with ≥ for >. `spikingjelly_zoo.py` holds the networks that SpikingJelly
ships itself, `spikingjelly_temporal.py` one with convolutions over time.
"""

# Only the extra `bench` installs it.
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..case import Case
from ..networks import Layer
from .base import Network
from .own import DSR_AMPLITUDE, DSR_FRACTION


class SpikingJelly(Network):
    """The network of a case in SpikingJelly; one stem for every code.

    Args:
        case: with the code.
        net: `[T, B, C, H, W]` to logits `[T, B, classes]`, or to their mean `[B, classes]`.
    """

    def __init__(self, case: Case, net: nn.Module) -> None:
        from spikingjelly.activation_based import functional

        super().__init__()
        self.case = case
        self.net = net
        functional.set_step_mode(net, "m")
        self._reset: Any = functional.reset_net
        self._run: Any = net

    def forward(self, images: Tensor) -> Tensor:
        logits = self._run(self.case.encoded(images))
        return logits if logits.dim() == 2 else logits.mean(0)

    def reset(self) -> None:
        self._reset(self.net)


def eager(case: Case, *, matched: bool = False) -> SpikingJelly:
    """Return the network without compilation."""
    from . import spikingjelly_zoo as zoo

    if case.spec.model == "ms-resnet":
        return SpikingJelly(case, zoo.ms_resnet(case))
    if case.spec.model == "spikformer":
        return SpikingJelly(case, zoo.spikformer(case, matched=matched))
    from spikingjelly.activation_based import neuron

    def make_neuron() -> nn.Module:
        return neuron.ParametricLIFNode(**neuron_options())

    if case.spec.model == "spiking-yolo":
        from .spikingjelly_temporal import spiking_yolo

        return SpikingJelly(case, spiking_yolo(case, make_neuron))
    return SpikingJelly(case, _sequential(case, make_neuron))


def compiled(case: Case, *, matched: bool = False) -> SpikingJelly:
    """Return the network under `torch.compile`; without it if `matched`."""
    network = eager(case, matched=matched)
    if not matched:
        network._run = torch.compile(network.net, backend="inductor")
    return network


def dsr(case: Case, *, matched: bool = False) -> SpikingJelly:
    """Return the network of neurons that are differentiated on their spike representation."""
    from spikingjelly.activation_based import neuron

    options = {"v_threshold": DSR_AMPLITUDE, "alpha": DSR_FRACTION, "T": case.steps}
    return SpikingJelly(case, _sequential(case, lambda: neuron.DSRIFNode(**options)))


def neuron_options() -> dict[str, Any]:
    """Return the arguments of `ParametricLIFNode`."""
    from spikingjelly.activation_based import surrogate

    return {
        "init_tau": 2.0,
        "decay_input": True,
        "v_threshold": 1.0,
        "v_reset": None,
        "surrogate_function": surrogate.Sigmoid(alpha=4.0),
        "detach_reset": False,
    }


def _sequential(case: Case, make_neuron: Callable[[], nn.Module]) -> nn.Module:
    """Return a sequential network."""
    from spikingjelly.activation_based import layer

    parts: list[nn.Module] = []
    previous = "conv"
    for each in case.layers:
        if each.kind == "linear" and previous == "conv":
            parts.append(layer.Flatten())
        parts += _block(each, make_neuron())
        previous = each.kind
    parts.append(layer.Linear(case.layers[-1].outputs, case.classes))
    return nn.Sequential(*parts)


def _block(each: Layer, node: nn.Module) -> list[nn.Module]:
    from spikingjelly.activation_based import layer

    if each.kind == "linear":
        linear = layer.Linear(each.inputs, each.outputs, bias=False)
        return [linear, layer.BatchNorm1d(each.outputs), node]
    conv = layer.Conv2d(each.inputs, each.outputs, kernel_size=3, padding=1, bias=False)
    block = [conv, layer.BatchNorm2d(each.outputs), node]
    return [*block, layer.MaxPool2d(each.window)] if max(each.window) > 1 else block
