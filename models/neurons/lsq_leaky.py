"""Neurons whose membrane is solved for all steps at once, by least squares, without a reset."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ...kernels.dispatch import Kernels
from ...kernels.rules import SURROGATES
from ...kernels.rules import SurrogateName as Surrogate
from ...kernels.tridiagonal import solve_tridiagonal
from ..layer import SPIKES, VALUES, Lowering, OperationCounter, OperationList, Signal
from ..ode.equations import RowWeights, normal_equations, right_hand_sides
from ..ode.substitution import count_substitution, substitution_of
from .leaky import Granularity, Schedule
from .surrogates import spike

UNKNOWNS = 2  # u and u'


class LsqLeaky(nn.Module):
    """Leaky neurons without a reset, all steps at once: `[T, B, C, ...]` to spikes of that shape.

        u + τ_t u' = x_t,   u(0) = 0        as least squares over all steps, one step apart
        s_t = H(u_t - θ)

    See `asnn.models.ode.equations` for the rows. u_t depends on later inputs too, by what the rows
    of smoothness share: it is the membrane of the whole series, and is not computed step by step.
    At the first step u is 0, so a spike needs two steps. For a constant τ the membrane is within
    1 % of the exact solution: 0.2 % for filtered input and 0.8 % for raw spikes at τ = 20.

    Rows of smoothness describe slow changes. Time constants that jump from a step to the next, as a
    schedule `per-step` may learn, are outside of that: expect errors of 6 to 10 %, and a warning.

    Args:
        steps: T.
        channels: C, for granularity `channel`.
        tau: start value of τ, in steps.
        learn: make τ a parameter.
        granularity: `layer`, or `channel` for one τ a channel.
        schedule: `shared` by all steps, or `per-step`.
        smoothness: weight of the Taylor rows against that of the equation.
        threshold: θ.
        surrogate: `sigmoid`, `atan`, `triangular`, `fast_sigmoid`, `gaussian`, `hat` or
            `lorentzian`.
        alpha: its steepness; the default of the surrogate if None.

    Attributes:
        kernels: which kernels to use; `asnn.models.use_kernels` sets it.

    Raises:
        ConfigError: an option out of range.

    Source: Chen et al., arXiv 2410.06074.
    """

    kernels: Kernels = "auto"

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        tau: float = 2.0,
        learn: bool = True,
        granularity: Granularity = "layer",
        schedule: Schedule = "shared",
        smoothness: float = 1.0,
        threshold: float = 0.5,
        surrogate: Surrogate = "sigmoid",
        alpha: float | None = None,
    ) -> None:
        super().__init__()
        if granularity not in ("layer", "channel"):
            raise unknown("granularity", granularity, ["layer", "channel"])
        if schedule not in ("shared", "per-step"):
            raise unknown("schedule", schedule, ["shared", "per-step"])
        if surrogate not in SURROGATES:
            raise unknown("surrogate", surrogate, list(SURROGATES))
        options = {"tau": tau, "smoothness": smoothness, "threshold": threshold, "alpha": alpha}
        for name, value in options.items():
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} must be above 0, not {value}")
        if granularity == "channel" and channels is None:
            raise ConfigError(
                "granularity 'channel' needs the number of channels",
                remedy="build the neuron with channels=..., or with granularity='layer'",
            )
        if schedule == "per-step":
            warnings.warn(
                "lsq-leaky with a time constant for each step: least squares take it for slowly "
                "changing, and where it jumps the membrane is off by 6 to 10 %; "
                "neuron.schedule=shared is exact to 1 %",
                stacklevel=2,
            )
        self.granularity = granularity
        self.weights = RowWeights(smoothness=smoothness)
        self.threshold = threshold
        self.surrogate: Surrogate = surrogate
        self.alpha = alpha
        shape = (
            steps if schedule == "per-step" else 1,
            channels if granularity == "channel" and channels is not None else 1,
        )
        self.log_tau = nn.Parameter(torch.full(shape, math.log(tau)), requires_grad=learn)

    @property
    def tau(self) -> Tensor:
        """τ in steps, `[1 or T, 1 or C]`, above 0."""
        return self.log_tau.exp()

    def forward(self, x: Tensor) -> Tensor:
        u = self.membrane(x) if len(x) else x
        return spike(u - self.threshold, self.surrogate, self.alpha)

    def membrane(self, x: Tensor) -> Tensor:
        """Return u of all steps, of the shape and dtype of `x`.

        Raises:
            ConfigError: there are more steps than time constants, or other channels.
        """
        channels = self.log_tau.shape[1]
        if channels > 1 and x.shape[2] != channels:
            raise ConfigError(
                f"the neuron has time constants for {channels} channels, the input {x.shape[2]}",
                why="with granularity 'channel' the axis after the batch is the channels",
            )
        c = self._coefficients(len(x))
        diagonal, above = self._system(c)
        rows = x.movedim(2, -1) if channels > 1 else x.unsqueeze(-1)
        b = rows.flatten(1, -2).double().unsqueeze(-1)
        right = right_hand_sides(c, b, None, self.weights)
        u = solve_tridiagonal(diagonal, above, right, kernels=self.kernels)[:, 0]
        u = u.to(x.dtype).reshape(rows.shape)
        return u.movedim(-1, 2) if channels > 1 else u.squeeze(-1)

    def _coefficients(self, steps: int) -> Tensor:
        """Return c of u + τ u' = x, `[T, G, 1, 1, 2]`, float64."""
        tau = self.tau.double()
        if len(tau) > 1:
            if steps > len(tau):
                raise ConfigError(
                    f"the input has {steps} steps, the neuron time constants for {len(tau)}",
                    remedy=f"give at most {len(tau)} steps, or use neuron.schedule=shared",
                )
            tau = tau[:steps]
        tau = tau.expand(steps, -1)
        return torch.stack([torch.ones_like(tau), tau], 2)[:, :, None, None]

    def _system(self, c: Tensor) -> tuple[Tensor, Tensor]:
        one_apart = c.new_ones(len(c) - 1, c.shape[1])
        return normal_equations(c, one_apart, (1, 1), self.weights)

    def lower(self, graph: Lowering, name: str) -> None:
        c = self._coefficients(graph.steps)
        entering = self.weights.equation**2 * c[:, :, 0, 0].unsqueeze(3)
        passes = substitution_of(*self._system(c), entering)
        graph.add("Substitution", f"{name}_membrane", **passes._asdict(), outputs=(0,))
        one = torch.ones(graph.steps, 1)
        level = self.threshold * one
        nothing = 0 * one
        graph.add("Neuron", name, leak=nothing, gain=one, threshold=level, size=level, reset="none")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(f"{name}.membrane", "least squares", self, VALUES)
        return SPIKES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        values = x[0, 0].numel()
        count_substitution(counter, x, systems=values, inputs=1, unknowns=UNKNOWNS)

    def decaying_parameters(self) -> list[nn.Parameter]:
        """Return none: decay would pull τ to 1."""
        return []

    def extra_repr(self) -> str:
        return f"granularity={self.granularity}, threshold={self.threshold}"
