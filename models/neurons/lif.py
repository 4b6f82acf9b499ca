"""LIF, ALIF, PLIF and XLIF: neurons that are reset by the spike of the step before."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ...kernels.rules import SURROGATES
from ..layer import Lowering
from .functional.lif import SURROGATE, alif_step, lif_step, plif_step, xlif_step
from .leaky import Granularity

MIN_THRESHOLD = 0.01
DEVIATION = 0.1
"""Of the start values that are drawn, for each channel."""
LEAK = 0.018
"""Mean start value of λ, of membranes and traces: σ(-4), they keep 2 % from a step to the next."""
THRESHOLD = 0.8
WEIGHT = -2.0
"""Mean start value of logit w, the weight of the trace of PLIF."""
BASE, SLOPE = 0.01, 1.8
"""t_0 and t_1 of the thresholds that adapt."""

Step = Callable[..., tuple[Tensor, ...]]


class DelayedReset(nn.Module):
    """Neurons of all steps, from rest: `[T, B, C, ...] -> [T, B, C, ...]`.

    Leaks and thresholds are learned, and the same at all steps. A leak is λ = σ(ℓ), with ℓ drawn
    around logit λ with the deviation 0.1 at the start, by torch's global generator.

    Args:
        steps: ignored; every neuron is built with it.
        channels: number of channels C; None for one parameter for all.
        granularity: of the parameters: `channel`, or one for all of a `layer`, which NIR can say.
        leak: mean start value of the λ of membranes and traces. As published, about 0.02: what
            happened before is then known from recurrent weights and traces alone.

    Raises:
        ConfigError: an option out of range.

    Attributes:
        state_names: of what it keeps from a step to the next.
        reads_input: whether its step also takes the activity of its layer's input, which only
            layers that compute it can give.
    """

    state_names: ClassVar[tuple[str, ...]] = ("v", "s")
    reads_input: ClassVar[bool] = False

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        granularity: Granularity = "channel",
        leak: float = LEAK,
    ) -> None:
        super().__init__()
        if not 0 < leak < 1:
            raise ConfigError(f"leak must be above 0 and below 1, not {leak}")
        if granularity not in ("layer", "channel"):
            raise unknown("granularity", granularity, ["layer", "channel"])
        self.count = channels if granularity == "channel" and channels is not None else 1
        self._start = math.log(leak / (1 - leak))
        self.logit_leak = self._drawn(self._start)

    def _drawn(self, mean: float, deviation: float = DEVIATION) -> nn.Parameter:
        return nn.Parameter(mean + deviation * torch.randn(1, self.count))

    def step_function(self, axes: int, dtype: torch.dtype = torch.float32) -> Step:
        """Return `step(x, *states)`, or `step(x, activity, *states)` of a neuron that reads its
        layer's input: spikes, then the states.

        Args:
            axes: of one sample, 3 of `[C, H, W]`, 1 of `[C]`.
            dtype: of membranes.
        """

        def shaped(values: Tensor) -> Tensor:
            return values.to(dtype).view(-1, *[1] * (axes - 1))

        return partial(self.function(), **{k: shaped(v) for k, v in self.parameters_of().items()})

    def function(self) -> Step:
        """Return the pure function of a step."""
        raise NotImplementedError

    def parameters_of(self) -> dict[str, Tensor]:
        """Return the parameters of `function` by name, `[1, C]` each, the same at all steps."""
        raise NotImplementedError

    def check(self, x: Tensor) -> None:
        """Check that the parameters fit the channels of an input `[T, B, C, ...]`.

        Raises:
            ConfigError: they do not.
        """
        if self.count > 1 and x.shape[2] != self.count:
            raise ConfigError(
                f"the neuron has parameters for {self.count} channels, the input has {x.shape[2]}",
                why="with granularity 'channel' the axis after the batch is the channels",
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.reads_input:
            name = type(self).__name__.lower()
            raise ConfigError(
                f"neurons {name} read the input of their layer, and this network does not give it",
                why="their trace is that of the activity before the weights",
                remedy="set model.name=firenet, or model.neuron to lif or alif",
            )
        self.check(x)
        step = self.step_function(x.dim() - 2)
        at_rest = x.new_zeros(x.shape[1:])
        states: tuple[Tensor, ...] = (at_rest,) * len(self.state_names)
        spikes = []
        for x_t in x:
            s, *states = step(x_t, *states)  # type: ignore[assignment]
            spikes.append(s)
        return torch.stack(spikes) if spikes else torch.empty_like(x)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        """Return a function that computes one step after another, from rest."""
        states: tuple[Tensor, ...] = ()

        def next_step(x: Tensor) -> Tensor:
            nonlocal states
            states = states or (torch.zeros_like(x),) * len(self.state_names)
            s, *after = self.step_function(x.dim() - 1)(x, *states)
            states = tuple(state.detach() for state in after)
            return s

        return next_step

    def lower(self, graph: Lowering, name: str) -> None:
        """Add its equations to an export graph, for samples of as many axes as come to it."""
        graph.cell(name, self.step_function(graph.axes), states=list(self.state_names))

    def decaying_parameters(self) -> list[nn.Parameter]:
        """Return none: decay would pull leaks to 1/2 and thresholds to 0."""
        return []


class Lif(DelayedReset):
    """Leaky integrate-and-fire, reset to 0; see `lif_step` for the equation.

    θ is at least 0.01 and starts at N(0.8, 0.1).

    Args:
        steps, channels, granularity, leak: as of `DelayedReset`.

    Source: arXiv 2106.01862.
    """

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        granularity: Granularity = "channel",
        leak: float = LEAK,
    ) -> None:
        super().__init__(steps, channels, granularity=granularity, leak=leak)
        self.threshold = self._drawn(THRESHOLD)

    def function(self) -> Step:
        return lif_step

    def parameters_of(self) -> dict[str, Tensor]:
        return {
            "leak": self.logit_leak.sigmoid(),
            "threshold": self.threshold.clamp(min=MIN_THRESHOLD),
        }

    def kernel_equations(self, steps: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the fused kernels are given of it, as `kernels.fused_layer.fused` takes it:
        tensors, and other options. They reset at the end of a step, which is the same."""
        p = self.parameters_of()
        tensors = {**p, "gain": 1 - p["leak"], "size": None}
        alpha = SURROGATES[SURROGATE].alpha
        return tensors, {
            "reset": "zero",
            "detached": True,
            "surrogate": SURROGATE,
            "alpha": alpha,
        }

    def fields_of_node(self, steps: int) -> dict[str, Any]:
        """Return the fields of the export graph's `Neuron`, of which this one is a case: a reset to
        0 at the end of a step is one at the beginning of the next."""
        p = {key: value.expand(steps, -1) for key, value in self.parameters_of().items()}
        threshold = p["threshold"]
        of_membrane = {"leak": p["leak"], "gain": 1 - p["leak"]}
        return {**of_membrane, "threshold": threshold, "size": threshold, "reset": "zero"}

    def lower(self, graph: Lowering, name: str) -> None:
        graph.add("Neuron", name, **self.fields_of_node(graph.steps))


