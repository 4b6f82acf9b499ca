"""Layers of exact spike times."""

from __future__ import annotations

from typing import ClassVar, Literal, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from ...core.errors import ConfigError
from ..layer import SPIKES, Lowering, OperationCounter, OperationList, Signal
from ..layers.spiking import SpikingLayer
from ..stepwise import NotStepwise
from .neuron import TimingNeuron
from .spike_times import SpikeTimes

Law = Literal["normal", "uniform"]


class TimingLayer(SpikingLayer):
    """Weights and neurons of exact times, `[1, B, ..., S] -> [1, B, ..., S']` in float64.

    The first axis stands for the time steps, of which there are none. Times are ascending in S,
    +inf behind the last spike. The observers see the number of spikes as that of one step.

    Args:
        neuron: its neurons.
        shape: of the weight, neurons first.

    Attributes:
        weight: `[M, ...]`, float64.
    """

    without_ann: ClassVar[str | None] = "a spike time is no activation"
    neuron: TimingNeuron

    def __init__(self, neuron: TimingNeuron, shape: tuple[int, ...]) -> None:
        super().__init__(None, neuron)
        self.weight = nn.Parameter(torch.empty(shape, dtype=torch.float64))

    @torch.no_grad()
    def draw(self, mean: float, deviation: float, law: Law) -> None:
        """Draw the weights with the mean m/n and the deviation s/√n, n the inputs of a neuron.

        Args:
            mean, deviation: m and s.
            law: `normal`, or `uniform` with the same moments.
        """
        inputs = self.weight[0].numel()
        centre, spread = mean / inputs, deviation / inputs**0.5
        if law == "normal":
            self.weight.normal_(centre, spread)
        else:
            self.weight.uniform_(centre - 3**0.5 * spread, centre + 3**0.5 * spread)

    def inputs(self, x: Tensor) -> Tensor:
        """Return the times of the inputs of each group of neurons with shared inputs,
        `[G, N, S]`."""
        raise NotImplementedError

    def outputs(self, times: Tensor, x: Tensor) -> Tensor:
        """Return the output of spikes `[G, M, S']` for the input `x`."""
        raise NotImplementedError

    @property
    def matrix(self) -> Tensor:
        """The weights `[M, N]`."""
        return self.weight.flatten(1)

    def _computed(self, x: Tensor) -> Tensor:
        inputs = self.inputs(x)
        spikes = self.neuron.fire(inputs, self.matrix, kernels=self.kernels)
        self.used = "fused" if self.neuron.uses_kernels(inputs, self.kernels) else "reference"
        out = self.outputs(spikes, x)
        if self.spike_observers or self.count_observers:
            fired = out.detach().isfinite()
            neurons = fired[0, ..., 0].numel()
            for observer in self.spike_observers:
                observer(fired.sum(dtype=torch.float64).view(1), neurons)
            for observer in self.count_observers:
                observer(fired.sum(-1))
        return out

    def freeze(self) -> None:
        """Nothing is cached: the kernels take the weights as they are."""

    def stepper(self) -> NoReturn:
        """Refuse time steps.

        Raises:
            NotStepwise: always.
        """
        raise NotStepwise("layers of exact times have no steps", why="they take all spikes at once")

    def decaying_parameters(self) -> list[nn.Parameter]:
        return [self.weight]

    def synaptic_weights(self) -> list[Tensor]:
        return [self.weight]

    def lower(self, graph: Lowering, name: str) -> None:
        raise graph.refused(name, self, "it has no method `lower`")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(name, "timing", self, SPIKES, operation="ac")
        found.add(f"{name}.membrane", "membrane", self, SPIKES, operation="mac")
        return SPIKES

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        """Count what the neurons compute for each input until they fire no more, or until the
        sample is decided."""
        if counter.until is not None:
            until = counter.until.view(1, -1, *[1] * (x.dim() - 2))
            x = torch.where(x < until, x, float("inf"))
        inputs = self.inputs(x)
        accumulates, products = self.neuron.operations(inputs, self.matrix, self.groups(y))
        number = accumulates if counter.operation == "ac" else products
        by_sample = number.view(x.shape[1], -1).sum(1)
        places, neurons = inputs[..., 0].numel(), len(self.weight)
        events = SpikeTimes(x[0].flatten(1, -2)).count.sum(1)
        counter.add(
            by_sample.unsqueeze(0),
            events.unsqueeze(0),
            dense=float(places * neurons),
            inputs=float(x[..., 0].numel()),
        )

    def groups(self, y: Tensor) -> Tensor:
        """Return the output as spikes `[G, M, S]`: the inverse of `outputs`."""
        raise NotImplementedError


