"""The nodes of NIR without a membrane, as layers of torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ..layer import VALUES, Layer, Lowering, OperationList, Signal
from ..neurons.surrogates import spike
from .neuron import by_channel


class Scale(Layer):
    """y = scale x, elementwise."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(tuple(shape)))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self.forward

    def lower(self, graph: Lowering, name: str) -> None:
        scale = by_channel(self.scale)
        if scale is None:
            raise graph.refused(name, self, "its factors differ within a channel")
        factor = scale.expand(graph.steps, -1)
        graph.add("ChannelScale", name, None, factor=factor, offset=torch.zeros_like(factor))

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return VALUES


class Threshold(nn.Module):
    """s = H(x - threshold): spikes of values, without a state."""

    threshold: Tensor

    def __init__(self, shape: Sequence[int], *, surrogate: str = "sigmoid") -> None:
        super().__init__()
        self.surrogate = surrogate
        self.register_buffer("threshold", torch.ones(tuple(shape)))

    def forward(self, x: Tensor) -> Tensor:
        return spike(x - self.threshold, self.surrogate)

    def step_from_rest(self) -> Callable[[Tensor], Tensor]:
        """Return the function of a step."""
        return self.forward

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self.forward

    def lower(self, graph: Lowering, name: str) -> None:
        level = by_channel(self.threshold)
        if level is None:
            raise graph.refused(name, self, "its thresholds differ within a channel")
        level = level.expand(graph.steps, -1)
        none, ones = torch.zeros_like(level), torch.ones_like(level)
        fields = {"leak": none, "gain": ones, "threshold": level, "size": ones, "reset": "none"}
        graph.add("Neuron", name, None, **fields)


class SumPool2d(Layer):
    """The sum of each window of `[C, H, W]`.

    Args:
        channels: C.
        kernel, stride, padding: of the windows.
    """

    def __init__(
        self,
        channels: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> None:
        super().__init__()
        self.channels, self.kernel, self.stride, self.padding = channels, kernel, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        lead = x.shape[:-3]
        y = avg_pool2d(x.flatten(0, -4), self.kernel, self.stride, self.padding, divisor_override=1)
        return y.unflatten(0, lead)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self.forward

    def lower(self, graph: Lowering, name: str) -> None:
        graph.add(
            "Conv",
            name,
            None,
            weights=(torch.ones(self.channels, 1, *self.kernel),),
            biases=(torch.zeros(self.channels),),
            of_step=(0,) * graph.steps,
            stride=self.stride,
            padding=self.padding,
            groups=self.channels,
        )

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return Signal("counts") if x.kind in ("spikes", "counts") else VALUES


class Flatten(Layer):
    """Join the axes of a sample from `start` to `end`, both counted from the end."""

    def __init__(self, start: int, end: int, rank: int) -> None:
        super().__init__()
        self.start, self.end, self.rank = start, end, rank

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start, self.end)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self.forward

    def lower(self, graph: Lowering, name: str) -> None:
        if self.rank == 1:
            return
        if (self.start, self.end) != (-self.rank, -1):
            raise graph.refused(name, self, "the graph only flattens whole samples")
        graph.add("Flatten", name)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return x


class Unflatten(Layer):
    """Features `[F]` as samples of another shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, self.shape)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self.forward

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return x


class Delay(Layer):
    """y_t = x_{t-k} with k = round(delay / dt), and 0 before.

    Args:
        shape: of the delays, in seconds.
        dt: length of a step in seconds.
    """

    delay: Tensor

    def __init__(self, shape: Sequence[int], *, dt: float) -> None:
        super().__init__()
        self.dt = dt
        self.register_buffer("delay", torch.zeros(tuple(shape)))

    def steps(self) -> Tensor:
        """Return k of each value."""
        return (self.delay / self.dt).round().long()

    def forward(self, x: Tensor) -> Tensor:
        if self.delay.is_meta:
            return torch.empty_like(x)
        k, found = self.steps(), torch.zeros_like(x)
        for each in k.unique().tolist():
            late = torch.cat([torch.zeros_like(x[:each]), x[: max(len(x) - each, 0)]])[: len(x)]
            found = torch.where(k == each, late, found)
        return found

    def stepper(self) -> Callable[[Tensor], Tensor]:
        k = self.steps()
        kept: deque[Tensor] = deque(maxlen=int(k.max()) + 1)

        def step(x: Tensor) -> Tensor:
            kept.appendleft(x)
            found = torch.zeros_like(x)
            for each, late in enumerate(kept):
                found = torch.where(k == each, late, found)
            return found

        return step

    def lower(self, graph: Lowering, name: str) -> None:
        found = self.steps().unique().tolist()
        if len(found) != 1:
            raise graph.refused(name, self, "its delays differ")
        for i in range(1, found[0] + 1):
            graph.add("Shift", name if i == found[0] else f"{name}.{i}", None, by=1)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return x
