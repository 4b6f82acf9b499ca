"""Convolution over neighbouring steps and space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ....kernels.dispatch import is_traced
from ....kernels.memory import buffers
from ...layer import Layer, Lowering, OperationList, Signal
from ...stepwise import NotStepwise, Step, stepper
from ..stem import Stem
from ..time import OverTime, is_static, unexpanded
from .taps import TAPS, TapConv2d


class TemporalConv(Layer):
    """A convolution with a kernel (3, k, k): `[T, B, C, H, W] -> [T, B, O, H', W']`.

        y_t[o] = Σ_k Σ_c w[o, c, k] ⋆ x_{t+k-1}[c]         causal: x_{t+k-2}

    with x = 0 outside of the T steps, as `nn.Conv3d` with the stride (1, s, s) and the padding
    (1, p, p), or two steps before and none behind. Each step is convolved once, by the kernels for
    spikes, with the three kernels (k, k) side by side. Of steps that are all the same one is
    convolved, and at most three of the sums differ.

    Args:
        taps: applies `TapConv2d` to each step; a stem, or `OverTime`. It says whether it is causal;
            otherwise a step cannot be computed before the next one is there.

    Source: the 3-D convolution of arXiv 2412.17654.
    """

    def __init__(self, taps: Stem | OverTime) -> None:
        super().__init__()
        self.taps = taps
        kernel = next(part for part in taps.modules() if isinstance(part, TapConv2d))
        self.offsets = kernel.offsets

    @property
    def causal(self) -> bool:
        """Whether a step reads no later one."""
        return max(self.offsets) == 0

    def forward(self, x: Tensor) -> Tensor:
        z = self.taps(x)
        if is_traced(z):
            return _sums(z, self.offsets)
        if is_static(z):
            return _SumsOfOne.apply(unexpanded(z), len(z), self.offsets)  # type: ignore[return-value]
        return _Sums.apply(z, self.offsets)  # type: ignore[return-value]

    def stepper(self) -> Step:
        if not self.causal:
            raise NotStepwise(
                "a temporal convolution reads the next step",
                why="it is not causal",
                remedy="compute all steps at once, or train with model.causal=true",
            )
        taps = stepper(self.taps)
        next_one: Tensor | None = None  # what the steps so far give to the next one
        next_but_one: Tensor | None = None

        def step(x: Tensor) -> Tensor:
            nonlocal next_one, next_but_one
            first, second, y = taps(x).unflatten(1, (TAPS, -1)).unbind(1)
            if next_one is not None:
                y = y + next_one
            next_one = (second if next_but_one is None else second + next_but_one).detach()
            next_but_one = first.detach()
            return y

        return step

    def lower(self, graph: Lowering, name: str) -> None:
        """Add a convolution z_k for each tap, and the sum of their values of other steps:

        z_1 + before(z_0) + behind(z_2)          causal: z_2 + before(z_1 + before(z_0))
        """
        if isinstance(self.taps, Stem):
            self.taps.lower_input(graph, name)
            layers = self.taps.layers_of_steps(graph.steps)
        else:
            layers = [self.taps.layer] * graph.steps
        begin = graph.at
        first, second, third = (
            self._lower_tap(graph, f"{name}_tap{k}", begin, layers, k) for k in range(TAPS)
        )
        graph.add("Shift", f"{name}_before", (first,), by=1)
        if self.causal:
            graph.add("Add", f"{name}_both", (second, f"{name}_before"))
            graph.add("Shift", f"{name}_of_both", by=1)
            return graph.add("Add", name, (third, f"{name}_of_both"))
        graph.add("Shift", f"{name}_behind", (third,), by=-1)
        return graph.add("Add", name, (second, f"{name}_before", f"{name}_behind"))

    def _lower_tap(
        self, graph: Lowering, name: str, begin: str, layers: list[nn.Module], k: int
    ) -> str:
        """Add the convolution of a tap, given the layer of each step; return its name."""
        distinct = list(dict.fromkeys(layers))
        kernels = []
        for layer in distinct:
            if not isinstance(layer, TapConv2d):
                raise graph.refused(name, layer, "its steps have convolutions of other kinds")
            kernels.append(layer.weight[:, :, k])
        assert isinstance(distinct[0], TapConv2d)
        graph.add(
            "Conv",
            name,
            (begin,),
            weights=tuple(kernels),
            biases=tuple(kernel.new_zeros(len(kernel)) for kernel in kernels),
            of_step=tuple(distinct.index(layer) for layer in layers),
            stride=distinct[0].stride,
            padding=distinct[0].padding,
        )
        return name

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return found.visit(name, self.taps, x)

    def extra_repr(self) -> str:
        return f"causal={self.causal}"


def inside(offset: int, steps: int) -> tuple[slice, slice]:
    """Return the steps of the output that a tap gives to, and those of the input that it reads."""
    begin, end = max(0, -offset), min(steps, steps - offset)
    end = max(begin, end)
    return slice(begin, end), slice(begin + offset, end + offset)


def _sums(z: Tensor, offsets: Sequence[int]) -> Tensor:
    """Return Σ_k z_{t + offset_k}[k] of `[T, B, 3 O, H, W]`, `[T, B, O, H, W]`."""
    total = None
    for tap, offset in zip(z.unflatten(2, (TAPS, -1)).unbind(2), offsets, strict=True):
        to, of = inside(offset, len(z))
        before, behind = (tap.new_zeros(n, *tap.shape[1:]) for n in (to.start, len(z) - to.stop))
        moved = torch.cat([before, tap[of], behind])
        total = moved if total is None else total + moved
    assert total is not None
    return total


class _Sums(torch.autograd.Function):
    """`_sums`, whose gradient is three shifted copies."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, offsets: Sequence[int]) -> Tensor:
        ctx.offsets = offsets
        taps = z.unflatten(2, (TAPS, -1)).unbind(2)
        out = _channels_last(z, taps[0].shape)
        own, first, second = offsets.index(0), *(k for k in range(TAPS) if offsets[k])
        to, of = inside(offsets[first], len(z))
        # Without a copy of its own, which would read and write all once more.
        torch.add(taps[own][to], taps[first][of], out=out[to])
        out[: to.start] = taps[own][: to.start]
        out[to.stop :] = taps[own][to.stop :]
        to, of = inside(offsets[second], len(z))
        out[to] += taps[second][of]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (grad,) = grads
        steps, batch, outputs, *size = grad.shape
        found = _channels_last(grad, (steps, batch, TAPS * outputs, *size))
        taps = found.unflatten(2, (TAPS, -1)).unbind(2)
        for tap, offset in zip(taps, ctx.offsets, strict=True):
            to, of = inside(offset, steps)
            tap[of] = grad[to]
            tap[: of.start] = 0
            tap[of.stop :] = 0
        return found, None


