"""The nodes of NIR without a membrane, as layers of torch."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ..layer import VALUES, Layer, Lowering, OperationList, Signal
from ..layers.time import OverTime
from ..neurons.surrogates import spike
from .lowering import by_channel


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
            return graph.cell(name, lambda x: (self.scale * x,), states=[], spikes=False)
        factor = scale.expand(graph.steps, -1)
        return graph.add("ChannelScale", name, None, factor=factor, offset=torch.zeros_like(factor))

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
            return graph.cell(name, lambda x: (spike(x - self.threshold),), states=[])
        level = level.expand(graph.steps, -1)
        none, ones = torch.zeros_like(level), torch.ones_like(level)
        fields = {"leak": none, "gain": ones, "threshold": level, "size": ones, "reset": "none"}
        return graph.add("Neuron", name, None, **fields)


class Conv1d(OverTime):
    """A convolution of sequences `[C, L]`.

    Args:
        layer: the convolution.
        length: L.
    """

    def __init__(self, layer: nn.Conv1d, length: int) -> None:
        super().__init__(layer)
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)

    def lower(self, graph: Lowering, name: str) -> None:
        layer: Any = self.layer
        (kernel,), (stride,) = layer.kernel_size, layer.stride
        (padding,), (dilation,) = layer.padding, layer.dilation
        graph.add("Reshape", f"{name}.image", None, to=(layer.in_channels, 1, self.length))
        bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias
        graph.add(
            "Conv",
            f"{name}.conv",
            None,
            weights=(layer.weight.unsqueeze(2),),
            biases=(bias,),
            of_step=(0,) * graph.steps,
            stride=(1, stride),
            padding=(0, padding),
            dilation=(1, dilation),
            groups=layer.groups,
        )
        length = (self.length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        graph.add("Reshape", name, None, to=(layer.out_channels, length))


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
    """Join axes of a sample.

    Args:
        start, end: the first and the last of them, counted from the end.
        shape: of a sample.
    """

    def __init__(self, start: int, end: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.start, self.end, self.shape = start, end, shape

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start, self.end)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self.forward

    def lower(self, graph: Lowering, name: str) -> None:
        rank = len(self.shape)
        if self.start == self.end:
            return None
        if (self.start, self.end) != (-rank, -1):
            first, last = self.start % rank, self.end % rank + 1
            joined = math.prod(self.shape[first:last])
            to = (*self.shape[:first], joined, *self.shape[last:])
            return graph.add("Reshape", name, None, to=to)
        return graph.add("Flatten", name)

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

    def lower(self, graph: Lowering, name: str) -> None:
        graph.add("Reshape", name, None, to=self.shape)

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
        last = min(found[0], graph.steps)  # after as many steps nothing arrives anyway
        for i in range(1, last + 1):
            graph.add("Shift", name if i == last else f"{name}.{i}", None, by=1)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return x
