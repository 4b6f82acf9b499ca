"""Affine layer, batch norm and neurons with the gradient of their representation, as one function.

The gradient D = ∂L/∂y of the neurons' input y is the same at every step, so that all the backward
pass needs are sums over time. With S = Σ_t s_t of the inputs s `[T, B, ...]`, and without a norm,

    ∂L/∂W = D Sᵀ,   Σ_t w_t ∂L/∂s_t = Wᵀ D

With a batch norm y = γ x̂ + β, x̂ = (W s + b - μ) / σ over all n = T B samples,

    ∂L/∂β = T Σ D,   ∂L/∂γ = Σ D X,   X = Σ_t x̂_t
    q = γ/σ (D - ∂L/∂β / n)
    ∂L/∂W = q Sᵀ - γ/(σ n) ∂L/∂γ C,   C = Σ_t x̂_t s_tᵀ
    Σ_t w_t ∂L/∂s_t = Wᵀ (q - γ/(σ n) ∂L/∂γ Σ_t w_t x̂_t)

S, X and C are computed in the forward pass, and kept instead of the inputs of all steps. Of the
gradient of s only the mean weighted as by the neurons that sent s is computed, and returned for
every step: they read nothing else of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm

from ..neurons.functional.count import IntegrateOptions
from ..neurons.functional.representation import (
    amplitude_gradient,
    decayed_mean,
    fire,
    input_gradient,
    region,
)
from . import affine
from .time import over_time


class Call(NamedTuple):
    """What of a call is no tensor.

    Attributes:
        layer: affine, of `[N, in]` or of images.
        norm: batch norm of its outputs, or None.
        options: of the neurons.
        steps: T.
        leak: λ of the neurons that sent the input; 1 if the input needs no gradient.
        by_batch: whether the norm uses the statistics of the batch.
        learns: whether a backward pass may follow.
    """

    layer: nn.Linear | nn.Conv2d
    norm: nn.BatchNorm1d | nn.BatchNorm2d | None
    options: IntegrateOptions
    steps: int
    leak: float
    by_batch: bool
    learns: bool


def represented_layer(x: Tensor, call: Call, amplitude: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return outputs `[T, B, C, ...]`, and mean and unbiased variance of the batch, `[C]`.

    Mean and variance are empty unless the norm uses the statistics of the batch.

    Args:
        x: inputs `[T, B, ...]`, or `[1, B, ...]` if they are the same at every step, which needs
            no gradient.
        call: the layer.
        amplitude: V, broadcast against a step of the output.
    """
    layer, norm = call.layer, call.norm
    of_norm = (None, None) if norm is None else (norm.weight, norm.bias)
    return _RepresentedLayer.apply(x, layer.weight, layer.bias, *of_norm, amplitude, call)  # type: ignore[return-value]