class _SumsOfOne(torch.autograd.Function):
    """`_sums` where all steps are the same `[B, 3 O, H, W]`."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, steps: int, offsets: Sequence[int]) -> Tensor:
        ctx.offsets = offsets
        taps = z.unflatten(1, (TAPS, -1)).unbind(1)
        out = _channels_last(z, (steps, len(z), len(taps[0][0]), *z.shape[2:]))
        known: dict[tuple[int, ...], int] = {}  # the first step at which the same taps add up
        for t in range(steps):
            used = tuple(k for k, offset in enumerate(offsets) if 0 <= t + offset < steps)
            if used in known:
                out[t] = out[known[used]]
                continue
            known[used] = t
            first, *others = (taps[k] for k in used)
            if not others:
                out[t] = first
                continue
            torch.add(first, others[0], out=out[t])
            for other in others[1:]:
                out[t] += other
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (grad,) = grads
        steps, batch, outputs, *size = grad.shape
        found = _channels_last(grad, (1, batch, TAPS * outputs, *size))[0]
        total = grad.sum(0)
        taps = found.unflatten(1, (TAPS, -1)).unbind(1)
        for tap, offset in zip(taps, ctx.offsets, strict=True):
            to, _ = inside(offset, steps)
            tap.copy_(total)
            for t in (*range(to.start), *range(to.stop, steps)):
                tap -= grad[t]
        return found, None, None


def _channels_last(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Return memory for `[T, B, C, H, W]` whose images are in channels_last order."""
    steps, batch, channels, height, width = shape
    rows = (steps, batch, height, width, channels)
    reused = like.device.type == "cpu" and like.dtype == torch.float32 and not is_traced(like)
    found = buffers.take(*rows) if reused else like.new_empty(rows)
    return found.permute(0, 1, 4, 2, 3)
