"""The first layer of a network: its input is the encoded sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate, count

import torch
from torch import Tensor, nn

from ...coding.base import Coding
from ...core.errors import ConfigError
from ..layer import SPIKES, VALUES, Layer, Lowering, OperationList, Signal
from .convolution import SpikeConv2d
from .fusing import is_watched
from .norm import SplitNorm, TimeNorm, create_norm


class Stem(Layer):
    """The first affine layer: encoded samples `[T, B, ...] -> [T, B, F, ...]`.

    Analog steps and spike steps have separate weights (the dual stem of arXiv 2408.12407).
    Analog steps are normalised by mean and standard deviation, spikes are not. The output of a
    static coding is computed for one step and expanded. The analog steps of a coding whose steps
    add up to the sample (`sums`) are multiplied by T first; silent steps after them have no weights
    of their own, and an input of 0. Spikes of a coding that `opens` currents are read as 1 from
    their step to the last one.

    Args:
        coding: gives the number of analog steps.
        make: builds the affine layer, once for each set of weights.
        mean, std: of each channel, to normalise analog steps.
        rank: axes of one step, 3 of (C, H, W), 1 of (F,).

    Raises:
        ConfigError: the code has a window shorter than its steps.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        coding: Coding,
        make: Callable[[], nn.Module],
        *,
        mean: list[float],
        std: list[float],
        rank: int = 3,
    ) -> None:
        super().__init__()
        if getattr(coding, "window", coding.steps) != coding.steps:
            raise ConfigError(
                f"a network reads a window of {coding.steps} steps, the code's is {coding.window}",  # type: ignore[attr-defined]
                why="shorter ones are for files in which a clock drives all layers",
                remedy="leave coding.window out",
            )
        self.static = coding.static
        self.analog_steps = coding.analog_steps
        self.factor = coding.steps if coding.sums else 1
        self.opens = coding.opens
        self.analog = make() if coding.analog_steps > 0 else None
        self.spikes = make() if coding.analog_steps < coding.steps and not coding.sums else None
        if not coding.normalised:
            mean, std = [0.0] * len(mean), [1.0] * len(std)
        self.register_buffer("mean", torch.tensor(mean).view(-1, *[1] * (rank - 1)))
        self.register_buffer("std", torch.tensor(std).view(-1, *[1] * (rank - 1)))

    def forward(self, code: Tensor) -> Tensor:
        if self.opens:
            code = code.cumsum(0)
        if self.static and self.analog is not None:
            one_step = self.analog(_channels_last(self.normalised(code)[0]))
            return one_step.expand(code.shape[0], *one_step.shape)
        if self.spikes is None or code.shape[0] <= self.analog_steps:
            assert self.analog is not None
            out = self.analog(_channels_last(self.normalised(code).flatten(0, 1)))
            if code.shape[0] > self.analog_steps:
                return self._then_silent(out, code)
        elif self.analog is None:
            out = self.spikes(_channels_last(code.flatten(0, 1)))
        else:
            out = self._both(code, self.analog, self.spikes)
        return out.unflatten(0, code.shape[:2])

    def step(self, x: Tensor, t: int) -> Tensor:
        """Return the output of step t, counted from 0, of its code `[B, ...]`: `[B, F, ...]`.

        Of a coding that opens currents, the code is their sum up to this step.
        """
        if t < self.analog_steps:
            assert self.analog is not None
            return self.analog(_channels_last(self._normalised(x)))
        if self.spikes is not None:
            return self.spikes(_channels_last(x))
        silent = self._silent(x)
        return silent.expand(len(x), *silent.shape[1:])

    def stepper(self) -> Callable[[Tensor], Tensor]:
        times = count()
        static: Tensor | None = None
        current: Tensor | None = None

        def step(x: Tensor) -> Tensor:
            nonlocal static, current
            if self.opens:
                x = current = x if current is None else current + x
            out = self.step(x, next(times)) if static is None else static
            if self.static and self.analog is not None:
                static = out
            return out

        return step

    def mean_output(self, steps: Iterable[Tensor]) -> Tensor:
        """Return the mean of the outputs over all steps `[B, ...]` of a code, `[B, F, ...]`.

        It is the output for the mean of the inputs, since one set of weights is affine.

        Raises:
            ValueError: analog steps and spikes have weights of their own.
        """
        layer = self.spikes if self.analog is None else self.analog
        if layer is None or (self.analog is not None and self.spikes is not None):
            raise ValueError("a dual stem has no weights for a mean of analog steps and spikes")
        total, count = None, 0
        for t, x in enumerate(accumulate(steps) if self.opens else steps):
            if self.analog is not None and t < self.analog_steps:
                x = self._normalised(x)
            total, count = x if total is None else total + x, count + 1
            if self.static:
                break
        assert total is not None, "a code has steps"
        return layer(_channels_last(total / count))

    def _then_silent(self, out: Tensor, code: Tensor) -> Tensor:
        """Return the outputs of analog steps, followed by those of silent ones."""
        head = out.unflatten(0, (self.analog_steps, code.shape[1]))
        silent = self._silent(code[0])
        shape = (len(code) - len(head), code.shape[1], *silent.shape[1:])
        return torch.cat([head, silent.expand(shape)])

    def _silent(self, x: Tensor) -> Tensor:
        """Return the output of a silent step of `[B, ...]`, the same for all: `[1, F, ...]`."""
        assert self.analog is not None
        return self.analog(_channels_last(x.new_zeros(1, *x.shape[1:])))

    def _both(self, code: Tensor, analog: nn.Module, spikes: nn.Module) -> Tensor:
        head = analog(_channels_last(self.normalised(code).flatten(0, 1)))
        tail = _channels_last(code[self.analog_steps :].flatten(0, 1))
        if type(spikes) is SpikeConv2d and not is_watched(spikes):
            return spikes.appended(head, tail)
        return torch.cat([head, spikes(tail)])

    def normalised(self, code: Tensor) -> Tensor:
        """Return the input of the analog weights: the analog steps of a code `[T, B, ...]` (of a
        static code the first), normalised by mean and standard deviation."""
        return self._normalised(code[: 1 if self.static else self.analog_steps])

    def _normalised(self, x: Tensor) -> Tensor:
        """Return analog steps normalised, so that the mean over all steps is that of the sample.

        Of a single step that holds the whole sample this is T (x - mean) / std.
        """
        if self.factor == 1:
            return (x - self.mean).div_(self.std)
        return (self.factor * x - self._offset).div_(self.std)

    @property
    def _offset(self) -> Tensor:
        """T / (number of analog steps) times the mean of each channel."""
        return self.mean * (self.factor / self.analog_steps)

    def lower(self, graph: Lowering, name: str) -> None:
        self.lower_input(graph, name)
        graph.per_step(name, self.layers_of_steps(graph.steps))

    def lower_input(self, graph: Lowering, name: str) -> None:
        """Add what is done to the code before the weights to an export graph."""
        offset = self.mean if self.factor == 1 else self._offset
        standardise(graph, self.analog_steps, offset, self.std, self.factor)
        if self.opens:
            graph.add("Filter", f"{name}.currents", poles=torch.ones(1, 1), gain=torch.ones(1))

    def layers_of_steps(self, steps: int) -> list[nn.Module]:
        """Return the affine layer of each step."""
        layers = [self.analog] * self.analog_steps
        later = self.analog if self.factor > 1 else self.spikes
        layers += [later] * (steps - self.analog_steps)
        return [layer for layer in layers if layer is not None]

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        if self.analog is not None:
            found.visit_from(
                f"{name}.analog", self.analog, VALUES, of=self, inputs=self.normalised, first=0
            )
        if self.spikes is not None:
            begin = self.analog_steps
            found.visit_from(
                f"{name}.spikes",
                self.spikes,
                SPIKES,
                of=self,
                inputs=lambda code: code[begin:],
                first=begin,
            )
        return VALUES


