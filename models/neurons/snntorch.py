"""The neurons of snnTorch, over all time steps, by name: `model.neuron = "snntorch.Leaky"`.

They compute what snnTorch computes; only the surrogate gradient is ours, because snnTorch's are
closures that cannot be copied to another process. A neuron keeps no state between two calls, and
snnTorch's list of all instances does not keep it alive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...kernels.rules import SURROGATES
from ...kernels.rules import ResetName as Reset
from ...kernels.rules import SurrogateName as Surrogate
from ..layer import SPIKES, Lowering, OperationList, Signal
from .membranes import Membrane, has_condition, membrane_of, spiking_step
from .surrogates import spike

WITHOUT_ANN = "recurrent weights receive spikes, and ReLU has none"


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

    def lower(self, graph: Lowering, name: str) -> None:
        """Add the neuron: as leaky integrate-and-fire where it computes the same, with a filter
        before it for a current, else by its equations.

        Raises:
            ConfigError: the graph has no such reset.
        """
        if has_condition(self.neuron):
            raise ConfigError(
                "snnTorch's subtraction at once subtracts again in the next step where a "
                "membrane stays above its threshold",
                remedy="train with neuron.reset_delay=true",
            )
        of = membrane_of(self.neuron, lambda _, values: values.detach().float().reshape(-1))
        if not bool((of.threshold > 0).all()):
            raise ConfigError(
                "it has learned a threshold that is not above 0",
                why="a membrane at rest is then reset before it fires",
                remedy="train with neuron.learn_threshold=false",
            )
        recurrent = getattr(self.neuron, "recurrent", None)
        weights = recurrent.weight if isinstance(recurrent, nn.Linear) else None
        if weights is not None:
            assert isinstance(recurrent, nn.Linear)
            factor = torch.ones(self.steps, 1)
            offset = recurrent.bias.reshape(1, -1).expand(self.steps, -1)
            graph.add("ChannelScale", f"{name}_bias", factor=factor, offset=offset)
        if isinstance(of, Membrane) and of.synapse is not None and recurrent is None:
            graph.add("Filter", f"{name}_current", poles=of.synapse[None], gain=torch.ones(1))
            of = replace(of, synapse=None)
        fields = of.neuron_fields()
        if fields is None:
            states, step = spiking_step(of, reads_spikes=weights is not None)
            graph.cell(name, step, states=states, recurrent=weights)
        else:
            reset = fields.pop("reset")
            by_step = {key: values.expand(self.steps, -1) for key, values in fields.items()}
            graph.add("Neuron", name, **by_step, reset=reset, recurrent=weights, synapse=of.synapse)

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
