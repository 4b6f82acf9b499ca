"""`asnn::pole_filter`: a chain of exponential filters over time; see `kernels.filters`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..dispatch import backend
from ..filters import filter_backward, filter_forward
from .definition import define, empty_like, refuse_second_derivative


def _pole_filter(x: Tensor, poles: Tensor, gain: Tensor | None) -> Tensor:
    return filter_forward(x.contiguous(), poles, gain, backend(x.device.type))


def _fake_pole_filter(x: Tensor, poles: Tensor, gain: Tensor | None) -> Tensor:
    return empty_like(x)


def _pole_filter_backward(
    grad: Tensor, x: Tensor, poles: Tensor, gain: Tensor | None, *, learns: bool
) -> tuple[Tensor, Tensor, Tensor]:
    kernels = backend(x.device.type)
    x_grad, poles_grad, gain_grad = filter_backward(
        grad.contiguous(), x.contiguous(), poles, gain, learns=learns, kernels=kernels
    )
    nothing = poles.new_empty(0)
    return (
        x_grad,
        nothing if poles_grad is None else poles_grad.contiguous(),
        nothing.clone() if gain_grad is None else gain_grad.clone(),
    )


def _fake_pole_filter_backward(
    grad: Tensor, x: Tensor, poles: Tensor, gain: Tensor | None, *, learns: bool
) -> tuple[Tensor, Tensor, Tensor]:
    nothing = poles.new_empty(0)
    return (
        empty_like(x),
        empty_like(poles) if learns else nothing,
        poles.new_empty(0 if gain is None or not learns else poles.shape[1]),
    )


def _pole_filter_context(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.learns = any(ctx.needs_input_grad[1:3])
    ctx.save_for_backward(*inputs)


def _pole_filter_gradients(ctx: Any, grad: Tensor) -> Any:
    x, poles, gain = ctx.saved_tensors
    found = torch.ops.asnn.pole_filter_backward(grad, x, poles, gain, learns=ctx.learns)
    x_grad, poles_grad, gain_grad = found
    if not ctx.learns:
        return x_grad, None, None
    return x_grad, poles_grad, None if gain is None else gain_grad


pole_filter = define(
    "pole_filter",
    "(Tensor x, Tensor poles, Tensor? gain) -> Tensor",
    _pole_filter,
    _fake_pole_filter,
)
pole_filter.register_autograd(_pole_filter_gradients, setup_context=_pole_filter_context)

pole_filter_backward = define(
    "pole_filter_backward",
    "(Tensor grad, Tensor x, Tensor poles, Tensor? gain, *, bool learns) -> "
    "(Tensor x_grad, Tensor poles_grad, Tensor gain_grad)",
    _pole_filter_backward,
    _fake_pole_filter_backward,
)
pole_filter_backward.register_autograd(refuse_second_derivative)
