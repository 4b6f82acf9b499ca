"""The neurons of snnTorch, over all time steps, by name: `model.neuron = "snntorch.Leaky"`.

They compute what snnTorch computes; only the surrogate gradient is ours, because snnTorch's are
closures that cannot be copied to another process. A neuron keeps no state between two calls, and
snnTorch's list of all instances does not keep it alive.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...kernels.rules import SURROGATES
from ...kernels.rules import ResetName as Reset
from ...kernels.rules import SurrogateName as Surrogate
from ..layer import SPIKES, Lowering, OperationList, Signal
from .surrogates import spike

# Replaces a leak of 0 under a delayed reset: its share of a membrane is lost in rounding, and a
# power of two scales the size of the reset exactly.
MIN_LEAK = 2.0**-40
WITHOUT_ANN = "recurrent weights receive spikes, and ReLU has none"


def delayed_subtraction(leak: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Return leak and size of a reset at once that equals a reset in the next step.

    v_t = β v_{t-1} + x_t - θ s_{t-1} is β (v_{t-1} - size s_{t-1}) + x_t for size = θ / β.
    """
    silent = leak.abs() < MIN_LEAK
    leak = torch.where(silent & (threshold > 0), torch.full_like(leak, MIN_LEAK), leak)
    return leak, torch.where(threshold > 0, threshold / leak, torch.zeros_like(leak))


class SnnTorchNeuron(nn.Module):
    """A neuron of snnTorch: `[T, B, C, ...]` to spikes of the same shape, from rest.

    Args:
        steps: T, for exports; an input may have another number.
        surrogate: of the spike.
        surrogate_alpha: its steepness; the default of the surrogate if None.
        options: of the class in snnTorch.

    Raises:
        ConfigError: snnTorch refuses an option.
    """

    class_name: ClassVar[str]
    states: ClassVar[int]
    """The number of tensors that a step takes beside its input; a step returns them last. Those of
    recurrent neurons begin with the spikes."""

    def __init__(
        self, steps: int, surrogate: Surrogate, surrogate_alpha: float | None, **options: Any
    ) -> None:
        super().__init__()
        self.steps = steps
        self.options = options
        import snntorch
        from snntorch._neurons.neurons import SpikingNeuron

        if surrogate not in SURROGATES:
            raise ConfigError(
                f"unknown surrogate {surrogate!r}", why=f"choose from {', '.join(SURROGATES)}"
            )
        for key in ("alpha", "beta"):
            if not 0 <= options.get(key, 0) <= 1:
                raise ConfigError(f"{key} is {options[key]}", why="a decay is from 0 to 1")
        if not options.get("threshold", 1) > 0:
            raise ConfigError(f"threshold must be above 0, not {options['threshold']}")
        gradient = partial(spike, surrogate=surrogate, alpha=surrogate_alpha)
        try:
            # snnTorch reads the values of its tensors, which a network without memory has not.
            with torch.device("cpu"):
                self.neuron = getattr(snntorch, self.class_name)(spike_grad=gradient, **options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"snntorch.{self.class_name} refuses its options: {error}") from error
        _own_weight_once(self.neuron)
        instances = SpikingNeuron.instances
        instances[:] = [each for each in instances if each is not self.neuron]

    def forward(self, x: Tensor) -> Tensor:
        values = x if x.dtype == torch.float64 else x.float()
        spikes: list[Tensor] = []
        try:
            state = [torch.zeros_like(values[0])] * self.states if len(values) else []
            for x_t in values.unbind(0):
                found = self.neuron(x_t, *state)
                spikes.append(found[0])
                state = found[-self.states :]
        finally:
            # The module would keep the last state, and with it the graph of all steps.
            self.neuron._init_mem()
            self.neuron.reset = None
        return (torch.stack(spikes) if spikes else torch.empty_like(values)).to(x.dtype)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        recurrent = getattr(self.neuron, "recurrent", None)
        if isinstance(recurrent, nn.Linear):  # it reads the spikes of the step before
            found.visit(f"{name}.neuron.recurrent", recurrent, SPIKES)
        return SPIKES

    def decaying_parameters(self) -> list[nn.Parameter]:
        """Return the recurrent weights, if they are all to all."""
        recurrent = getattr(self.neuron, "recurrent", None)
        return (
            [p for p in recurrent.parameters() if p.dim() > 1]
            if isinstance(recurrent, nn.Linear)
            else []
        )

    def silence(self, alive: Callable[[torch.Size], Tensor]) -> None:
        """Set the weights from dead neurons to 0: those where `alive(shape)` is 0."""
        recurrent = getattr(self.neuron, "recurrent", None)
        if isinstance(recurrent, nn.Linear):
            recurrent.weight.mul_(alive(recurrent.weight.shape[1:]).to(recurrent.weight))

    def leaky_fields(self, leak: Tensor, gain: Tensor) -> dict[str, Any]:
        """Return the fields of the export graph's `Neuron` with this leak and gain.

        Raises:
            ConfigError: the graph has no such reset.
        """
        reset = self.options.get("reset_mechanism", "subtract")
        threshold = self.neuron.threshold.reshape(1, -1).float()
        if not bool((threshold > 0).all()):
            raise ConfigError(
                "it has learned a threshold that is not above 0",
                why="a membrane at rest is then reset before it fires",
                remedy="train with neuron.learn_threshold=false",
            )
        leak, threshold = torch.broadcast_tensors(leak.reshape(1, -1).float(), threshold)
        size = threshold
        if reset == "subtract":
            if not self.options.get("reset_delay", True):
                raise ConfigError(
                    "snnTorch's subtraction at once subtracts again in the next step where a "
                    "membrane stays above its threshold",
                    remedy="train with neuron.reset_delay=true",
                )
            leak, size = delayed_subtraction(leak, threshold)
        elif reset == "zero" and self.class_name != "Leaky":
            raise ConfigError(
                f"the reset to zero of snntorch.{self.class_name} discards the input of a step too",
                remedy="train with neuron.reset_mechanism=subtract",
            )
        fields = {"leak": leak, "gain": gain.reshape(1, -1), "threshold": threshold, "size": size}
        widest = max(value.shape[1] for value in fields.values())
        by_step = {key: value.expand(self.steps, widest) for key, value in fields.items()}
        return {**by_step, "reset": reset}

    def extra_repr(self) -> str:
        return f"snntorch.{self.class_name}"


