"""The network of asnn run one step after another, like the published code.

Every layer runs at every step in the default memory layout, including the first convolution, whose
input does not change with a static code. Batch norm runs on one step at a time (`shared`).

Source of the loop: github.com/hhx0320/ASNN.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...models.neurons.leaky import AdaptiveLeaky
from ..case import Case
from .base import Network, affine, batch_norm, pool


class StepLoop(Network):
    """The network of a case as a loop over steps.

    Args:
        case: the network to build.
        matched: not used; the neuron is that of asnn.
    """

    def __init__(self, case: Case, *, matched: bool = False) -> None:
        super().__init__()
        first, *others = case.layers
        self.case = case
        self.stems = nn.ModuleList(affine(first) for _ in range(case.stems))
        self.stem_norms = nn.ModuleList(batch_norm(first) for _ in range(case.stems))
        self.affines = nn.ModuleList(affine(layer) for layer in others)
        self.norms = nn.ModuleList(batch_norm(layer) for layer in others)
        self.neurons = nn.ModuleList(AdaptiveLeaky(case.steps) for _ in case.layers)
        self.pools = nn.ModuleList(pool(layer) for layer in case.layers)
        self.flat = [layer.kind == "linear" for layer in case.layers]
        self.readout = nn.Linear(case.layers[-1].outputs, case.classes)
        self.scale = nn.Parameter(torch.ones(case.steps))

    def forward(self, images: Tensor) -> Tensor:
        code = self.case.encoded(images)
        states = [neuron.init_leaky() for neuron in self.neurons]  # type: ignore[operator]
        logits = []
        for t, x in enumerate(code):
            kind = 0 if t < self.case.encoder.analog_steps else len(self.stems) - 1
            affines = [self.stems[kind], *self.affines]
            norms = [self.stem_norms[kind], *self.norms]
            for i, (layer, norm) in enumerate(zip(affines, norms, strict=True)):
                current = norm(layer(x.flatten(1) if self.flat[i] else x))
                spikes, states[i] = self.neurons[i](current, states[i])
                x = self.pools[i](spikes)
            logits.append(self.readout(x) * self.scale[t])
        return torch.stack(logits).mean(0)