def standardise(
    graph: Lowering, analog_steps: int, mean: Tensor, std: Tensor, times: int = 1
) -> None:
    """Add the normalisation (times x - mean) / std of analog steps x to an export graph."""
    m, s = mean.flatten().double(), std.flatten().double()
    if analog_steps and not (times == 1 and bool((m == 0).all()) and bool((s == 1).all())):
        factor = torch.ones(graph.steps, len(m), dtype=torch.float64)
        offset = torch.zeros_like(factor)
        factor[:analog_steps], offset[:analog_steps] = times / s, -m / s
        graph.add("ChannelScale", "normalise", factor=factor, offset=offset)


def _channels_last(x: Tensor) -> Tensor:
    """Return images in channels_last memory format, in which convolutions and kernels are fastest;
    the layers after it keep the format."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x.contiguous()


def stem_norm(coding: Coding, form: str, channels: int, *, image: bool) -> TimeNorm:
    """Return the batch norm after a stem: one for analog steps, another for spike steps."""
    analog, spikes = coding.analog_steps, coding.steps - coding.analog_steps
    if not analog or not spikes or coding.sums:
        return create_norm(form, channels, steps=coding.steps, image=image)
    return SplitNorm(
        analog,
        create_norm(form, channels, steps=analog, image=image),
        create_norm(form, channels, steps=spikes, image=image),
    )
