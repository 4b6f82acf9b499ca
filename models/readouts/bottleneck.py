"""Drawn spikes through which all information passes, and a decoder that reads their window."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ...core.errors import ConfigError
from ..layer import VALUES, Lowering, OperationList, Signal
from ..layers.spiking import SpikingLayer
from ..neurons.leaky import AdaptiveLeaky
from ..stepwise import stepper
from .mean import Readout
from .window import Decoder, Reads, WindowSum


class BottleneckReadout(Readout):
    """M neurons that draw their spikes, and a decoder of their window of T steps.

        v_t = leak_t (v_{t-1} - θ s_{t-1}) + gain_t (W x_t + b),  θ = 1
        s_t ~ Bernoulli(p_t),  p_t = σ(κ (v_t - θ))
        y_t = decoder(s_1, ..., s_t, 0, ..., 0)

    The outputs of step t are decoded from the spikes up to it; the answer is that of the last step.
    The decoder reads when each neuron fires (`time`), or how often (`rate`): a linear layer, see
    `WindowSum`, with `hidden` layers of ReLU behind it. The divergence of the spikes from those of
    neurons that fire with the probability `rate` at every step bounds what they tell of the input,
    see `divergence`; the method `vdib` makes it small.

    Args:
        features, classes, steps, scaled: as of `Readout`; classes are the outputs K.
        neurons: M.
        decoder: `time` or `rate`.
        hidden: features of the decoder's layers between spikes and outputs.
        rate: r, in (0, 1).
        kappa: κ above 0.
        leak: start value; leak and gain are learned for each step.

    Raises:
        ConfigError: an option out of range.

    Source: arXiv 2106.01177.
    """

    answers_with_mean = True
    without_ann = "the neurons of its readout draw spikes, which ReLU cannot"

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        steps: int,
        scaled: bool,
        neurons: int = 64,
        decoder: Reads = "time",
        hidden: list[int] | None = None,
        rate: float = 0.3,
        kappa: float = 1.0,
        leak: float = 0.5,
    ) -> None:
        hidden = hidden or []
        if min([neurons, *hidden]) < 1:
            raise ConfigError(
                f"a bottleneck of {neurons} neurons with hidden layers {hidden}",
                why="sizes are positive",
                remedy="set readout.neurons, readout.hidden",
            )
        if not 0 < rate < 1:
            raise ConfigError(
                f"the rate of the bottleneck is {rate}",
                why="it is a probability, between 0 and 1",
                remedy="set for example readout.rate=0.3",
            )
        if decoder not in ("time", "rate"):
            raise ConfigError(f"unknown decoder {decoder!r}", why="choose from time, rate")
        super().__init__(features, neurons, steps=steps, scaled=scaled)
        self.rate = rate
        neuron = AdaptiveLeaky(steps, neurons, leak=leak, gain=1.0, noise="logistic", kappa=kappa)
        self.spikes = SpikingLayer(None, neuron)
        sizes = [*hidden, classes]
        self.window = WindowSum(neurons, sizes[0], steps=steps, reads=decoder)
        self.decoder = Decoder(sizes)

    def forward(self, spikes: Tensor) -> Tensor:
        return self.decoder(self.window(self.spikes(super().forward(spikes))))

    def mean(self, spikes: Tensor) -> Tensor:
        """Return the answer after the last step, `[B, K]`, without those of the steps before."""
        drawn = self.spikes(super().forward(spikes))
        return self.decoder(self.window.at_end(drawn))

    def stepper(self) -> Callable[[Tensor], Tensor]:
        parts = [super().stepper(), *map(stepper, (self.spikes, self.window, self.decoder))]

        def step(x: Tensor) -> Tensor:
            for part in parts:
                x = part(x)
            return x

        return step

    def so_far(self, outputs: Tensor) -> Tensor:
        return outputs

    def answer(self, outputs: Tensor) -> Tensor:
        return outputs[-1]

    @property
    def neuron(self) -> AdaptiveLeaky:
        """The neurons that draw."""
        assert isinstance(self.spikes.neuron, AdaptiveLeaky)
        return self.spikes.neuron

    def divergence(self, log_odds: Tensor) -> Tensor:
        """Return Σ_m KL(Bernoulli(p) ‖ Bernoulli(r)) of each step in nats, `[T, B]`.

        Its mean over spikes and samples, summed over the steps, is the divergence of the spike
        trains from those of the rate r, and with it an upper bound of the information that they
        have of the input.

        Args:
            log_odds: of p, `[T, B, M]`, see `AdaptiveLeaky.log_odds`.
        """
        p = log_odds.sigmoid()
        fires = p * (logsigmoid(log_odds) - math.log(self.rate))
        silent = (1 - p) * (logsigmoid(-log_odds) - math.log1p(-self.rate))
        return (fires + silent).sum(-1)

    def lower(self, graph: Lowering, name: str) -> None:
        super().lower(graph, f"{name}_inputs")
        graph.lower(f"{name}.spikes", self.spikes)
        graph.lower(f"{name}.window" if self.decoder.layers else name, self.window)
        graph.lower(name, self.decoder)
        graph.answers_with("last")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.visit(name, self.linear, x)
        spikes = found.visit(f"{name}.spikes", self.spikes, VALUES)
        found.visit(f"{name}.window", self.window, spikes)
        found.visit(f"{name}.decoder", self.decoder, VALUES)
        return VALUES


def log_probability(spikes: Tensor, log_odds: Tensor) -> Tensor:
    """Return log p of drawn spikes, summed over the neurons of each step: `[T, B]`.

        log p = Σ_m s log σ(o) + (1 - s) log σ(-o)

    Args:
        spikes: 0 or 1, `[T, B, ...]`.
        log_odds: o, of the same shape.
    """
    found = torch.where(spikes > 0, logsigmoid(log_odds), logsigmoid(-log_odds))
    return found.flatten(2).sum(2)
