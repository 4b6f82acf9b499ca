"""Convolution over neighbouring steps and space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ....kernels.dispatch import backend, is_traced, missing_backend, needs_aten
from ....kernels.shifts import shifted_sums
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
        self.offsets = self._tap_conv.offsets

    @property
    def causal(self) -> bool:
        """Whether a step reads no later one."""
        return max(self.offsets) == 0

    def forward(self, x: Tensor) -> Tensor:
        z = self.taps(x)
        if not self._has_kernel(z):
            return _sums(z, self.offsets)
        given = unexpanded(z).unsqueeze(0) if is_static(z) else z
        rows = given.permute(0, 1, 3, 4, 2).contiguous()  # channels last
        batch, height, width, outputs = rows.shape[1:]
        rows = rows.view(len(rows), batch * height * width, TAPS, outputs // TAPS)
        sums = shifted_sums(rows, len(z), self.offsets, backend("cpu"))
        return sums.view(len(z), batch, height, width, outputs // TAPS).permute(0, 1, 4, 2, 3)

    def _has_kernel(self, z: Tensor) -> bool:
        """Return whether a kernel adds up the taps; it is that of the convolution."""
        return (
            self._tap_conv.kernels != "reference"
            and z.device.type == "cpu"
            and z.dtype == torch.float32
            and missing_backend("cpu", z.dtype) is None
            and not needs_aten()
            and not is_traced(z)
        )

    @property
    def _tap_conv(self) -> TapConv2d:
        """One of the convolutions of the taps."""
        taps = self.taps
        found = (taps.analog or taps.spikes) if isinstance(taps, Stem) else taps.layer
        assert isinstance(found, TapConv2d)
        return found

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
            first, second, y = taps(x).chunk(TAPS, 1)
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
    begin = min(max(0, -offset), steps)
    end = max(begin, min(steps, steps - offset))
    return slice(begin, end), slice(begin + offset, end + offset)


def _sums(z: Tensor, offsets: Sequence[int]) -> Tensor:
    """Return Σ_k z_{t + offset_k}[k] of `[T, B, 3 O, H, W]`, `[T, B, O, H, W]`."""
    total = None
    for tap, offset in zip(z.chunk(TAPS, 2), offsets, strict=True):
        to, of = inside(offset, len(z))
        before, behind = (tap.new_zeros(n, *tap.shape[1:]) for n in (to.start, len(z) - to.stop))
        moved = torch.cat([before, tap[of], behind])
        total = moved if total is None else total + moved
    assert total is not None
    return total
