"""SpikingJelly 2: layers of `activation_based.layer` in multi-step mode, ParametricLIFNode.

On a CPU it has one implementation of its neurons, plain torch, and no choice of backend ("CPU uses
Torch", says its README); its training example offers `torch.compile` beside it. State is reset
after each step, as its examples do.

Its neuron, v ← v + (x - v)/τ with τ = 2 to begin with, soft reset and a sigmoid surrogate with
α = 4, is that of asnn with leak = gain = 0.5.
"""

# Only the extra `bench` installs it.
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..case import Case, Layer
from .base import Network


class SpikingJelly(Network):
    """The network of a case in SpikingJelly; one stem, whatever the code.

    Args:
        case: the network to build.
        matched: makes no difference.
    """

    def __init__(self, case: Case, *, matched: bool = False) -> None:
        from spikingjelly.activation_based import functional, layer

        super().__init__()
        self.coding = case.encoder
        parts: list[nn.Module] = []
        former = "conv"
        for each in case.layers:
            if each.kind == "linear" and (former == "conv"):
                parts.append(layer.Flatten())
            parts += _block(each)
            former = each.kind
        parts.append(layer.Linear(case.layers[-1].outputs, case.classes))
        self.net = nn.Sequential(*parts)
        functional.set_step_mode(self.net, "m")
        self._reset: Any = functional.reset_net
        self._run: Any = self.net

    def forward(self, images: Tensor) -> Tensor:
        return self._run(self.coding.encode(images)).mean(0)

    def reset(self) -> None:
        self._reset(self.net)


def compiled(case: Case, *, matched: bool = False) -> SpikingJelly:
    """Return the network under `torch.compile`; as it is where results are compared."""
    import torch

    network = SpikingJelly(case)
    if not matched:
        network._run = torch.compile(network.net, backend="inductor")
    return network


def _block(each: Layer) -> list[nn.Module]:
    from spikingjelly.activation_based import layer, neuron, surrogate

    node = neuron.ParametricLIFNode(
        init_tau=2.0,
        decay_input=True,
        v_threshold=1.0,
        v_reset=None,
        surrogate_function=surrogate.Sigmoid(alpha=4.0),
        detach_reset=False,
    )
    if each.kind == "linear":
        linear = layer.Linear(each.inputs, each.outputs, bias=False)
        return [linear, layer.BatchNorm1d(each.outputs), node]
    conv = layer.Conv2d(each.inputs, each.outputs, kernel_size=3, padding=1, bias=False)
    block = [conv, layer.BatchNorm2d(each.outputs), node]
    return [*block, layer.MaxPool2d(each.window)] if max(each.window) > 1 else block