class Alif(DelayedReset):
    """LIF whose own spikes raise its threshold; see `alif_step` for the equations.

    t_0 and t_1 start at 0.01 and 1.8, the leak of the trace as that of the membrane.

    Args:
        steps, channels, granularity, leak: as of `DelayedReset`.

    Source: arXiv 2106.01862, after Bellec et al., NeurIPS 2018.
    """

    state_names = ("v", "s", "a")

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        granularity: Granularity = "channel",
        leak: float = LEAK,
    ) -> None:
        super().__init__(steps, channels, granularity=granularity, leak=leak)
        self.logit_adaptation = self._drawn(self._start)
        self.base, self.slope = self._drawn(BASE, 0.0), self._drawn(SLOPE, 0.0)

    def function(self) -> Step:
        return alif_step

    def parameters_of(self) -> dict[str, Tensor]:
        return {
            "leak": self.logit_leak.sigmoid(),
            "adaptation": self.logit_adaptation.sigmoid(),
            "base": self.base.clamp(min=MIN_THRESHOLD),
            "slope": self.slope.clamp(min=0),
        }


class Plif(Lif):
    """LIF that the activity before its layer inhibits; see `plif_step` for the equations.

    The weight is w = σ(ω) with ω ~ N(-2, 0.1) at the start.

    Args:
        steps, channels, granularity, leak: as of `DelayedReset`.

    Source: arXiv 2106.01862.
    """

    state_names = ("v", "s", "p")
    reads_input = True

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        granularity: Granularity = "channel",
        leak: float = LEAK,
    ) -> None:
        super().__init__(steps, channels, granularity=granularity, leak=leak)
        self.logit_adaptation = self._drawn(self._start)
        self.logit_weight = self._drawn(WEIGHT)

    def function(self) -> Step:
        return plif_step

    def parameters_of(self) -> dict[str, Tensor]:
        return {
            **super().parameters_of(),
            "adaptation": self.logit_adaptation.sigmoid(),
            "weight": self.logit_weight.sigmoid(),
        }


class Xlif(Alif):
    """LIF whose threshold the activity before its layer raises; see `xlif_step` for the equations.

    Args:
        steps, channels, granularity, leak: as of `DelayedReset`.

    Source: arXiv 2106.01862.
    """

    state_names = ("v", "s", "p")
    reads_input = True

    def function(self) -> Step:
        return xlif_step
