"""Networks of coupled layers: spikes forward, the gradients of an ANN backward."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ....coding.samples import Batch
from ....models.frozen import Snapshot, freeze
from ....models.layers.spiking import SpikingLayer
from ....models.layers.stem import Stem
from ....models.network import SpikingNetwork
from ....models.neurons.relu import Relu
from ....models.stepwise import stepper
from .chain import Chain, Layers


class Hybrid(SpikingNetwork):
    """A network whose first layers spike, and whose other layers are those of the ANN.

        c = 1/T Σ_t out_t        out_t of the spiking layers: amplitude × whole numbers, pooled
        logits = ANN layers (c)

    It shares weights and norms with the network that it is made of. In training mode the spiking
    layers run step by step, with their norms folded by running statistics, and keep nothing for a
    backward pass: what a training step takes does not grow with T.

    Args:
        network: a chain of `integrate` neurons.
        chain: of its layers.
        coupled: the number of blocks that spike, 1 or more.
    """

    def __init__(self, network: SpikingNetwork, chain: Chain, coupled: int) -> None:
        spiking, analog = chain.before(coupled), as_ann(chain.behind(coupled))
        # No layer has a name with a space.
        mean = {"mean of steps": StepMean()}
        repeat = {"equal steps": Repeat(network.coding.steps)}
        body = nn.Sequential(OrderedDict({**spiking, **mean, **analog, **repeat}))
        super().__init__(network.coding, body)
        self._spiking = FrozenLayers(spiking)
        self._analog = list(analog.values())

    def forward(self, x: Batch, steps: int | None = None) -> Tensor:
        """Return the logits: in training mode those of the mean, as one step `[1, B, K]`."""
        if not self.training:
            return super().forward(x, steps)
        value = step_means(self._spiking.layers(), self.coding.each_step(x))[-1]  # type: ignore[arg-type]
        for layer in self._analog:
            value = layer(value)
        return value

    def mean_logits(self, x: Batch, steps: int | None = None) -> Tensor:
        return self.forward(x)[0] if self.training else super().mean_logits(x, steps)


class Coupled(SpikingNetwork):
    """A network in training of which every layer is coupled, and every layer learns.

        a_l = relu(norm(W c_{l-1} + b))          pooled; the norm with the statistics of the batch
        c_l = 1/T Σ_t out_{l,t}                  of the spiking layers behind one another
        ∂c_l/∂a_l = 1

    so that the gradients are those of the ANN whose activations are replaced by what the spikes
    amount to. Spiking layers are computed as in `Hybrid`.

    Args:
        network: a chain of `integrate` neurons.
        chain: of its layers.

    Source: Wu et al., "A Tandem Learning Rule for Effective Training and Rapid Inference of Deep
    Spiking Neural Networks", arXiv 1907.01167.
    """

    def __init__(self, network: SpikingNetwork, chain: Chain) -> None:
        super().__init__(network.coding, network.body)
        self._blocks = [list(as_ann(block).values()) for block in chain.blocks.values()]
        self._tail = list(chain.tail.values())
        self._spiking = nn.Sequential(OrderedDict(chain.before(len(chain.blocks))))

    def forward(self, x: Batch, steps: int | None = None) -> Tensor:
        """Return the logits of the mean over the steps, as one step `[1, B, K]`."""
        frozen: Any = freeze(self._spiking)  # the weights have changed since the last batch
        means = step_means(frozen, self.coding.each_step(x))  # type: ignore[arg-type]
        value: Tensor | None = None
        for block, spiking in zip(self._blocks, means, strict=True):
            value = analog_output(block, value, self.coding.each_step(x))  # type: ignore[arg-type]
            value = _Replaced.apply(value, spiking)  # type: ignore[assignment]
        for layer in self._tail:
            value = layer(value)
        assert value is not None
        return value

    def mean_logits(self, x: Batch, steps: int | None = None) -> Tensor:
        return self.forward(x)[0]


class FrozenLayers:
    """Copies of layers for inference, made anew after their weights have changed.

    Args:
        layers: of a chain, by name; they do not learn.
    """

    def __init__(self, layers: Layers) -> None:
        self._body = nn.Sequential(OrderedDict(layers))
        self._found: tuple[Snapshot, list[nn.Module]] | None = None

    def layers(self) -> list[nn.Module]:
        """Return the copies, with norms folded into the affine layers before them."""
        if self._found is None or not self._found[0].is_current():
            frozen = freeze(self._body)
            assert isinstance(frozen, nn.Sequential)
            self._found = Snapshot(self._body), list(frozen)  # type: ignore[arg-type]
        return self._found[1]


class StepMean(nn.Module):
    """The mean over the steps, as one step: `[T, B, ...] -> [1, B, ...]`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0, keepdim=True)


class Repeat(nn.Module):
    """One step as T equal ones: `[1, B, ...] -> [T, B, ...]`."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(self.steps, *x.shape[1:])


def as_ann(layers: Layers) -> Layers:
    """Return layers with ReLU in place of their neurons; they share norms and weights."""
    return {
        name: SpikingLayer(layer.norm, Relu(1), layer.pool)
        if isinstance(layer, SpikingLayer)
        else layer
        for name, layer in layers.items()
    }


def analog_output(block: list[nn.Module], value: Tensor | None, code: Iterable[Tensor]) -> Tensor:
    """Return the output of a block of the ANN, `[1, B, ...]`.

    Args:
        block: its layers.
        value: its input `[1, B, ...]`; None for the first block, whose stem reads the code.
        code: the steps of the code, `[B, ...]` each.
    """
    for layer in block:
        first = isinstance(layer, Stem)
        value = layer.mean_output(code).unsqueeze(0) if first else layer(value)
    assert value is not None
    return value


@torch.no_grad()
def step_means(layers: Iterable[nn.Module], code: Iterable[Tensor]) -> list[Tensor]:
    """Run spiking layers step by step, and return the mean output of each over the steps.

    They compute what they do with all steps at once, and hold one step of it.

    Args:
        layers: of a chain in evaluation mode; the first is its stem.
        code: the steps of the code, `[B, ...]` each.

    Returns:
        Of each `SpikingLayer`, after its pool: `[1, B, ...]`.
    """
    parts = [(stepper(layer), isinstance(layer, SpikingLayer)) for layer in layers]
    totals: list[Any] = [0] * len(parts)
    steps = 0
    for value in code:
        with torch.autocast(value.device.type, enabled=False):
            for at, (step, spikes) in enumerate(parts):
                value = step(value)
                if spikes:
                    totals[at] = totals[at] + value
        steps += 1
    return [
        (total / steps).unsqueeze(0)
        for total, (_, spikes) in zip(totals, parts, strict=True)
        if spikes
    ]


class _Replaced(torch.autograd.Function):
    """The activation of an ANN, whose value is replaced by what spikes amount to."""

    @staticmethod
    def forward(ctx: Any, activation: Tensor, spiking: Tensor) -> Tensor:
        return spiking.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None
