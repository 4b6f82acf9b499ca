"""Generalised linear neurons that learn online: outputs by likelihood, hidden ones by three
factors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ....core.errors import ConfigError
from ....models.layers.spiking import SpikingLayer
from ....models.layers.time import OverTime
from ....models.network import SpikingNetwork
from ....models.neurons.leaky import AdaptiveLeaky
from ....models.stepwise import chained
from ....tasks.step_classification import UNLABELLED
from .base import Learned, Online, Rule
from .three_factor import Baseline, HiddenLayer, log_likelihood, log_ratio


class Glm(Online):
    """Neurons that are generalised linear models of their traces, and learn at every step.

    The outputs are visible neurons, p_{t,k} = σ(u_{t,k}), which should fire for the class of the
    step alone. The gradient of their log-likelihood is (s*_t - p_t) F_tᵀ, with F_t what the readout
    reads: traces of `[synapse]`.

    Hidden neurons draw their spikes (`neuron.noise = "logistic"`), and learn by variational
    learning with the score function, from three factors: trace, own error, and a signal ℓ that is
    the same for all neurons, but for their own divergence from a rate r,

        e_t = decay e_{t-1} + ∂ log p(s_t) / ∂W
        l_t = Σ_k log p(s*_{t,k}) - γ log p(s_t) / r(s_t)
        ℓ_t = signal_decay ℓ_{t-1} + (1 - signal_decay) l_t
        ΔW  = lr (ℓ_t - E[e² ℓ] / E[e²]) e_t

    the mean over a batch. With decay = 1, signal_decay = 0 and one hidden layer its mean is the
    gradient of E[log-likelihood] - γ KL; a smaller decay forgets what was long ago, and lowers the
    variance. Published is one κ for both, with e in units of 1 - κ, which belongs to lr here.

    Args:
        burn_in, every: as of `Online`.
        decay: of the eligibilities, from 0 to 1.
        signal_decay: of the learning signal, from 0 to below 1.
        divergence: γ, weight of the divergence of hidden neurons.
        rate: r, their rate without input, in (0, 1).
        baseline: weight of a new value in the averages of the baseline, in (0, 1].

    Raises:
        ConfigError: an option out of range.

    Source: Jang, Skatchkovsky and Simeone, arXiv 2010.14217 and 1910.01059.
    """

    name = "glm"

    def __init__(
        self,
        *,
        burn_in: int = 0,
        every: int = 1,
        decay: float = 0.2,
        signal_decay: float = 0.2,
        divergence: float = 0.1,
        rate: float = 0.2,
        baseline: float = 0.05,
    ) -> None:
        super().__init__(burn_in=burn_in, every=every)
        for name, value, fits, allowed in (
            ("decay", decay, 0 <= decay <= 1, "from 0 to 1"),
            ("signal_decay", signal_decay, 0 <= signal_decay < 1, "from 0 to below 1"),
            ("divergence", divergence, 0 <= divergence < math.inf, "0 or more"),
            ("rate", rate, 0 < rate < 1, "above 0 and below 1"),
            ("baseline", baseline, 0 < baseline <= 1, "above 0 and at most 1"),
        ):
            if not fits:
                raise ConfigError(f"{name} must be {allowed}, not {value}")
        self.decay, self.signal_decay = decay, signal_decay
        self.divergence, self.rate, self.baseline = divergence, rate, baseline
        self.baselines: dict[str, Baseline] = {}

    def bind(self, model: SpikingNetwork, train: Any) -> None:
        super().bind(model, train)
        for name, layers in self.blocks.hidden.items():
            _require_drawn(name, layers)
            linear = _linear(layers)
            for key, parameter in linear.named_parameters():
                self.baselines[f"{name}.{key}"] = Baseline(parameter.detach(), self.baseline)

    def start(self, training: Any, batch: int) -> Rule:
        hidden = {
            name: HiddenLayer(layers[:-2], _linear(layers), layers[-1], self.decay, batch)  # type: ignore[arg-type]
            for name, layers in self.blocks.hidden.items()
        }
        before, visible = chained(self.blocks.tail[:-1]), self.blocks.readout.linear
        signals: dict[str, Tensor] = {}

        @torch.no_grad()
        def rule(x: Tensor, y: Tensor, share: float) -> Learned:
            divergences = {}
            for name, layer in hidden.items():
                x, odds = layer.step(x)
                divergences[name] = log_ratio(odds, x, self.rate)
            features = before(x)
            outputs = visible(features)
            target = _spikes(y, outputs)
            known = (y != UNLABELLED).unsqueeze(1)
            likelihood = (log_likelihood(outputs, target) * known).sum(1, keepdim=True)
            if share:
                error = (target - outputs.sigmoid()) * known * (share / max(len(y), 1))
                _add_gradient(visible.weight, -error.T @ features)
                if visible.bias is not None:
                    _add_gradient(visible.bias, -error.sum(0))
            for name, layer in hidden.items():
                signal = likelihood - self.divergence * divergences[name]
                former = signals.get(name)
                if former is not None:
                    signal = signal.lerp(former, self.signal_decay)
                else:
                    signal = (1 - self.signal_decay) * signal
                signals[name] = signal
                if share:
                    self._teach(name, layer, signal, share)
            return Learned(-likelihood.mean(), outputs)

        return rule

    def state(self) -> dict[str, Any]:
        return {
            name: {"squares": each.squares, "products": each.products}
            for name, each in self.baselines.items()
        }

    def restore(self, state: dict[str, Any]) -> None:
        if state.keys() != self.baselines.keys():
            raise ValueError("its baselines are those of another network")
        for name, each in self.baselines.items():
            each.squares.copy_(state[name]["squares"])
            each.products.copy_(state[name]["products"])

    def _teach(self, name: str, layer: HiddenLayer, signal: Tensor, share: float) -> None:
        """Add the gradients of a hidden layer."""
        for key, eligibility in (("weight", layer.state.weight), ("bias", layer.state.bias)):
            parameter = getattr(layer.linear, key)
            if parameter is not None:
                gradient = self.baselines[f"{name}.{key}"].gradient(eligibility, signal)
                _add_gradient(parameter, -share * gradient)


def _spikes(y: Tensor, outputs: Tensor) -> Tensor:
    """Return what the visible neurons should send, `[B, K]`: 1 for the class, 0 for the others."""
    return one_hot(y.clamp(min=0), outputs.shape[1]).to(outputs.dtype)


def _add_gradient(parameter: Tensor, gradient: Tensor) -> None:
    if parameter.requires_grad:
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _linear(layers: list[nn.Module]) -> nn.Linear:
    over_time: Any = layers[-2]
    return over_time.layer


def _require_drawn(name: str, layers: list[nn.Module]) -> None:
    """Refuse hidden layers whose likelihood is not that of a linear layer and drawn spikes."""
    layer = layers[-1]
    assert isinstance(layer, SpikingLayer)
    neuron = layer.neuron
    if not (
        len(layers) > 1 and type(layers[-2]) is OverTime and type(layers[-2].layer) is nn.Linear
    ):
        raise ConfigError(
            f"glm does not teach the weights before {name}",
            why="its eligibilities are those of a linear layer",
            remedy="set model.name=trace-mlp",
        )
    if not isinstance(neuron, AdaptiveLeaky) or not neuron.draws:
        raise ConfigError(
            f"glm is not for the neurons of {name}",
            why="hidden neurons learn from the likelihood of the spikes that they have drawn",
            remedy="set model.neuron=fixed and neuron.noise=logistic",
        )
    if any(parameter.requires_grad for parameter in neuron.parameters()):
        raise ConfigError(
            f"glm does not learn leak, gain and threshold of {name}",
            why="it has eligibilities of weights and biases alone",
            remedy="set model.neuron=fixed",
        )
    if neuron.options.reset == "zero" or neuron.once:
        raise ConfigError(
            f"glm is not for the reset of {name}",
            why="given the spikes, the membrane must be linear in the weights with one trace for "
            "each input",
            remedy="set neuron.reset=subtract or none, without neuron.once",
        )