class Leaky(SnnTorchNeuron):
    """`snntorch.Leaky`: mem_t = β mem_{t-1} + x_t - θ reset_{t-1}.

    Args:
        steps, channels: every neuron is built with them.
        beta: β, from 0 to 1.
        threshold: θ.
        learn_beta, learn_threshold: make them parameters.
        reset_mechanism: `subtract`, `zero` or `none`.
        reset_delay: reset in the step after the spike.
        surrogate, surrogate_alpha: of the spike, see `SnnTorchNeuron`.
    """

    class_name = "Leaky"
    states = 1

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        beta: float = 0.9,
        threshold: float = 1.0,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: Reset = "subtract",
        reset_delay: bool = True,
        surrogate: Surrogate = "atan",
        surrogate_alpha: float | None = None,
    ) -> None:
        super().__init__(
            steps,
            surrogate,
            surrogate_alpha,
            beta=beta,
            threshold=threshold,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            reset_mechanism=reset_mechanism,
            reset_delay=reset_delay,
        )

    def neuron_fields(self) -> dict[str, Any]:
        """Return the fields of the export graph's `Neuron`.

        Raises:
            ConfigError: the graph has no such reset.
        """
        leak = self.neuron.beta.clamp(0, 1)
        return self.leaky_fields(leak, torch.ones_like(leak))


