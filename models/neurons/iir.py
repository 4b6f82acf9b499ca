"""Neurons whose reset decays, behind synapses that filter: the spike response model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ...kernels.rules import SURROGATES
from ...kernels.rules import SurrogateName as Surrogate
from ..layer import Lowering
from .surrogates import spike

MembraneFilter = Literal["off", "on", "twice"]


class Iir(nn.Module):
    """Neurons whose reset decays: `[T, B, C, ...]` to spikes of the same shape, from rest.

        V_t = a V_{t-1} + x_t - R_{t-1}
        s_t = H(V_t - θ)
        R_t = c R_{t-1} + θ s_t

    Their memory is that of the synapse in front of the weights (`[synapse]`). With d = e^{-1/τ}:

    - `membrane_filter` off: a = 0, c = d. Only the reset decays, as published.
    - on: a = d, c = 0. The membrane filters its input and each reset once; the neuron is
      `snntorch.Leaky(beta=d, reset_delay=True)`, as long as no spike follows another.
    - twice: a = c = d. A reset decays in R and again in V, as in the published code.

    Behind an `exp` synapse of the pole d, `off` equals `on` without one, if all channels have that
    pole and the weights no bias or norm. There is no fused kernel for them.

    Args:
        steps, channels: ignored; every neuron is built with them.
        tau: τ, in steps.
        learn: make d a parameter, one for the layer, in (0, 1).
        membrane_filter: `off`, `on` or `twice`.
        threshold: θ.
        surrogate: `sigmoid`, `atan`, `triangular`, `fast_sigmoid`, `gaussian`, `hat` or
            `lorentzian`.
        alpha: its steepness; the default of the surrogate if None (gaussian: 2.5, a deviation of
            0.4).

    Raises:
        ConfigError: an option out of range.

    Source: Fang, Shrestha, Zhao and Qiu, arXiv 2003.02944, and their code, Snow-Crash/snn-iir.

    >>> Iir(3, tau=2.0)(torch.tensor([[1.2], [1.2], [1.2]])).flatten().tolist()
    [1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        tau: float = 4.0,
        learn: bool = False,
        membrane_filter: MembraneFilter = "off",
        threshold: float = 1.0,
        surrogate: Surrogate = "gaussian",
        alpha: float | None = None,
    ) -> None:
        super().__init__()
        if membrane_filter not in ("off", "on", "twice"):
            raise unknown("membrane_filter", membrane_filter, ["off", "on", "twice"])
        if surrogate not in SURROGATES:
            raise unknown("surrogate", surrogate, list(SURROGATES))
        for name, value in (("tau", tau), ("threshold", threshold), ("alpha", alpha)):
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} must be above 0, not {value}")
        self.membrane_filter = membrane_filter
        self.threshold = threshold
        self.surrogate = surrogate
        self.alpha = alpha
        # logit(e^{-1/τ}), without the difference of nearly equal numbers
        start = torch.tensor(-math.log(math.expm1(1 / tau)))
        self.logit = nn.Parameter(start, requires_grad=learn)

    @property
    def pole(self) -> Tensor:
        """d, in (0, 1)."""
        return self.logit.sigmoid()

    def step(self, x: Tensor, v: Tensor, reset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute one step: input, membrane and reset to spikes, membrane and reset."""
        d = self.pole
        v = x - reset if self.membrane_filter == "off" else d * v + x - reset
        s = spike(v - self.threshold, self.surrogate, self.alpha)
        sent = self.threshold * s
        return s, v, sent if self.membrane_filter == "on" else d * reset + sent

    def forward(self, x: Tensor) -> Tensor:
        values = x if x.dtype == torch.float64 else x.float()
        spikes = []
        v = reset = torch.zeros_like(values[0]) if len(values) else values
        for x_t in values.unbind(0):
            s, v, reset = self.step(x_t, v, reset)
            spikes.append(s)
        return (torch.stack(spikes) if spikes else values).to(x.dtype)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        """Return a function that computes one step after another, from rest."""
        state: tuple[Tensor, Tensor] | None = None

        def step(x: Tensor) -> Tensor:
            nonlocal state
            rest = torch.zeros_like(x)
            s, *after = self.step(x, *(state or (rest, rest)))
            state = after[0].detach(), after[1].detach()
            return s

        return step

    def lower(self, graph: Lowering, name: str) -> None:
        graph.cell(name, self.step, states=["v", "reset"])

    def decaying_parameters(self) -> list[nn.Parameter]:
        """Return none: decay would pull d to 1/2."""
        return []

    def extra_repr(self) -> str:
        return f"membrane_filter={self.membrane_filter}, threshold={self.threshold}"
