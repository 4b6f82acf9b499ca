"""Leaky integrate-and-fire neurons as modules: they hold parameters, and no state."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...coding.draws import current_keys, uniforms
from ...core.errors import ConfigError
from ...core.registry import unknown
from ...kernels.rules import RESETS, SURROGATES
from .functional.leaky import (
    LeakyOptions,
    LeakyParameters,
    LeakyState,
    Reset,
    Surrogate,
    first_spike,
    leaky_step,
    leaky_steps,
    membranes,
)

Granularity = Literal["layer", "channel"]
Schedule = Literal["per-step", "shared"]
Noise = Literal["off", "logistic"]
LEAK_BOUNDS = (0.01, 0.99)
KAPPA = 4.0  # of the noise


class AdaptiveLeaky(nn.Module):
    """Leaky integrate-and-fire neurons whose leak and gain are learned for each time step.

    The same function in two forms (see `leaky_step` for the equations):

    - all steps: `spikes = neuron(x)`, `[T, B, ...] -> [T, B, ...]`, from rest;
    - step by step, as in snnTorch: `mem = neuron.init_leaky()`, then
      `spk, mem = neuron(x_t, mem)` with `x_t` `[B, ...]`; `mem.v` is the membrane.

    The module holds parameters and no state. Membranes are float32, or float64 with float64 input;
    spikes have the dtype of the input.

    Args:
        steps: number of time steps T.
        channels: number of channels C, required by granularity `channel`; C is the second axis of
            `[B, C, ...]`.
        granularity: `layer` (a scalar for each step) or `channel` (one for each step and channel).
        schedule: `per-step`, or `shared`: one leak and gain (and reset size) for all steps, for
            hardware without time-varying parameters.
        reset: `subtract`, `zero` or `none`.
        threshold: θ; 1, or with `learn_reset_size` 0.5, in units of r.
        learn_threshold: make θ a parameter.
        learn_reset_size: add the learnable reset size r_t, starting at 1 (reset `subtract` only).
        leak, gain: start values.
        learn_schedule: make leak and gain parameters; otherwise they keep their start values.
        bounded: keep the leak between 0.01 and 0.99, where it is the decay of a LIF neuron.
        surrogate: `sigmoid`, `atan`, `triangular`, `fast_sigmoid`, `gaussian`, `hat` or
            `lorentzian`.
        alpha: steepness of the surrogate; the default of the surrogate if None (sigmoid: 4).
        once: send the first spike of a sample only, see `first_spike`. `reset` then shapes the
            gradient alone.
        noise: `off`, or `logistic`: spikes are drawn, see `drawn_spike`, in training and in
            evaluation. Within `drawing`, what is drawn for a sample is a function of its key;
            otherwise torch's global generator draws.
        kappa: steepness of `logistic`; 4 if None.

    Attributes:
        stream: of its random numbers, see `asnn.coding.draws.uniforms`.

    Raises:
        ConfigError: an option out of range, or options that contradict each other.

    With leak = β and gain = 1 at every step this is `snntorch.Leaky(beta=β,
    reset_mechanism="subtract", reset_delay=False)`, as long as no membrane is above the threshold
    after its reset (snnTorch then resets again before it decides the next spike).

    >>> neuron = AdaptiveLeaky(steps=3, leak=0.5, gain=1.0)
    >>> neuron(torch.tensor([[0.8], [0.8], [0.8]])).flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    leak: Tensor
    gain: Tensor
    threshold: Tensor
    reset_size: Tensor | None

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        granularity: Granularity = "layer",
        schedule: Schedule = "per-step",
        reset: Reset = "subtract",
        threshold: float | None = None,
        learn_threshold: bool = False,
        learn_reset_size: bool = False,
        leak: float = 0.5,
        gain: float = 0.5,
        learn_schedule: bool = True,
        bounded: bool = False,
        surrogate: Surrogate = "sigmoid",
        alpha: float | None = None,
        once: bool = False,
        noise: Noise = "off",
        kappa: float | None = None,
    ) -> None:
        super().__init__()
        _check(steps, channels, granularity, schedule, reset, learn_reset_size, surrogate)
        _check_noise(noise, kappa, surrogate, alpha)
        for name, value in (("threshold", threshold), ("alpha", alpha)):
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be above 0, not {value}")
        self.steps = steps
        self.granularity = granularity
        self.bounded = bounded
        if noise == "logistic" and kappa is None:
            kappa = KAPPA
        self.options = LeakyOptions(reset, surrogate, alpha, once, kappa)
        self.stream = 1
        shape = [steps if schedule == "per-step" else 1]
        if granularity == "channel" and channels is not None:
            shape.append(channels)
        if threshold is None:
            threshold = 0.5 if learn_reset_size else 1.0
        self._register("leak", torch.full(shape, float(leak)), learn_schedule)
        self._register("gain", torch.full(shape, float(gain)), learn_schedule)
        self._register("threshold", torch.tensor(float(threshold)), learn_threshold)
        self.reset_size = nn.Parameter(torch.ones(shape)) if learn_reset_size else None

    def _register(self, name: str, value: Tensor, learned: bool) -> None:
        # As a buffer it is moved and saved with the module, and never trained.
        if learned:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    @property
    def once(self) -> bool:
        """Whether a neuron sends at most one spike a sample."""
        return self.options.once

    @property
    def draws(self) -> bool:
        """Whether spikes are drawn at random."""
        return self.options.kappa is not None

    def stop_drawing(self) -> None:
        """Send H(v - θ) from now on: the limit of the noise for large κ."""
        self.options = self.options._replace(kappa=None)

    def uniforms(self, x: Tensor, first: int = 0) -> Tensor | None:
        """Return the random numbers of an input `[T, B, ...]` that begins at the step `first`; None
        where no spikes are drawn."""
        if not self.draws:
            return None
        keys = current_keys(x.shape[1])
        if keys is None:
            return torch.rand(x.shape, device=x.device)
        shape = tuple(x.shape[2:])
        return uniforms(keys, len(x), shape, device=x.device, stream=self.stream, first=first)

    def log_odds(self, x: Tensor, spikes: Tensor) -> Tensor:
        """Return κ (v_t - θ), `[T, B, ...]`: the log-odds of the probability with which each spike
        is drawn, given the spikes before it.

        Args:
            x: input of all steps, `[T, B, ...]`.
            spikes: that were drawn, like `x`.

        Raises:
            ConfigError: no spikes are drawn.
        """
        if self.options.kappa is None:
            raise ConfigError("spikes that are not drawn have no probability")
        dtype = _membrane_dtype(x.dtype)
        p = self.step_parameters().shaped_for(x.dim() - 1, dtype)
        v = membranes(x.to(dtype), spikes.to(dtype), p, self.options)
        if p.reset_size is not None:
            v = v / p.reset_size[: len(x)]
        return self.options.kappa * (v - p.threshold)

    def step_parameters(self) -> LeakyParameters:
        """Return the parameters of all T steps."""
        size = None if self.reset_size is None else self._all(self.reset_size)
        leak = self._all(self.clamped_leak())
        return LeakyParameters(leak, self._all(self.gain), self.threshold, size)

    def clamped_leak(self) -> Tensor:
        """Return the leak, clamped if `bounded`, in the shape of its parameter."""
        return _Bounded.apply(self.leak) if self.bounded else self.leak  # type: ignore[return-value]

    def _all(self, schedule: Tensor) -> Tensor:
        """Return a schedule for all steps: a shared one is expanded."""
        return schedule.expand(self.steps, *schedule.shape[1:])

    def kernel_equations(self, steps: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the fused kernels are given of it, as `kernels.fused_layer.fused` takes it:
        tensors, and other options."""
        p, options, alpha = self.step_parameters(), self.options, self.options.alpha
        tensors = {
            "leak": p.leak[:steps],
            "gain": p.gain[:steps],
            "threshold": p.threshold,
            "size": None if p.reset_size is None else p.reset_size[:steps],
        }
        return tensors, {
            "reset": options.reset,
            "surrogate": options.surrogate,
            "alpha": SURROGATES[options.surrogate].alpha if alpha is None else alpha,
            "once": options.once,
        }

    def neuron_fields(self) -> dict[str, Any]:
        """Return the fields of the export graph's `Neuron`.

        Neurons that fire once have no reset there: before the spike nothing is reset, and after it
        nothing is sent.

        Raises:
            ConfigError: a learned reset size has no threshold.
        """
        p = self.step_parameters()

        def columns(schedule: Tensor) -> Tensor:
            return schedule if schedule.dim() == 2 else schedule.unsqueeze(1)

        leak = columns(p.leak)
        if p.reset_size is None:
            size = threshold = p.threshold.expand_as(leak)
        else:
            # H(v / r - θ) = H(v - θ r) for r above 0
            size = columns(p.reset_size)
            if not bool((size > 0).all()):
                raise ConfigError(
                    "it has learned a reset size that is not above 0",
                    why="v / r > θ has no threshold on v then",
                    remedy="train with neuron.learn_reset_size=false",
                )
            threshold = size * p.threshold
        kappa = None
        if self.options.kappa is not None:  # of v / r - θ = (v - θ r) / r
            unit = torch.ones_like(leak) if p.reset_size is None else size
            kappa = self.options.kappa / unit
        return {
            "leak": leak,
            "gain": columns(p.gain),
            "threshold": threshold,
            "size": size,
            "reset": "none" if self.once else self.options.reset,
            "once": self.once,
            "kappa": kappa,
            "stream": self.stream,
        }

    def decaying_parameters(self) -> list[nn.Parameter]:
        """Return none: decay would pull leak, gain, threshold and reset size to 0."""
        return []

    def init_leaky(self) -> LeakyState:
        """Return the state before the first step."""
        return LeakyState(None, 0)

    def forward(
        self, x: Tensor, mem: LeakyState | None = None
    ) -> Tensor | tuple[Tensor, LeakyState]:
        """Compute all steps of `[T, B, ...]`, or one step of `[B, ...]` from the state `mem`.

        Raises:
            ConfigError: there are more steps than the schedule has.
            TypeError: `mem` is not a state from `init_leaky` or an earlier step.
        """
        if mem is None:
            return self._all_steps(x)
        if not isinstance(mem, LeakyState):
            raise TypeError(
                "mem must be a LeakyState, since a membrane alone does not have the index of the "
                "next step: begin with mem = neuron.init_leaky()"
            )
        self._check_steps(mem.step + 1)
        self._check_channels(x.shape[1:])
        dtype = _membrane_dtype(x.dtype)
        p = self.step_parameters().shaped_for(x.dim(), dtype).at(mem.step)
        drawn = self.uniforms(x.unsqueeze(0), first=mem.step)
        uniform = None if drawn is None else drawn[0]
        s, v = leaky_step(x.to(dtype), mem.v, p, self.options, uniform)
        fired = None
        if self.once:
            s, fired = first_spike(s, mem.fired)
        return s.to(x.dtype), LeakyState(v, mem.step + 1, fired)

    def _all_steps(self, x: Tensor) -> Tensor:
        self.check(x)
        dtype = _membrane_dtype(x.dtype)
        p = self.step_parameters().shaped_for(x.dim() - 1, dtype)
        return leaky_steps(x.to(dtype), p, self.options, self.uniforms(x)).to(x.dtype)

    def check(self, x: Tensor) -> None:
        """Check that the schedules cover an input `[T, B, ...]`.

        Raises:
            ConfigError: there are more steps than the schedule has, or other channels.
        """
        self._check_steps(x.shape[0])
        self._check_channels(x.shape[2:])

    def _check_steps(self, steps: int) -> None:
        if steps > self.steps:
            raise ConfigError(
                f"the input has {steps} steps or more, the neuron has parameters for {self.steps}",
                why="leak and gain are learned for each step",
                remedy=f"give at most {self.steps} steps, or build the neuron with steps={steps}",
            )

    def _check_channels(self, shape: torch.Size) -> None:
        """Check the shape `[C, ...]` of an input without steps and batch."""
        channels = self.leak.shape[1:]
        if channels and shape[:1] != channels:
            raise ConfigError(
                f"the neuron has parameters for {channels[0]} channels, "
                f"the input has {shape[0] if shape else 'none'}",
                why="with granularity 'channel' the axis after the batch is the channels",
            )

    def extra_repr(self) -> str:
        more = ", once" * self.once + f", kappa={self.options.kappa}" * self.draws
        return (
            f"steps={self.steps}, granularity={self.granularity}, reset={self.options.reset}{more}"
        )


class FixedLeaky(AdaptiveLeaky):
    """`AdaptiveLeaky` with leak and gain fixed at 0.5: the baseline without adaptation.

    It has the options of `AdaptiveLeaky` without those for learning.
    """

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        reset: Reset = "subtract",
        threshold: float = 1.0,
        leak: float = 0.5,
        gain: float = 0.5,
        surrogate: Surrogate = "sigmoid",
        alpha: float | None = None,
        once: bool = False,
        noise: Noise = "off",
        kappa: float | None = None,
    ) -> None:
        super().__init__(
            steps,
            channels,
            reset=reset,
            threshold=threshold,
            leak=leak,
            gain=gain,
            learn_schedule=False,
            surrogate=surrogate,
            alpha=alpha,
            once=once,
            noise=noise,
            kappa=kappa,
        )


class _Bounded(torch.autograd.Function):
    """Clamp to `LEAK_BOUNDS`; a gradient that would move a value further out is set to 0."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        ctx.save_for_backward(value)
        return value.clamp(*LEAK_BOUNDS)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (value,) = ctx.saved_tensors
        low, high = LEAK_BOUNDS
        # Descent goes against the gradient.
        outwards = ((value <= low) & (grads[0] > 0)) | ((value >= high) & (grads[0] < 0))
        return grads[0].masked_fill(outwards, 0.0)


def _membrane_dtype(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype == torch.float64 else torch.float32


def _check_noise(noise: str, kappa: float | None, surrogate: str, alpha: float | None) -> None:
    if noise not in ("off", "logistic"):
        raise unknown("noise", noise, ["off", "logistic"])
    if kappa is not None and (noise == "off" or not kappa > 0):
        raise ConfigError(
            f"kappa is {kappa}, noise is {noise!r}",
            why="kappa is the steepness of the noise, above 0",
            remedy="set neuron.noise=logistic, or leave neuron.kappa out",
        )
    if noise != "off" and (surrogate != "sigmoid" or alpha is not None):
        raise ConfigError(
            "spikes that are drawn have no surrogate gradient",
            why="their gradient is that of their probability, κ p (1 - p)",
            remedy="leave neuron.surrogate and neuron.alpha out, or set neuron.noise=off",
        )


def _check(
    steps: int,
    channels: int | None,
    granularity: str,
    schedule: str,
    reset: str,
    learn_reset_size: bool,
    surrogate: str,
) -> None:
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, not {steps}")
    if granularity not in ("layer", "channel"):
        raise unknown("granularity", granularity, ["layer", "channel"])
    if granularity == "channel" and channels is None:
        raise ConfigError("granularity 'channel' needs the number of channels")
    if schedule not in ("per-step", "shared"):
        raise unknown("schedule", schedule, ["per-step", "shared"])
    if reset not in RESETS:
        raise unknown("reset", reset, list(RESETS))
    if surrogate not in SURROGATES:
        raise unknown("surrogate", surrogate, list(SURROGATES))
    if learn_reset_size and reset != "subtract":
        raise ConfigError(
            f"learn_reset_size goes with reset 'subtract' only, not {reset!r}",
            why="the other resets have no size",
        )
