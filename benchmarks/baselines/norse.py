"""Norse: `SequentialState`, called at every step with the last state, as in its README.

The neuron is `LIFBoxCell`, its only neuron without a synaptic current and the cheapest. With
dt / τ = 0.5 and reset by subtraction it equals asnn's with leak = gain = 0.5. It has no learned
parameters.
"""

# Only the extra `bench` installs it.
# pyright: reportMissingImports=false

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..case import Case
from .base import Network, affine, batch_norm, pool

STEP = 1e-3  # seconds, the default of Norse


class Norse(Network):
    """The network of a case in Norse; one stem for every code.

    Args:
        case: the network to build.
        matched: not used.
    """

    def __init__(self, case: Case, *, matched: bool = False) -> None:
        from norse.torch import LIFBoxCell, LIFBoxParameters, SequentialState
        from norse.torch.functional.reset import reset_subtract

        super().__init__()
        parameters = LIFBoxParameters(
            tau_mem_inv=torch.tensor(0.5 / STEP), reset_method=reset_subtract
        )
        self.case = case
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
        for x in self.case.encoded(images):
            out, state = self.net(x, state)
            logits.append(out)
        return torch.stack(logits).mean(0)
