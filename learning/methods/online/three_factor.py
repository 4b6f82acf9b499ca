"""The three-factor rule of neurons that draw their spikes: eligibility, signal, baseline."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ....models.layers.spiking import SpikingLayer
from ....models.neurons.leaky import AdaptiveLeaky
from ....models.neurons.surrogates import drawn_spike
from ....models.stepwise import chained


class Baseline:
    """Of each weight, the signal that it expects: E[e² ℓ] / E[e²] of the running averages.

    A signal that is as expected teaches nothing, which lowers the variance of the gradient. Its
    mean stays where the averages do not depend on what is drawn; they are those of former steps,
    of which few belong to the same samples.

    Args:
        weight: parameter, `[O, ...]`.
        rate: weight β of a new value in the averages.
    """

    def __init__(self, weight: Tensor, rate: float) -> None:
        self.rate = rate
        self.squares = torch.zeros_like(weight, requires_grad=False)
        self.products = torch.zeros_like(weight, requires_grad=False)

    def gradient(self, eligibility: Tensor, signal: Tensor) -> Tensor:
        """Return the gradient of the mean signal, (ℓ - E[e² ℓ] / E[e²]) e, the mean over a batch.

        Args:
            eligibility: e, `[B, O, ...]`.
            signal: ℓ, `[B, O]`.
        """
        e = eligibility
        signal = signal.view(*signal.shape, *[1] * (e.dim() - 2))
        expected = torch.where(self.squares > 0, self.products / self.squares, 0)
        gradient = (signal * e).mean(0) - expected * e.mean(0)
        squares = e.square()
        self.squares.lerp_(squares.mean(0), self.rate)
        self.products.lerp_((squares * signal).mean(0), self.rate)
        return gradient


class HiddenState(NamedTuple):
    """What a layer keeps from step to step.

    Attributes:
        v: membranes after the reset, `[B, O]`.
        inputs: traces of the inputs in the membranes, `[B, F]`.
        constant: that of a constant input of 1, a scalar.
        weight: eligibility of the weights, `[B, O, F]`.
        bias: eligibility of the biases, `[B, O]`.
    """

    v: Tensor
    inputs: Tensor
    constant: Tensor
    weight: Tensor
    bias: Tensor


class HiddenLayer:
    """A layer of neurons that draw their spikes, with its eligibilities, from rest.

        v_t = λ (v_{t-1} - θ s_{t-1}) + γ (W F_t + b)        (without θ s for the reset `none`)
        s_t ~ Bernoulli(p_t),   p_t = σ(κ (v_t - θ))
        e_t = decay e_{t-1} + ∂ log p(s_t | s_{<t}) / ∂W

    Given the spikes, v is linear in W: its derivative is the trace m_t = λ m_{t-1} + γ F_t of the
    inputs, and that of log p(s_t) is κ (s_t - p_t) m_t.

    Args:
        before: what is in front of the weights.
        linear: W and b.
        layer: the neurons.
        decay: of the eligibilities; 1 sums them up.
        samples: B.
    """

    def __init__(
        self,
        before: list[nn.Module],
        linear: nn.Linear,
        layer: SpikingLayer,
        decay: float,
        samples: int,
    ) -> None:
        assert isinstance(layer.neuron, AdaptiveLeaky)
        self.before, self.linear, self.layer, self.decay = chained(before), linear, layer, decay
        self.neuron = layer.neuron
        outputs, features = linear.weight.shape
        zeros = linear.weight.new_zeros
        self.state = HiddenState(
            zeros(samples, outputs),
            zeros(samples, features),
            zeros(()),
            zeros(samples, outputs, features),
            zeros(samples, outputs),
        )
        self.t = 0

    def step(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute a step of the input `[B, ...]`.

        Returns:
            The spikes, and the log-odds κ (v - θ) with which they were drawn, `[B, O]`.
        """
        neuron, state = self.neuron, self.state
        parameters = neuron.step_parameters().at(self.t)
        leak, gain, threshold = parameters.leak, parameters.gain, parameters.threshold
        features = self.before(x)
        kappa = neuron.options.kappa
        assert kappa is not None
        v = leak * state.v + gain * self.linear(features)
        uniforms = neuron.uniforms(v.unsqueeze(0), first=self.t)
        assert uniforms is not None
        spikes = drawn_spike(v - threshold, uniforms[0], kappa)
        odds = kappa * (v - threshold)
        inputs = leak * state.inputs + gain * features
        constant = leak * state.constant + gain
        score = kappa * (spikes - odds.sigmoid())
        self.state = HiddenState(
            v - threshold * spikes if neuron.options.reset == "subtract" else v,
            inputs,
            constant,
            self.decay * state.weight + score.unsqueeze(2) * inputs.unsqueeze(1),
            self.decay * state.bias + score * constant,
        )
        self.t += 1
        return self.layer.sent(spikes.unsqueeze(0))[0], odds


def log_likelihood(odds: Tensor, spikes: Tensor) -> Tensor:
    """Return log p(s) of spikes drawn with the log-odds u: log σ(u) of 1, log σ(-u) of 0."""
    return logsigmoid(torch.where(spikes > 0, odds, -odds))


def log_ratio(odds: Tensor, spikes: Tensor, rate: float) -> Tensor:
    """Return log p(s) / q(s) of spikes, q(1) = rate, whose mean is the divergence KL(p ‖ q)."""
    prior = torch.where(spikes > 0, rate, 1 - rate)
    return log_likelihood(odds, spikes) - prior.log()