class TimingLinear(TimingLayer):
    """Each neuron reads all inputs: `[1, B, ..., S] -> [1, B, M, S']`.

    Args:
        features: number of inputs N.
        neuron: of M channels.
    """

    def __init__(self, features: int, neuron: TimingNeuron) -> None:
        super().__init__(neuron, (neuron.channels, features))

    def inputs(self, x: Tensor) -> Tensor:
        return x[0].flatten(1, -2).to(self.weight.dtype)

    def outputs(self, times: Tensor, x: Tensor) -> Tensor:
        return times.unsqueeze(0)

    def groups(self, y: Tensor) -> Tensor:
        return y[0]


class TimingConv2d(TimingLayer):
    """The neurons of each place read the inputs of its window: `[1, B, C, H, W, S] ->
    [1, B, M, H', W', S']`. There is no input outside of the image.

    Args:
        channels: C.
        neuron: of M channels, which share their weights over all places.
        kernel, stride, padding: of the windows.

    Raises:
        ConfigError: a size out of range.
    """

    def __init__(
        self, channels: int, neuron: TimingNeuron, *, kernel: int, stride: int = 1, padding: int = 0
    ) -> None:
        for key, value, least in (
            ("kernel", kernel, 1),
            ("stride", stride, 1),
            ("padding", padding, 0),
        ):
            if value < least:
                raise ConfigError(f"{key} must be {least} or more, not {value}")
        super().__init__(neuron, (neuron.channels, channels, kernel, kernel))
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def size(self, length: int) -> int:
        """Return the number of places along an axis of this length; 0 if the window is longer."""
        return max((length + 2 * self.padding - self.kernel) // self.stride + 1, 0)

    def inputs(self, x: Tensor) -> Tensor:
        times = x[0]
        silent = times.new_full((len(times), 1, times.shape[-1]), float("inf"))
        flat = torch.cat([times.flatten(1, 3), silent], 1).to(self.weight.dtype)
        index = self.index(*times.shape[1:4]).to(times.device)
        windows = flat.index_select(1, index)
        return windows.reshape(-1, self.weight[0].numel(), times.shape[-1])

    def index(self, channels: int, height: int, width: int) -> Tensor:
        """Return which of C·H·W inputs each place of each window reads, `[places · C · k · k]`;
        C·H·W outside of the image."""
        number = torch.arange(1, height * width + 1, dtype=torch.float64).view(1, 1, height, width)
        pixels = unfold(number, self.kernel, stride=self.stride, padding=self.padding)[0].long() - 1
        inside = (pixels >= 0).t().unsqueeze(1)  # [places, 1, window]
        first = torch.arange(channels).view(1, -1, 1) * height * width
        return torch.where(
            inside, pixels.t().unsqueeze(1) + first, channels * height * width
        ).flatten()

    def outputs(self, times: Tensor, x: Tensor) -> Tensor:
        batch, height, width = x.shape[1], self.size(x.shape[3]), self.size(x.shape[4])
        found = times.view(batch, height, width, *times.shape[1:])
        return found.movedim(3, 1).unsqueeze(0)

    def groups(self, y: Tensor) -> Tensor:
        return y[0].movedim(1, 3).flatten(0, 2)


def timing_layers(network: nn.Module) -> dict[str, TimingLayer]:
    """Return the timing layers of a network by their names below its body."""
    return {
        name.removeprefix("body."): layer
        for name, layer in network.named_modules()
        if isinstance(layer, TimingLayer)
    }