class Synaptic(SnnTorchNeuron):
    """`snntorch.Synaptic`: syn_t = α syn_{t-1} + x_t, mem_t = β mem_{t-1} + syn_t - θ reset_{t-1}.

    Args:
        steps, channels: every neuron is built with them.
        alpha, beta: decays of the synaptic current and of the membrane, from 0 to 1.
        learn_alpha: make α a parameter.
        threshold, learn_beta, learn_threshold, reset_mechanism, reset_delay, surrogate,
        surrogate_alpha: as of `Leaky`.
    """

    class_name = "Synaptic"
    states = 2

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        alpha: float = 0.8,
        beta: float = 0.9,
        threshold: float = 1.0,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: Reset = "subtract",
        reset_delay: bool = True,
        surrogate: Surrogate = "atan",
        surrogate_alpha: float | None = None,
    ) -> None:
        super().__init__(
            steps,
            surrogate,
            surrogate_alpha,
            alpha=alpha,
            beta=beta,
            threshold=threshold,
            learn_alpha=learn_alpha,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            reset_mechanism=reset_mechanism,
            reset_delay=reset_delay,
        )

    def lower(self, graph: Lowering, name: str) -> None:
        """Add the current as a filter with the pole α, then the membrane.

        Raises:
            ConfigError: the graph has no such reset.
        """
        leak = self.neuron.beta.clamp(0, 1)
        fields = self.leaky_fields(leak, torch.ones_like(leak))
        pole = self.neuron.alpha.clamp(0, 1).reshape(1, -1)
        graph.add("Filter", f"{name}_current", poles=pole, gain=torch.ones(1))
        graph.add("Neuron", name, **fields)


class Alpha(SnnTorchNeuron):
    """`snntorch.Alpha`: the membrane follows an alpha function of each input.

    Args:
        steps, channels: every neuron is built with them.
        alpha, beta: decays of the excitatory and the inhibitory current; α > β.
        threshold, learn_alpha, learn_beta, learn_threshold, surrogate, surrogate_alpha: as of
            `Synaptic`.
        reset_mechanism: `zero`, `subtract` or `none`.
    """

    class_name = "Alpha"
    states = 3

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        alpha: float = 0.9,
        beta: float = 0.8,
        threshold: float = 1.0,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: Reset = "zero",
        surrogate: Surrogate = "atan",
        surrogate_alpha: float | None = None,
    ) -> None:
        super().__init__(
            steps,
            surrogate,
            surrogate_alpha,
            alpha=alpha,
            beta=beta,
            threshold=threshold,
            learn_alpha=learn_alpha,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            reset_mechanism=reset_mechanism,
        )


class Lapicque(SnnTorchNeuron):
    """`snntorch.Lapicque`: a membrane of resistance R and capacitance C in time steps.

    Args:
        steps, channels: every neuron is built with them.
        beta: the decay, from 0 to 1; of it snnTorch derives R and C.
        time_step: its length.
        threshold, learn_beta, learn_threshold, reset_mechanism, surrogate, surrogate_alpha: as of
            `Leaky`.
    """

    class_name = "Lapicque"
    states = 1

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        beta: float = 0.9,
        time_step: float = 1.0,
        threshold: float = 1.0,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: Reset = "subtract",
        surrogate: Surrogate = "atan",
        surrogate_alpha: float | None = None,
    ) -> None:
        super().__init__(
            steps,
            surrogate,
            surrogate_alpha,
            beta=beta,
            time_step=time_step,
            threshold=threshold,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            reset_mechanism=reset_mechanism,
        )

    def neuron_fields(self) -> dict[str, Any]:
        """Return the fields of the export graph's `Neuron`, as of R, C and the time step.

        Raises:
            ConfigError: the graph has no such reset.
        """
        n = self.neuron
        rate = n.time_step / (n.R * n.C)
        return self.leaky_fields(1 - rate, n.R * rate)


