"""Integrating neurons whose output is amplitude × whole number: they hold V, and no state."""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ...kernels.rules import LEVEL_GRADIENTS, SURROGATES
from .functional.bounded import at_least
from .functional.count import Gradient, IntegrateOptions, Surrogate, ThresholdGradient
from .functional.integrate import IntegrateState, integrate_step, integrate_steps
from .functional.representation import slope
from .leaky import Granularity
from .ranges import RangeRule, range_of_layer, require_channels

MAX_MOST = 255
MIN_AMPLITUDE = 0.01  # of an amplitude that is learned
MAX_SLOPE_ERROR = 1e-3  # of a representation that is taken for the activation of an ANN


class Integrate(nn.Module):
    """Integrate-and-fire neurons with up to m spikes of size V in a step (see `integrate_step`).

        v_t = λ v_{t-1} + γ x_t;   k_t = clip(⌈v_t / V - α⌉, 0, m);   v_t ← v_t - V k_t

    The output is V k_t: amplitude × a whole number from 0 to m. The same function in two forms:

    - all steps: `out = neuron(x)`, `[T, B, ...] -> [T, B, ...]`, from rest;
    - step by step: `mem = neuron.init_integrate()`, then `out, mem = neuron(x_t, mem)` with `x_t`
      `[B, ...]`; `mem.v` is the membrane.

    For a constant input x ≤ m V the mean output over T steps is that of a quantised ReLU:
    V/T clip(⌈T x / V - α⌉, 0, m T). So the weights of an ANN with ReLU go over to a network of
    these neurons (`calibrate`). Membranes are float32, or float64 with float64 input; outputs have
    the dtype of the input.

    Args:
        steps: number of time steps T, for `calibrate`; an input may have another number.
        channels: number of channels C, required by granularity `channel`; C is the second axis of
            `[B, C, ...]`.
        most: m, from 1 to 255. 1 is the integrate-and-fire neuron, more are bursts.
        fraction: α in (0, 1]. With 1/2 the mean output is rounded to the nearest, with 1 down.
        amplitude: start value of V.
        learn_amplitude: make V a parameter, which stays at 0.01 or above.
        leak: λ in (0, 1].
        gain: γ > 0.
        granularity: of V: `layer` (a scalar) or `channel`.
        gradient: of the number of spikes: `surrogate` (the sum of the surrogates of its m
            thresholds), `triangle` (the same with triangles of height 1/V and width 2 V, of no
            other options), `straight-through` (⌈·⌉ has the derivative 1), `representation` (of the
            weighted mean over all steps, see `represented_steps`; m = 1), or `none` (no gradient
            passes: for methods that need none, such as `tandem`).
        surrogate: `sigmoid`, `atan`, `triangular`, `fast_sigmoid`, `gaussian`, `hat` or
            `lorentzian`.
        alpha: steepness of the surrogate; the default of the surrogate if None.
        threshold_gradient: of `representation`: that of V is `scaled` as published, or `exact`.

    Attributes:
        amplitude: V, a scalar or `[C]`.
        most: m.

    Raises:
        ConfigError: an option out of range, or options that contradict each other.

    >>> neuron = Integrate(steps=3, most=2)
    >>> neuron(torch.tensor([[0.8], [0.8], [2.7]])).flatten().tolist()
    [0.0, 1.0, 2.0]
    """

    raw_amplitude: Tensor

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        most: int = 1,
        fraction: float = 1.0,
        amplitude: float = 1.0,
        learn_amplitude: bool = False,
        leak: float = 1.0,
        gain: float = 1.0,
        granularity: Granularity = "layer",
        gradient: Gradient = "surrogate",
        surrogate: Surrogate = "sigmoid",
        alpha: float | None = None,
        threshold_gradient: ThresholdGradient = "scaled",
    ) -> None:
        super().__init__()
        _check(steps, channels, most, fraction, amplitude, leak, gain, alpha)
        _check_names(granularity, gradient, surrogate, threshold_gradient)
        _check_representation(gradient, most, threshold_gradient)
        if granularity == "channel" and channels is None:
            raise ConfigError("granularity 'channel' needs the number of channels")
        if learn_amplitude and gradient == "none":
            raise ConfigError(
                "learn_amplitude has no effect with gradient 'none'",
                why="no gradient reaches the amplitude",
                remedy="set neuron.learn_amplitude=false, or another neuron.gradient",
            )
        if learn_amplitude and amplitude < MIN_AMPLITUDE:
            raise ConfigError(
                f"an amplitude that is learned stays at {MIN_AMPLITUDE} or above, not {amplitude}"
            )
        self.steps = steps
        self.granularity = granularity
        self.options = IntegrateOptions(
            most, fraction, leak, gain, gradient, surrogate, alpha, threshold_gradient
        )
        shape = [channels] if granularity == "channel" and channels is not None else []
        value = torch.full(shape, float(amplitude))
        self.learns_amplitude = learn_amplitude
        if learn_amplitude:
            self.raw_amplitude = nn.Parameter(value)
        else:  # as a buffer it is moved and saved with the module, and never trained
            self.register_buffer("raw_amplitude", value)

    @property
    def most(self) -> int:
        """m, the greatest number of spikes in a step."""
        return self.options.most

    @property
    def amplitude(self) -> Tensor:
        """V, a scalar or `[C]`."""
        if not self.learns_amplitude:
            return self.raw_amplitude
        return at_least(self.raw_amplitude, MIN_AMPLITUDE)

    def init_integrate(self) -> IntegrateState:
        """Return the state before the first step."""
        return IntegrateState(None)

    def forward(
        self, x: Tensor, mem: IntegrateState | None = None
    ) -> Tensor | tuple[Tensor, IntegrateState]:
        """Compute all steps of `[T, B, ...]`, or one step of `[B, ...]` from the state `mem`.

        Raises:
            ConfigError: the input has other channels than the amplitude, or a single step is to be
                differentiated as a representation.
            TypeError: `mem` is not a state from `init_integrate` or an earlier step.
        """
        dtype = x.dtype if x.dtype == torch.float64 else torch.float32
        if mem is None:
            amplitude = self._shaped_for(x.shape[1:]).to(dtype)
            return integrate_steps(x.to(dtype), amplitude, self.options).to(x.dtype)
        if not isinstance(mem, IntegrateState):
            raise TypeError(
                "mem must be an IntegrateState: begin with mem = neuron.init_integrate()"
            )
        amplitude = self._shaped_for(x.shape).to(dtype)
        self._require_no_gradient(x, amplitude)
        out, v = integrate_step(x.to(dtype), mem.v, amplitude, self.options)
        return out.to(x.dtype), IntegrateState(v)

    def check(self, x: Tensor) -> None:
        """Check that the amplitude fits the channels of an input `[T, B, ...]`.

        Raises:
            ConfigError: it does not.
        """
        self._shaped_for(x.shape[1:])

    def _require_no_gradient(self, *values: Tensor) -> None:
        """Refuse a single step of which a representation would need the gradient."""
        needed = torch.is_grad_enabled() and any(value.requires_grad for value in values)
        if self.options.gradient == "representation" and needed:
            raise ConfigError(
                "a single step has no gradient 'representation'",
                why="it is that of the mean over all steps",
                remedy="give the neuron all steps at once, or call it under torch.no_grad()",
            )

    def _shaped_for(self, shape: torch.Size) -> Tensor:
        """Return the amplitude as it broadcasts against an input of one step, `[B, C, ...]`."""
        amplitude = self.amplitude
        if amplitude.dim() == 0:
            return amplitude
        if shape[1:2] != amplitude.shape:
            raise ConfigError(
                f"the neuron has amplitudes for {len(amplitude)} channels, "
                f"the input has {shape[1] if len(shape) > 1 else 'none'}",
                why="with granularity 'channel' the axis after the batch is the channels",
            )
        return amplitude.view(-1, *[1] * (len(shape) - 2))

    @torch.no_grad()
    def calibrate(self, activations: Tensor, rule: RangeRule = "mse") -> None:
        """Set V so that the range R of an ANN's activations is m V, the most it can put out.

        Where all activations are 0, V stays as it is (of a channel: becomes that of the layer).

        Args:
            activations: of the same layer of the ANN, `[T, B, C, ...]`, whatever its T.
            rule: how R is found, see `activation_range`; `mse` with n = m T levels.

        Raises:
            ConfigError: the rule is unknown, or the mean output is not the activation, see
                `require_calibratable`.
        """
        self.require_calibratable()
        limit = range_of_layer(
            activations,
            rule,
            levels=self.most * self.steps,
            fraction=self.options.fraction,
            by_channel=self.raw_amplitude.dim() > 0,
        )
        if limit is not None:
            self.use_limit(limit)

    @torch.no_grad()
    def use_limit(self, limit: Tensor) -> None:
        """Set V = R / m, so that the mean output goes up to R.

        Args:
            limit: R > 0, the greatest activation of the same layer of an ANN: a scalar, or `[C]` if
                V is one of each channel.

        Raises:
            ConfigError: R is of channels, V of the layer.
        """
        self.require_limit(limit)
        low = MIN_AMPLITUDE if self.learns_amplitude else 0.0
        self.raw_amplitude.copy_((limit / self.most).clamp(min=low))

    def require_limit(self, limit: Tensor) -> None:
        """Refuse greatest activations of channels for an amplitude of the layer.

        Raises:
            ConfigError: with what to do.
        """
        require_channels(limit, self.raw_amplitude)

    def require_calibratable(self) -> None:
        """Refuse a leak or a gain with which the mean output is not the activation.

        With `representation` it is, up to V, if the slope of the representation is 1 (τ = 1).

        Raises:
            ConfigError: one of them is not 1, or the slope is further than 0.001 from 1.
        """
        if self.options.gradient == "representation":
            exact = abs(slope(self.options) - 1) <= MAX_SLOPE_ERROR
        else:
            exact = self.options.leak == 1 and self.options.gain == 1
        if not exact:
            raise ConfigError(
                f"neurons with leak {self.options.leak} and gain {self.options.gain} cannot be "
                "calibrated by an ANN",
                why="their mean output is not the activation of a ReLU",
                remedy="set neuron.leak=1 and neuron.gain=1, or train.calibrate=none",
            )

    def kernel_equations(self, steps: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the fused kernels are given of it, as `kernels.fused_layer.fused` takes it:
        tensors, and other options."""
        amplitude, options, alpha = self.amplitude, self.options, self.options.alpha
        constant = amplitude.detach().new_full
        tensors = {
            "leak": constant((steps,), options.leak),
            "gain": constant((steps,), options.gain),
            "threshold": constant((), options.fraction),
            "size": amplitude.expand(steps, *amplitude.shape),
        }
        by_level = options.gradient in LEVEL_GRADIENTS
        return tensors, {
            "reset": "subtract",
            "surrogate": options.gradient if by_level else options.surrogate,
            "alpha": SURROGATES[options.surrogate].alpha if alpha is None else alpha,
            "most": options.most,
        }

    def neuron_fields(self) -> dict[str, Any]:
        """Return the fields of the export graph's `Neuron`, and the amplitude of what it sends."""
        amplitude = self.amplitude.detach().reshape(1, -1).expand(self.steps, -1)
        same = torch.ones(self.steps, 1)
        return {
            "leak": same.expand_as(amplitude) * self.options.leak,
            "gain": same.expand_as(amplitude) * self.options.gain,
            "threshold": amplitude * self.options.fraction,
            "size": amplitude,
            "reset": "subtract",
            "most": self.most,
            "amplitude": self.amplitude,
        }

    def decaying_parameters(self) -> list[nn.Parameter]:
        """Return none: decay would pull the amplitude to 0."""
        return []

    def extra_repr(self) -> str:
        return f"most={self.most}, fraction={self.options.fraction}, {self.options.gradient}"


def _check(
    steps: int,
    channels: int | None,
    most: int,
    fraction: float,
    amplitude: float,
    leak: float,
    gain: float,
    alpha: float | None,
) -> None:
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, not {steps}")
    if channels is not None and channels < 1:
        raise ConfigError(f"channels must be at least 1, not {channels}")
    if not 1 <= most <= MAX_MOST:
        raise ConfigError(f"most must be from 1 to {MAX_MOST}, not {most}")
    for name, value in (("fraction", fraction), ("leak", leak)):
        if not 0 < value <= 1:
            raise ConfigError(f"{name} must be above 0 and at most 1, not {value}")
    for name, positive in (("amplitude", amplitude), ("gain", gain), ("alpha", alpha)):
        if positive is not None and not positive > 0:
            raise ConfigError(f"{name} must be above 0, not {positive}")


def _check_representation(gradient: str, most: int, threshold_gradient: str) -> None:
    if gradient == "representation" and most > 1:
        raise ConfigError(
            f"gradient 'representation' is not for most = {most}",
            why="the published representation is that of at most one spike in a step",
            remedy="set neuron.most=1, or neuron.gradient=surrogate or straight-through",
        )
    if gradient != "representation" and threshold_gradient != "scaled":
        raise ConfigError(
            f"threshold_gradient '{threshold_gradient}' has no effect with gradient '{gradient}'",
            why="it says how a representation is differentiated by the amplitude",
            remedy="set neuron.gradient=representation, or leave out neuron.threshold_gradient",
        )


def _check_names(granularity: str, gradient: str, surrogate: str, threshold_gradient: str) -> None:
    choices = {
        "granularity": (granularity, list(get_args(Granularity))),
        "gradient": (gradient, list(get_args(Gradient))),
        "surrogate": (surrogate, list(SURROGATES)),
        "threshold_gradient": (threshold_gradient, list(get_args(ThresholdGradient))),
    }
    for name, (given, known) in choices.items():
        if given not in known:
            raise unknown(name, given, known)