class _RepresentedLayer(Function):
    """The outputs; for the backward pass it keeps sums over time."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        gamma: Tensor | None,
        beta: Tensor | None,
        amplitude: Tensor,
        call: Call,
    ) -> Any:
        of_x, of_weight = ctx.needs_input_grad[:2]
        rows, shape = x.flatten(0, 1), x.shape[:2]
        out = call.layer(rows)
        z, dtype = out.to(torch.promote_types(out.dtype, torch.float32)), out.dtype
        with torch.autocast(z.device.type, enabled=False):
            normed = _normed(z, call)
            sums = _Sums(None, None, None)
            if call.learns and call.norm is not None:
                sums = _sums(rows, z, normed, shape, call, of_x=of_x, of_weight=of_weight)
            del out, z  # free before the outputs are allocated
            y = normed.y.unflatten(0, shape)
            amplitude = amplitude.to(y.dtype)
            where = inputs = None
            if call.learns:
                where = region(y, amplitude, call.options)
                inputs = x.sum(0, dtype=y.dtype) if of_weight else None
            same = len(y) == call.steps
            outputs = y if same else y.new_empty(call.steps, *y.shape[1:])
            spikes = fire(y, outputs, amplitude, call.options).to(dtype)
        ctx.call, ctx.shape, ctx.amplitude_shape = call, x.shape, amplitude.shape
        ctx.save_for_backward(weight, gamma, inputs, where, normed.inverse, *sums)
        ctx.mark_non_differentiable(normed.mean, normed.variance)
        return spikes, normed.mean, normed.variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        weight, gamma, inputs, where, inverse, *sums = ctx.saved_tensors
        total, weighted, covariance = sums
        call, of = ctx.call, ctx.needs_input_grad
        seen = ctx.shape[0]  # steps of the input
        mean = decayed_mean(grads[0], call.options.leak)
        mean = mean.to(torch.promote_types(mean.dtype, torch.float32))
        found: list[Tensor | None] = [None] * 7
        with torch.autocast(mean.device.type, enabled=False):
            if of[5]:
                found[5] = amplitude_gradient(
                    mean, where, call.options, steps=call.steps, shape=ctx.amplitude_shape
                )
            q = p = input_gradient(mean, where, call.options) * (call.steps / seen)
            axes = [axis for axis in range(q.dim()) if axis != 1]
            through = None
            if gamma is not None:
                found[4] = seen * q.sum(axes)
                found[3] = (q * total).sum(axes)
                scale = gamma * inverse
                if call.by_batch:
                    samples = seen * (q.numel() // q.shape[1])
                    q = q - _by_channel(found[4] / samples, q)
                    through = scale * found[3] / samples
                q = p = q * _by_channel(scale, q)
            if of[1]:
                found[1] = affine.weight_gradient(call.layer, inputs, q)
                if covariance is not None:
                    found[1] -= through.view(-1, *[1] * (weight.dim() - 1)) * covariance
            if of[2]:
                found[2] = seen * q.sum(axes)
            if of[0]:
                if through is not None:
                    by_mean = total / seen if weighted is None else weighted
                    p = q - _by_channel(through, q) * by_mean
                of_step = affine.input_gradient(call.layer, weight, p, ctx.shape[1:])
                found[0] = of_step.expand(ctx.shape)
        return tuple(found)


class _Normed(NamedTuple):
    """Outputs of a batch norm.

    Attributes:
        y: γ x̂ + β.
        mean, variance: of the batch, unbiased; empty if it is not normalised by the batch.
        inverse: 1/σ, `[C]`; None without a norm.
    """

    y: Tensor
    mean: Tensor
    variance: Tensor
    inverse: Tensor | None


class _Sums(NamedTuple):
    """What of x̂ the backward pass needs: X, Σ_t w_t x̂_t if it is not X / T, and C."""

    total: Tensor | None
    weighted: Tensor | None
    covariance: Tensor | None


def _normed(z: Tensor, call: Call) -> _Normed:
    norm: Any = call.norm
    if norm is None:
        return _Normed(z, z.new_empty(0), z.new_empty(0), None)
    mean, variance = norm.running_mean, norm.running_var
    if call.by_batch:
        mean, variance = torch.zeros_like(mean), torch.zeros_like(variance)
    # With the momentum 1, zeros become mean and unbiased variance of the batch.
    y = batch_norm(z, mean, variance, norm.weight, norm.bias, call.by_batch, 1.0, norm.eps)
    if not call.by_batch:
        return _Normed(y, z.new_empty(0), z.new_empty(0), (variance + norm.eps).rsqrt())
    samples = z.numel() // z.shape[1]
    biased = variance * ((samples - 1) / samples)
    return _Normed(y, mean, variance, (biased + norm.eps).rsqrt())


def _sums(
    rows: Tensor,
    z: Tensor,
    normed: _Normed,
    shape: torch.Size,
    call: Call,
    *,
    of_x: bool,
    of_weight: bool,
) -> _Sums:
    """Return the sums; `z` becomes x̂."""
    norm: Any = call.norm
    mean = normed.mean if call.by_batch else norm.running_mean
    z.sub_(_by_channel(mean, z)).mul_(_by_channel(normed.inverse, z))
    by_step = z.unflatten(0, shape)
    total = by_step.sum(0)
    if not call.by_batch:
        return _Sums(total, None, None)
    weighted = decayed_mean(by_step, call.leak) if of_x and call.leak != 1 else None
    covariance = affine.weight_gradient(call.layer, rows, z) if of_weight else None
    return _Sums(total, weighted, covariance)


def _by_channel(values: Any, x: Tensor) -> Tensor:
    """Return values `[C]` in the shape that broadcasts over x `[N, C, ...]`."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


def mean_pooled(x: Tensor, pool: nn.AvgPool2d, leak: float) -> Tensor:
    """Return the mean pool of each step of outputs `[T, B, C, H, W]` of neurons with the leak λ.

    Of the gradient only the mean weighted as by these neurons is computed, and returned for every
    step; for the backward pass nothing is kept.
    """
    return _MeanPool.apply(x, pool, leak)  # type: ignore[return-value]


class _MeanPool(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, pool: nn.AvgPool2d, leak: float) -> Tensor:
        ctx.pool, ctx.leak, ctx.shape = pool, leak, x.shape
        return over_time(pool, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        mean, pool = decayed_mean(grads[0], ctx.leak), ctx.pool
        x = mean.new_empty(1).expand(ctx.shape[1:])  # only its shape matters
        window, stride, padding = (
            [value, value] if isinstance(value, int) else list(value)
            for value in (pool.kernel_size, pool.stride, pool.padding)
        )
        of_step = torch.ops.aten.avg_pool2d_backward(
            mean, x, window, stride, padding, pool.ceil_mode, pool.count_include_pad,
            pool.divisor_override,
        )  # fmt: skip
        return of_step.expand(ctx.shape), None, None