class RLeaky(SnnTorchNeuron):
    """`snntorch.RLeaky`: `Leaky` whose input includes its own spikes of the step before.

    Args:
        steps: T.
        channels: F, for all-to-all connections between the features of `[T, B, F]`.
        all_to_all: connect every neuron with every other; otherwise each with itself, by V.
        V: that weight.
        learn_recurrent: learn the weights.
        beta, threshold, learn_beta, learn_threshold, reset_mechanism, surrogate, surrogate_alpha:
            as of `Leaky`.

    Raises:
        ConfigError: `all_to_all` without a number of channels.
    """

    class_name = "RLeaky"
    without_ann = WITHOUT_ANN
    states = 2

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        beta: float = 0.9,
        V: float = 1.0,
        all_to_all: bool = False,
        threshold: float = 1.0,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        learn_recurrent: bool = True,
        reset_mechanism: Reset = "subtract",
        surrogate: Surrogate = "atan",
        surrogate_alpha: float | None = None,
    ) -> None:
        super().__init__(
            steps,
            surrogate,
            surrogate_alpha,
            **_connections(all_to_all, channels, V),
            beta=beta,
            threshold=threshold,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            learn_recurrent=learn_recurrent,
            reset_mechanism=reset_mechanism,
        )
        self.channels = channels

    def lower(self, graph: Lowering, name: str) -> None:
        """Add the neuron with its recurrent weights, between the features of `[T, B, F]`.

        Raises:
            ConfigError: the graph has no such reset, or the number of features is unknown.
        """
        leak, recurrent = self.neuron.beta.clamp(0, 1), self.neuron.recurrent
        fields = self.leaky_fields(leak, torch.ones_like(leak))
        if self.options["all_to_all"]:
            weight, bias = recurrent.weight, recurrent.bias
            factor, offset = torch.ones(self.steps, 1), bias.reshape(1, -1).expand(self.steps, -1)
            graph.add("ChannelScale", f"{name}_bias", factor=factor, offset=offset)
        elif self.channels is None:
            raise graph.refused(f"{name}.neuron", self, "its number of features is unknown")
        else:
            weight = torch.diag(recurrent.V.reshape(-1).expand(self.channels))
        graph.add("Neuron", name, **fields, recurrent=weight)


class RSynaptic(SnnTorchNeuron):
    """`snntorch.RSynaptic`: `Synaptic` whose input includes its own spikes of the step before.

    Args:
        steps: T.
        channels, all_to_all, V, learn_recurrent: as of `RLeaky`.
        alpha, beta, threshold, learn_alpha, learn_beta, learn_threshold, reset_mechanism,
        surrogate, surrogate_alpha: as of `Synaptic`.
    """

    class_name = "RSynaptic"
    without_ann = WITHOUT_ANN
    states = 3

    def __init__(
        self,
        steps: int,
        channels: int | None = None,
        *,
        alpha: float = 0.8,
        beta: float = 0.9,
        V: float = 1.0,
        all_to_all: bool = False,
        threshold: float = 1.0,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        learn_recurrent: bool = True,
        reset_mechanism: Reset = "subtract",
        surrogate: Surrogate = "atan",
        surrogate_alpha: float | None = None,
    ) -> None:
        super().__init__(
            steps,
            surrogate,
            surrogate_alpha,
            **_connections(all_to_all, channels, V),
            alpha=alpha,
            beta=beta,
            threshold=threshold,
            learn_alpha=learn_alpha,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            learn_recurrent=learn_recurrent,
            reset_mechanism=reset_mechanism,
        )


def _own_weight_once(neuron: nn.Module) -> None:
    """Give the weight V of one-to-one connections one place instead of two that share memory."""
    if not hasattr(neuron, "V"):
        return
    weight, recurrent = neuron.V, neuron.recurrent
    assert isinstance(recurrent, nn.Module)
    del neuron.V, recurrent.V
    if isinstance(weight, nn.Parameter):
        recurrent.V = weight
    else:
        assert isinstance(weight, Tensor)
        recurrent.register_buffer("V", weight)


def _connections(all_to_all: bool, channels: int | None, weight: float) -> dict[str, Any]:
    if not all_to_all:
        return {"all_to_all": False, "V": weight}
    if channels is None:
        raise ConfigError("all_to_all needs the number of channels")
    return {"all_to_all": True, "linear_features": channels}
