"""Norse: `SequentialState` called at every step with the state of the last, as its README has it.

The neuron is `LIFBoxCell`, the one of its neurons without a synaptic current: the cheapest, and
asnn's with leak = gain = 0.5 for dt / τ = 0.5 and reset by subtraction. It learns nothing.
"""

# Only the extra `bench` installs it.
# pyright: reportMissingImports=false

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..case import Case
from .base import Network, affine, batch_norm, pool

STEP = 1e-3  # s, its default


class Norse(Network):
    """The network of a case in Norse; one stem, whatever the code.

    Args:
        case: the network to build.
        matched: makes no difference.
    """

    def __init__(self, case: Case, *, matched: bool = False) -> None:
        from norse.torch import LIFBoxCell, LIFBoxParameters, SequentialState
        from norse.torch.functional.reset import reset_subtract

        super().__init__()
        parameters = LIFBoxParameters(
            tau_mem_inv=torch.tensor(0.5 / STEP), reset_method=reset_subtract
        )
        self.coding = case.encoder
        parts: list[nn.Module] = []
        for layer in case.layers:
            parts += [nn.Flatten()] if layer.kind == "linear" else []
            parts += [affine(layer), batch_norm(layer), LIFBoxCell(parameters, dt=STEP)]
            parts += [pool(layer)] if max(layer.window) > 1 else []
        parts.append(nn.Linear(case.layers[-1].outputs, case.classes))
        self.net = SequentialState(*parts)

    def forward(self, images: Tensor) -> Tensor:
        state = None
        logits = []
        for x in self.coding.encode(images):
            out, state = self.net(x, state)
            logits.append(out)
        return torch.stack(logits).mean(0)
