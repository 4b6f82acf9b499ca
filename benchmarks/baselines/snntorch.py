"""snnTorch 1: a loop over steps that passes on each neuron's membrane, as in its tutorials.

The timed network has the tutorials' neuron, `Leaky(beta=0.5, learn_beta=True)` with the fast
sigmoid, and resets by subtraction one step later. With `matched` it resets to zero immediately,
which equals asnn's neuron with leak 0.5, gain 1 and reset `zero`; its subtraction equals asnn's
only while no membrane stays above the threshold.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..case import Case
from .base import Network, affine, batch_norm, pool


class SnnTorch(Network):
    """The network of a case in snnTorch; one stem for every code.

    Args:
        case: the network to build.
        matched: reset to zero immediately.
    """

    def __init__(self, case: Case, *, matched: bool = False) -> None:
        import snntorch
        from snntorch import surrogate

        super().__init__()
        options = {"reset_mechanism": "zero", "reset_delay": False} if matched else {}
        self.case = case
        self.affines = nn.ModuleList(affine(layer) for layer in case.layers)
        self.norms = nn.ModuleList(batch_norm(layer) for layer in case.layers)
        registered = len(snntorch.SpikingNeuron.instances)
        self.neurons = nn.ModuleList(
            snntorch.Leaky(
                beta=0.5, learn_beta=True, spike_grad=surrogate.fast_sigmoid(slope=25), **options
            )
            for _ in case.layers
        )
        # snnTorch keeps every neuron in a global list, for resets that are not used here.
        del snntorch.SpikingNeuron.instances[registered:]
        self.pools = nn.ModuleList(pool(layer) for layer in case.layers)
        self.flat = [layer.kind == "linear" for layer in case.layers]
        self.readout = nn.Linear(case.layers[-1].outputs, case.classes)

    def forward(self, images: Tensor) -> Tensor:
        membranes = [neuron.init_leaky() for neuron in self.neurons]  # type: ignore[operator]
        logits = []
        for x in self.case.encoded(images):
            for i, layer in enumerate(self.affines):
                current = self.norms[i](layer(x.flatten(1) if self.flat[i] else x))
                spikes, membranes[i] = self.neurons[i](current, membranes[i])
                x = self.pools[i](spikes)
            logits.append(self.readout(x))
        return torch.stack(logits).mean(0)
