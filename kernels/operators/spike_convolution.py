"""`asnn::spike_convolution`: convolution of spikes; see `kernels.convolution`.

The values of the images decide how it is computed, so that the decision is an output: the ways of
`Paths`, by their index in `WAYS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..contract import Convolution
from ..convolution import DENSE, Paths, backward, backward_paths, forward, paths_for
from ..costs import Machine
from ..dispatch import backend
from .definition import define, empty_like, refuse_second_derivative

WAYS = ("dense", "events", "tiles")


def _convolution_of(
    x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]
) -> Convolution:
    images, inputs, height, width = x.shape
    outputs, _, kernel_h, kernel_w = weight.shape
    return Convolution(
        images,
        (height, width),
        (inputs, outputs),
        (kernel_h, kernel_w),
        (stride[0], stride[1]),
        (padding[0], padding[1]),
    )


def _spike_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    prefix: Tensor | None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    learns: bool,
) -> tuple[Tensor, Tensor]:
    shape, kernels = _convolution_of(x, weight, stride, padding), backend(x.device.type)
    machine = Machine(kernels.has_wide_registers(), kernels.has_tiles())
    paths = paths_for(shape, x, machine=machine, learns=learns)
    if paths == DENSE:
        out = torch.nn.functional.conv2d(x, weight, bias, shape.stride, shape.padding)
        out = out if prefix is None else torch.cat([prefix, out])
    else:
        found = forward(x, weight, bias, prefix, kernels, shape, paths)
        out, paths = found.out, backward_paths(paths, found)
    return _channels_last(out), torch.tensor([WAYS.index(way) for way in paths])


def _channels_last(images: Tensor) -> Tensor:
    """Return images with the strides that the fake implementation promises."""
    _, channels, height, width = images.shape
    strides = (height * width * channels, 1, width * channels, channels)
    if images.stride() == strides:
        return images
    return images.new_empty_strided(images.shape, strides).copy_(images)


def _fake_spike_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    prefix: Tensor | None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    learns: bool,
) -> tuple[Tensor, Tensor]:
    shape = _convolution_of(x, weight, stride, padding)
    images = shape.images + (0 if prefix is None else prefix.shape[0])
    rows = x.new_empty(images, *shape.out, shape.channels[1])
    return rows.permute(0, 3, 1, 2), x.new_empty(3, dtype=torch.int64)


def _spike_convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    decision: Tensor,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    mask: Sequence[bool],
) -> tuple[Tensor, ...]:
    shape, kernels = _convolution_of(x, weight, stride, padding), backend(x.device.type)
    paths = Paths(*(WAYS[code] for code in decision.tolist()))
    of_x, of_weight, of_bias = mask
    if paths == DENSE:
        found = torch.ops.aten.convolution_backward(
            grad, x, weight, weight.shape[:1], stride, padding, (1, 1), False, (0, 0), 1, mask
        )
    else:
        rows = x.permute(0, 2, 3, 1).contiguous()
        found = (
            *backward(grad, rows, weight, kernels, shape, paths, of_x=of_x, of_weight=of_weight),
            grad.sum((0, 2, 3)) if of_bias else None,
        )
    x_grad, weight_grad, bias_grad = found
    return (
        x.new_empty(0) if x_grad is None else _channels_last(x_grad),
        x.new_empty(0) if weight_grad is None else weight_grad.contiguous(),
        x.new_empty(0) if bias_grad is None else bias_grad,
    )


def _fake_spike_convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    decision: Tensor,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    mask: Sequence[bool],
) -> tuple[Tensor, ...]:
    images, channels, height, width = x.shape
    return (
        x.new_empty(images, height, width, channels).permute(0, 3, 1, 2)
        if mask[0]
        else x.new_empty(0),
        empty_like(weight) if mask[1] else x.new_empty(0),
        x.new_empty(len(weight) if mask[2] else 0),
    )


def _spike_convolution_context(
    ctx: Any, inputs: Any, keyword_only_inputs: dict[str, Any], output: Any
) -> None:
    x, weight, _, prefix = inputs
    _, decision = output
    ctx.mark_non_differentiable(decision)
    ctx.set_materialize_grads(False)
    ctx.options = {name: keyword_only_inputs[name] for name in ("stride", "padding")}
    ctx.prefix = 0 if prefix is None else prefix.shape[0]
    ctx.save_for_backward(x, weight, decision)


def _spike_convolution_gradients(ctx: Any, grad: Tensor | None, *_: Any) -> Any:
    if grad is None:
        return (None,) * 4
    all_grad = grad.contiguous(memory_format=torch.channels_last)
    mask = ctx.needs_input_grad[:3]
    found = torch.ops.asnn.spike_convolution_backward(
        all_grad[ctx.prefix :], *ctx.saved_tensors, **ctx.options, mask=mask
    )
    grads = (part if wanted else None for part, wanted in zip(found, mask, strict=True))
    return *grads, all_grad[: ctx.prefix] if ctx.needs_input_grad[3] else None


spike_convolution = define(
    "spike_convolution",
    "(Tensor x, Tensor weight, Tensor? bias, Tensor? prefix, *, int[2] stride, int[2] padding, "
    "bool learns) -> (Tensor out, Tensor decision)",
    _spike_convolution,
    _fake_spike_convolution,
)
spike_convolution.register_autograd(
    _spike_convolution_gradients, setup_context=_spike_convolution_context
)

spike_convolution_backward = define(
    "spike_convolution_backward",
    "(Tensor grad, Tensor x, Tensor weight, Tensor decision, *, int[2] stride, int[2] padding, "
    "bool[3] mask) -> (Tensor x_grad, Tensor weight_grad, Tensor bias_grad)",
    _spike_convolution_backward,
    _fake_spike_convolution_backward,
)
spike_convolution_backward.register_autograd(refuse_second_derivative)
