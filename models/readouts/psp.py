"""Post-synaptic potentials in front of the weights of a readout."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..synapses.base import PoleSynapse


class PostSynapticPotential(PoleSynapse):
    """A dual-exponential filter whose response to a spike rises to 1 and decays.

        P_t = p (P_{t-1} + x_t);   Q_t = q (Q_{t-1} + x_t);   F_t = v_0 (P_t - Q_t)

    with p = e^{-1/τ} and q = e^{-1/τ_rise}. A spike gives v_0 (p^{n+1} - q^{n+1}) after n steps,
    and v_0 makes the greatest of these 1. Nothing is learned.

    Args:
        channels: C.
        steps: ignored.
        tau, tau_rise: time constants τ and τ_rise < τ, in steps.

    Raises:
        ConfigError: time constants that are not positive and finite, or do not rise before they
            decay.

    Source: arXiv 2305.16594, section on the temporal coding of the output layer.
    """

    def __init__(self, channels: int, *, steps: int, tau: float, tau_rise: float) -> None:
        super().__init__(channels, steps=steps)
        if not 0 < tau_rise < tau < math.inf:
            raise ConfigError(
                f"the time constants of the potential are {tau} and {tau_rise}",
                why="it decays with the first and rises with the second, which must be shorter",
                remedy="set for example readout.psp=[2.0,0.5]",
            )
        p, q = math.exp(-1 / tau), math.exp(-1 / tau_rise)
        # The continuous response is greatest at this time; the spike itself counts as step 1.
        peak = tau * tau_rise / (tau - tau_rise) * math.log(tau / tau_rise)
        greatest = max(p**n - q**n for n in (max(math.floor(peak), 1), math.ceil(peak)))
        self.register_buffer("_poles", torch.tensor([[q], [p]]), persistent=False)
        self.register_buffer("_gain", torch.tensor([(p - q) / greatest]), persistent=False)

    _poles: Tensor
    _gain: Tensor

    @property
    def poles(self) -> Tensor:
        """q and p, `[2, C]`."""
        return self._poles.expand(-1, self.channels)

    @property
    def gain(self) -> Tensor:
        """v_0 (p - q), `[C]`."""
        return self._gain.expand(self.channels)
