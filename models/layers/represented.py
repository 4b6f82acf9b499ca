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

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..neurons.functional.count import IntegrateOptions
from ..neurons.functional.normed import Normed, normed_gradients, normed_neurons
from ..neurons.functional.representation import decayed_mean, threshold_scale
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


def represented_layer(x: Tensor, call: Call, amplitude: Tensor) -> Tensor:
    """Return outputs `[T, B, C, ...]`; running statistics of the norm follow those of the batch.

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
        del out
        with _full_precision(z.device.type):
            inputs = of_inputs = covariance = None
            correlates = of_weight and call.learns and call.by_batch and shape[0] > 1
            if of_weight and call.learns:
                inputs = x.sum(0, dtype=z.dtype) if len(x) > 1 else x[0].to(z.dtype)
            if correlates:
                of_inputs = affine.input_covariance(call.layer, rows)
            found = normed_neurons(
                z.unflatten(0, shape), call.norm, amplitude, call.options, call.steps,
                by_batch=call.by_batch, learns=call.learns,
                leak=call.leak if of_x and call.by_batch else 1.0,
                overwrite=not correlates or of_inputs is not None,
            )  # fmt: skip
            if correlates:
                assert found.mean is not None and found.inverse is not None
                covariance = affine.covariance(
                    call.layer, rows, z, found.mean, found.inverse, of_inputs
                )
            spikes = found.spikes.to(dtype)
        ctx.call, ctx.shape, ctx.amplitude_shape = call, x.shape, amplitude.shape
        ctx.save_for_backward(
            weight, gamma, inputs, covariance,
            found.region, found.inverse, found.total, found.weighted,
        )  # fmt: skip
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        weight, gamma, inputs, covariance, region, inverse, total, weighted = ctx.saved_tensors
        call, of, seen = ctx.call, ctx.needs_input_grad, ctx.shape[0]
        kept = Normed(grads[0], region, None, inverse, total, weighted)
        of_x = of_weight = of_bias = of_amplitude = None
        with _full_precision(grads[0].device.type):
            found = normed_gradients(
                grads[0], kept, gamma, call.options,
                steps=call.steps, seen=seen, by_batch=call.by_batch, of_input=of[0],
            )  # fmt: skip
            if of[1]:
                of_weight = affine.weight_gradient(call.layer, inputs, found.output)
                if found.through is not None:
                    through = found.through.view(-1, *[1] * (weight.dim() - 1))
                    samples = ctx.shape[0] * region.numel() // region.shape[1]
                    of_weight.addcmul_(through, covariance, value=-1 / samples)
            if of[2]:
                q = found.output
                of_bias = seen * q.sum([axis for axis in range(q.dim()) if axis != 1])
            if of[0]:
                assert found.weighted is not None, "it was asked for"
                step = affine.input_gradient(call.layer, weight, found.weighted, ctx.shape[1:])
                of_x = step.expand(ctx.shape)
            if of[5]:
                above = found.above.view(-1, *[1] * (region.dim() - 2))
                scale = call.steps * threshold_scale(call.options)
                of_amplitude = above.sum_to_size(ctx.amplitude_shape) * scale
        return of_x, of_weight, of_bias, found.norm_weight, found.norm_bias, of_amplitude, None


def _full_precision(device: str) -> AbstractContextManager[Any]:
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


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
