"""`asnn::normed_sum`: batch norm of rows, plus rows of another path; see `kernels.residual`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..dispatch import backend
from ..residual import sum_backward, sum_forward
from .definition import define, empty_like, refuse_second_derivative


def _normed_sum(
    x: Tensor, other: Tensor | None, *tensors: Any, norm_steps: Sequence[int], by_batch: bool
) -> tuple[Tensor, ...]:
    other = None if other is None else other.contiguous()
    kernels = backend(x.device.type)
    return sum_forward(x.contiguous(), other, *tensors, norm_steps=norm_steps, kernels=kernels)


def _fake_normed_sum(x: Tensor, *tensors: Any, **options: Any) -> tuple[Tensor, ...]:
    steps, _, channels = x.shape
    return empty_like(x), x.new_empty(steps, channels), x.new_empty(steps, channels)


def _normed_sum_backward(
    grad: Tensor, x: Tensor, *tensors: Any, **options: Any
) -> tuple[Tensor, ...]:
    kernels = backend(x.device.type)
    return sum_backward(grad.contiguous(), x.contiguous(), *tensors, **options, kernels=kernels)


def _fake_normed_sum_backward(
    grad: Tensor, x: Tensor, *tensors: Any, norm_steps: Sequence[int], by_batch: bool
) -> tuple[Tensor, ...]:
    norm = len(norm_steps), x.shape[2]
    return empty_like(x), x.new_empty(norm), x.new_empty(norm)


def _normed_sum_context(
    ctx: Any, inputs: Any, keyword_only_inputs: dict[str, Any], output: Any
) -> None:
    x, *_, deviation = inputs
    _, mean, scale = output
    ctx.mark_non_differentiable(mean, scale)
    ctx.set_materialize_grads(False)
    ctx.options = keyword_only_inputs
    ctx.save_for_backward(x, mean, scale, deviation)


def _normed_sum_gradients(ctx: Any, grad: Tensor | None, *_: Any) -> Any:
    if grad is None:
        return (None,) * 6
    found = torch.ops.asnn.normed_sum_backward(grad, *ctx.saved_tensors, **ctx.options)
    x, weight, bias = found
    other = grad if ctx.needs_input_grad[1] else None
    return x, other, weight, bias, None, None


normed_sum = define(
    "normed_sum",
    "(Tensor x, Tensor? other, Tensor weight, Tensor bias, Tensor mean, Tensor deviation, *, "
    "int[] norm_steps, bool by_batch) -> (Tensor out, Tensor step_mean, Tensor step_scale)",
    _normed_sum,
    _fake_normed_sum,
)
normed_sum.register_autograd(_normed_sum_gradients, setup_context=_normed_sum_context)

normed_sum_backward = define(
    "normed_sum_backward",
    "(Tensor grad, Tensor x, Tensor step_mean, Tensor step_scale, Tensor deviation, *, "
    "int[] norm_steps, bool by_batch) -> (Tensor x_grad, Tensor weight_grad, Tensor bias_grad)",
    _normed_sum_backward,
    _fake_normed_sum_backward,
)
normed_sum_backward.register_autograd(refuse_second_derivative)
