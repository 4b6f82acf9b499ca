"""A spiking layer by the fused kernels: whether they support it, and how they are called."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...kernels import operators as operators  # registers them
from ...kernels import residual as kernels
from ...kernels.contract import Rule, Shape
from ...kernels.dispatch import backend, is_traced, missing_backend, needs_aten
from ...kernels.fused_layer import fused, make_table, rule_of
from ...kernels.statistics import Segments, evaluation_norms
from ..neurons.integrate import Integrate
from ..neurons.leaky import AdaptiveLeaky, FixedLeaky
from ..neurons.lif import Lif
from .batch_norm import PLAIN
from .norm import FoldedNorm, PerStepNorm, SharedNorm, SplitNorm, TimeNorm
from .time import is_static, over_time, unexpanded

FUSED = (AdaptiveLeaky, FixedLeaky, Integrate, Lif)  # a subclass may compute something else


class Fusible(NamedTuple):
    """A layer that the fused kernels support.

    Attributes:
        neuron: of the layer.
        segments: its batch norms, in order of the steps.
        window: of its pool; (1, 1) without one.
    """

    neuron: AdaptiveLeaky | Integrate | Lif
    segments: Segments
    window: tuple[int, int]


class Frozen(NamedTuple):
    """A layer in evaluation for inputs of one shape: everything that does not depend on values."""

    backend: Any
    shape: Shape
    rule: Rule
    table: Tensor
    threshold: Tensor

    def run(self, x: Tensor, *, count: bool) -> tuple[Tensor, Tensor | None]:
        """Return spikes, and with `count` their number at each step."""
        spikes, counts = self.backend.forward(
            _rows(x, self.shape), self.table, self.threshold, self.shape, self.rule, count
        )
        return _as_images(spikes, self.shape, x.dim()), counts


def fusible(
    x: Tensor, norm: nn.Module | None, neuron: nn.Module, pool: nn.Module | None
) -> Fusible | str:
    """Return the layer as the kernels see it for the input `x`, or why they do not support it."""
    missing = missing_backend(x.device.type, x.dtype)
    if missing is not None:
        return missing
    if needs_aten():
        return "torch records a graph of its own operators only"
    if x.dim() not in (3, 5):
        return f"fused kernels take [T, B, C] and [T, B, C, H, W], not {x.dim()} axes"
    if not isinstance(neuron, AdaptiveLeaky | Integrate | Lif) or type(neuron) not in FUSED:
        return f"there is no fused kernel for {type(neuron).__name__}"
    if isinstance(neuron, AdaptiveLeaky) and neuron.draws:
        return "there is no fused kernel for neurons that draw their spikes"
    if isinstance(neuron, Integrate) and neuron.options.gradient == "representation":
        return "there is no fused kernel for the gradient 'representation'"
    if any(is_watched(part) for part in (norm, neuron, pool) if part is not None):
        return "a hook observes the values between norm, neuron and pool"
    steps = x.shape[0]
    segments = segments_of(norm, steps)
    if isinstance(segments, str):
        return segments
    window = window_of(pool)
    if window is None:
        return f"fused kernels pool by 2, without padding, not by {pool}"
    return Fusible(neuron, segments, window)


def run(x: Tensor, how: Fusible, *, count: bool) -> tuple[Tensor, Tensor | None]:
    """Return the output `[T, B, C, ...]`, and with `count` the number of spikes at each step."""
    how.neuron.check(x)
    shape = _shape(x, how.window)
    tensors, options = how.neuron.kernel_equations(shape.steps)
    learns = not isinstance(how.neuron, Integrate) or how.neuron.options.gradient != "none"
    with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
        out, counts = fused(
            _rows(x, shape),
            how.segments,
            shape,
            **tensors,
            **options,
            count=count,
            kernels=None if is_traced(x) else backend(x.device.type),
        )
    return _as_images(out, shape, x.dim()), counts


@torch.no_grad()
def freeze(x: Tensor, how: Fusible) -> Frozen:
    """Return the layer in evaluation, for inputs of the shape of `x`."""
    how.neuron.check(x)
    shape = _shape(x, how.window)
    tensors, options = how.neuron.kernel_equations(shape.steps)
    threshold, size = tensors.pop("threshold"), tensors["size"]
    norms = evaluation_norms(how.segments) if how.segments else None
    table = make_table(norms, **tensors, shape=shape)
    rule = rule_of(**options, sized=size is not None, learns_threshold=False)
    return Frozen(backend(x.device.type), shape, rule, table, threshold.reshape(-1).float())


def pooled(spikes: Tensor, pool: nn.Module) -> Tensor:
    """Return spikes `[T, B, C, ...]` of the kernels, which have not pooled them, after the pool.

    A max-pool that they know takes the larger of neighbours: half the time of `nn.MaxPool2d`, which
    finds indices too.
    """
    window = window_of(pool)
    if window is None:
        return over_time(pool, spikes)
    for axis, size in zip((-2, -1), window, strict=True):
        if size == 2:
            count = spikes.shape[axis] // 2
            pairs = spikes.narrow(axis, 0, 2 * count).unflatten(axis, (count, 2))
            spikes = torch.maximum(*pairs.unbind(axis))
    return spikes


def normed_sum(x: Tensor, norm: nn.Module, other: Tensor | None = None) -> Tensor:
    """Return the norm of `x` `[T, B, C, H, W]`, plus `other` of the same shape if there is one.

    The kernels compute it where they support it.
    """
    fits = (
        x.dim() == 5
        and x.device.type == "cpu"
        and missing_backend("cpu", x.dtype) is None
        and not needs_aten()
        and not is_static(x)
        and (other is None or (other.shape == x.shape and other.dtype == x.dtype))
        and x.shape[1] * x.shape[3] * x.shape[4] > 1  # torch refuses a single value
        and not is_watched(norm)
    )
    segments = segments_of(norm, x.shape[0]) if fits else "they do not fit"
    if isinstance(segments, str) or not segments:
        out = norm(x)
        return out if other is None else out + other
    shape = _shape(x, (1, 1))
    rows = kernels.normed_sum(
        _rows(x, shape),
        None if other is None else _rows(other, shape),
        segments,
        None if is_traced(x) else backend(x.device.type),
    )
    return _as_images(rows, shape, x.dim())


def is_watched(part: nn.Module) -> bool:
    """Return whether a module, or one within it, has a hook."""
    return bool(
        part._forward_hooks
        or part._forward_pre_hooks
        or part._backward_hooks
        or part._backward_pre_hooks
        # `modules()` takes ten times as long, at every call of a layer.
        or any(is_watched(each) for each in part._modules.values() if each is not None)
    )


def segments_of(norm: nn.Module | None, steps: int) -> Segments | str:
    """Return the batch norms of the kernels and the number of steps of each, or why there are
    none."""
    if norm is None:
        return []
    parts = (norm.first, norm.others) if isinstance(norm, SplitNorm) else (norm,)
    for part in (norm, *parts):  # a subclass may compute something else
        if type(part) not in (FoldedNorm, PerStepNorm, SharedNorm, SplitNorm):
            return f"there is no fused kernel for the norm {type(part).__name__}"
    assert isinstance(norm, TimeNorm)
    segments: Any = norm.segments(steps)
    if sum(number for _, number in segments) != steps:
        return "the number of norms is not that of the steps"
    norms = [part for part, _ in segments]
    if not all(type(part) in PLAIN and part.affine for part in norms):
        return "fused kernels take batch norms with weight and bias"
    if not all(part.track_running_stats for part in norms):
        return "fused kernels take batch norms with running statistics"
    if len({(part.training, part.eps) for part in norms}) > 1:
        return "fused kernels take batch norms that are all in the same mode"
    return segments


def window_of(pool: nn.Module | None) -> tuple[int, int] | None:
    """Return the window of a max-pool that the kernels support; None for other pools."""
    if pool is None:
        return 1, 1
    if type(pool) is not nn.MaxPool2d or pool.ceil_mode or pool.return_indices:
        return None
    window, stride, padding, dilation = (
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    )
    fits = window == stride and padding == (0, 0) and dilation == (1, 1)
    return window if fits and set(window) <= {1, 2} else None  # type: ignore[return-value]


def _shape(x: Tensor, window: tuple[int, int]) -> Shape:
    steps, batch, channels = x.shape[:3]
    height, width = x.shape[3:] if x.dim() == 5 else (1, 1)
    return Shape(steps, batch, height, width, channels, is_static(x), window)


def _rows(x: Tensor, shape: Shape) -> Tensor:
    if shape.static:
        x = unexpanded(x).unsqueeze(0)
    if x.dim() == 5:
        x = x.permute(0, 1, 3, 4, 2)
    return x.contiguous().view(-1, shape.rows, shape.channels)


def _as_images(spikes: Tensor, shape: Shape, dims: int) -> Tensor:
    spikes = spikes.view(shape.steps, shape.batch, *shape.pooled, shape.channels)
    return spikes[:, :, 0, 0] if dims == 3 else spikes.permute(0, 1, 4, 2, 3)
