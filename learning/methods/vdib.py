"""The variational information bottleneck: spikes that tell little, and enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from ...coding.draws import current_keys, drawing, sample_keys
from ...coding.samples import Batch
from ...core.errors import ConfigError
from ...core.registry import unknown
from ...datasets.transforms.mixing import Targets
from ...models.layers.neurons import spiking_neurons
from ...models.network import SpikingNetwork
from ...models.neurons.leaky import AdaptiveLeaky
from ...models.readouts.bottleneck import BottleneckReadout, log_probability
from ..device import mixed_precision
from .bptt import Bptt

Gradient = Literal["straight-through", "score"]


class Vdib(Bptt):
    """`Bptt` of the distortion plus β times the divergence of the bottleneck's spikes:

        L = E[d + β Σ_t KL_t],   KL_t = Σ_m KL(Bernoulli(p_t) ‖ Bernoulli(r))

    d is the loss of the task for a sample, KL_t in nats of the spikes drawn before t, see
    `BottleneckReadout`. β times a nat of information is worth as much as a unit of d.

    The expectation is over drawn spikes, of all layers that draw. Their gradient is

    - `straight-through`: that of p_t in place of the spike, which is biased and varies little;
    - `score`: unbiased for what is drawn. With ℓ_t = d + β Σ_{t'>=t} KL_t' and a baseline b

        ∇L = E[∇d + β Σ_t ∇KL_t + Σ_t (ℓ_t - b_t) ∇ log p(s_t)],  spikes being constant in each ∇

      b_t is the mean of ℓ_t over the other draws of the same sample, with one draw over the other
      samples of the batch. Layers without noise before the spikes keep their surrogate gradient.

    Args:
        beta: β, at least 0.
        gradient: `straight-through` or `score`.
        draws: of each sample in a batch, for `score`.

    Raises:
        ConfigError: an option out of range.

    Source: arXiv 2106.01177, whose score estimator has another baseline and direct feedback to the
    hidden layers; a mean over other draws: Kool, van Hoof and Welling, 2019.
    """

    name = "vdib"

    def __init__(
        self, *, beta: float = 1e-3, gradient: Gradient = "straight-through", draws: int = 1
    ) -> None:
        if not 0 <= beta < float("inf"):
            raise ConfigError(f"beta is {beta}", why="it weighs information, from 0 on")
        if gradient not in get_args(Gradient):
            raise unknown("gradient", gradient, list(get_args(Gradient)))
        if draws < 1 or (draws > 1 and gradient != "score"):
            raise ConfigError(
                f"draws is {draws}",
                why="a sample is drawn once or more often; several draws are for gradient=score",
                remedy="set method.gradient=score, or leave method.draws out",
            )
        self.beta, self.gradient, self.draws = beta, gradient, draws

    def bind(self, model: SpikingNetwork, train: Any) -> None:
        super().bind(model, train)
        readout = model.readout
        if not isinstance(readout, BottleneckReadout):
            raise ConfigError(
                "the method vdib needs a bottleneck",
                why="it weighs what the drawn spikes of the readout tell",
                remedy="set readout.name=bottleneck, or method.name=bptt",
            )

    def check(self, training: Any) -> None:
        super().check(training)
        if self.gradient == "score" and training.processes.count > 1:
            raise ConfigError(
                "method.gradient=score is for one process",
                why="processes average the gradients of outputs, and its scores are beside them",
                remedy="set method.gradient=straight-through, or start one process",
            )

    def backward(
        self, training: Any, x: Batch, targets: Targets, weight: float
    ) -> tuple[Tensor, Tensor]:
        passes = [self._run(training, x, targets, draw) for draw in range(self.draws)]
        terms = [one.distortion + self.beta * one.divergence.sum(0) for one in passes]
        value = loss = torch.stack(terms).mean()
        if self.gradient == "score":
            gains = advantages(
                torch.stack([one.distortion for one in passes]).detach(),
                self.beta * torch.stack([one.divergence for one in passes]).detach(),
            )
            scores = torch.stack([one.log_probability for one in passes])
            loss = loss + (gains * scores).sum(1).mean()
        training.scaler.scale(loss if weight == 1 else loss * weight).backward()
        return value.detach(), passes[0].outputs

    def _run(self, training: Any, x: Batch, targets: Targets, draw: int) -> Pass:
        """Compute a batch with its own spikes; the first draw is that of other methods."""
        scored, readout = self.gradient == "score", training.model.readout
        keys = current_keys(len(x))
        if draw and keys is not None:
            keys = sample_keys(keys, draw)
        precision = training.recipe.train.precision
        with (
            _drawing(keys),
            drawn_spikes(training.model, constant=scored) as found,
            mixed_precision(training.device, precision),
        ):
            outputs = training.forward(x, self.needs_mean_only(training))
            distortion = (
                training.task.losses(outputs, targets)
                if scored
                else training.task.loss(outputs, targets).expand(len(x))
            )
        odds = {neuron: neuron.log_odds(*each) for neuron, each in found.items()}
        divergence = readout.divergence(odds[readout.neuron])
        log_probabilities = [log_probability(s, odds[each]) for each, (_, s) in found.items()]
        return Pass(outputs, distortion.float(), divergence, sum(log_probabilities))  # type: ignore[arg-type]


class Pass(NamedTuple):
    """What a batch gives with the spikes of one draw.

    Attributes:
        outputs: `[T, B, K]`.
        distortion: d, `[B]`.
        divergence: KL_t, `[T, B]`.
        log_probability: log p(s_t) of all layers that draw, `[T, B]`.
    """

    outputs: Tensor
    distortion: Tensor
    divergence: Tensor
    log_probability: Tensor


def advantages(distortion: Tensor, cost: Tensor) -> Tensor:
    """Return ℓ_t - b_t of D draws of B samples, `[D, T, B]`.

    ℓ_t = d + Σ_{t'>=t} cost_t'; b_t is the mean of ℓ_t over the other draws of the sample, of one
    draw over the other samples. It does not depend on the spikes that it is for, so that their
    score times it has the mean 0. Of a single draw of a single sample it is 0.

    Args:
        distortion: d, `[D, B]`.
        cost: β KL_t, `[D, T, B]`.
    """
    later = cost.flip(1).cumsum(1).flip(1)
    total = distortion.unsqueeze(1) + later
    axis = 0 if len(total) > 1 else 2
    count = total.shape[axis]
    if count == 1:
        return total
    others = (total.sum(axis, keepdim=True) - total) / (count - 1)
    return total - others


@contextmanager
def drawn_spikes(
    model: torch.nn.Module, *, constant: bool
) -> Iterator[dict[AdaptiveLeaky, tuple[Tensor, Tensor]]]:
    """Collect input and spikes of all neurons that draw while the context is open, `[T, B, ...]`.

    Args:
        model: the network.
        constant: whether no gradient flows through the spikes.
    """
    found: dict[AdaptiveLeaky, tuple[Tensor, Tensor]] = {}

    def observe(neuron: AdaptiveLeaky, inputs: tuple[Tensor], spikes: Tensor) -> Tensor:
        spikes = spikes.detach() if constant else spikes
        found[neuron] = inputs[0], spikes
        return spikes

    handles = [
        neuron.register_forward_hook(observe)  # type: ignore[arg-type]
        for neuron in spiking_neurons(model).values()
        if isinstance(neuron, AdaptiveLeaky) and neuron.draws
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _drawing(keys: Tensor | None) -> Iterator[None]:
    if keys is None:
        yield
    else:
        with drawing(keys):
            yield
