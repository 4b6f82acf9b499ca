"""`asnn::fused_layer`: batch norm, neuron over all steps and pool; see `kernels.fused_layer`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..contract import TABLE, Shape
from ..dispatch import backend
from ..fused_layer import Call, fused_backward, fused_forward, rule_of
from .definition import define, empty_like, refuse_second_derivative

_LAYER = (
    "SymInt batch, SymInt height, SymInt width, int[2] window, bool static, int[] norm_steps, "
    "bool by_batch, str reset, str surrogate, float alpha, bool learns_threshold, "
    "bool once=False, int most=0, bool detached=False"
)


def _call_of(
    x: Tensor,
    steps: int,
    *,
    batch: int,
    height: int,
    width: int,
    window: Sequence[int],
    static: bool,
    norm_steps: Sequence[int],
    by_batch: bool,
    reset: str,
    surrogate: str,
    alpha: float,
    learns_threshold: bool,
    once: bool = False,
    most: int = 0,
    detached: bool = False,
    sized: bool,
    count: bool = False,
) -> Call:
    pool_h, pool_w = window
    shape = Shape(steps, batch, height, width, x.shape[2], static, (pool_h, pool_w))
    rule = rule_of(
        reset,
        surrogate,
        alpha,
        sized=sized,
        learns_threshold=learns_threshold,
        once=once,
        most=most,
        detached=detached,
    )
    return Call(backend(x.device.type), shape, rule, tuple(norm_steps), by_batch, count)


def _fused_layer(x: Tensor, *tensors: Any, **options: Any) -> tuple[Tensor, ...]:
    leak, _, size, _ = tensors[-4:]
    call = _call_of(x, len(leak), sized=size is not None, **options)
    spikes, counts, table = fused_forward(call, x.contiguous(), *tensors)
    return spikes, x.new_empty(0, dtype=torch.float64) if counts is None else counts, table


def _fake_fused_layer(x: Tensor, *tensors: Any, **options: Any) -> tuple[Tensor, ...]:
    steps, channels = tensors[-4].shape
    pool_h, pool_w = options["window"]
    out_rows = options["batch"] * (options["height"] // pool_h) * (options["width"] // pool_w)
    return (
        x.new_empty(steps, out_rows, channels),
        x.new_empty(steps if options["count"] else 0, dtype=torch.float64),
        x.new_empty(TABLE, steps, channels, dtype=torch.float32),
    )


def _fused_layer_backward(
    grad: Tensor, x: Tensor, table: Tensor, *tensors: Any, **options: Any
) -> tuple[Tensor, ...]:
    call = _call_of(x, table.shape[1], **options)
    found = fused_backward(call, grad.contiguous(), x.contiguous(), table, *tensors)
    return tuple(table.new_empty(0) if part is None else part for part in found)


def _fake_fused_layer_backward(
    grad: Tensor, x: Tensor, table: Tensor, threshold: Tensor, *tensors: Any, **options: Any
) -> tuple[Tensor, ...]:
    _, steps, channels = table.shape
    schedule, nothing = (steps, channels), (0,)
    norm = (len(options["norm_steps"]), channels) if options["norm_steps"] else nothing
    size = schedule if options["sized"] else nothing
    of_threshold = tuple(threshold.shape) if options["learns_threshold"] else nothing
    sizes = (norm, norm, schedule, schedule, size, of_threshold)
    return empty_like(x), *(table.new_empty(size) for size in sizes)


def _fused_layer_context(
    ctx: Any, inputs: Any, keyword_only_inputs: dict[str, Any], output: Any
) -> None:
    x, _, _, _, deviation, _, _, size, threshold = inputs
    _, counts, table = output
    ctx.mark_non_differentiable(counts, table)
    ctx.set_materialize_grads(False)
    options = {name: value for name, value in keyword_only_inputs.items() if name != "count"}
    ctx.options = {**options, "sized": size is not None}
    ctx.save_for_backward(x, table, threshold, deviation)


def _fused_layer_gradients(ctx: Any, grad: Tensor | None, *_: Any) -> Any:
    if grad is None:
        return (None,) * 9
    options = ctx.options
    found = torch.ops.asnn.fused_layer_backward(grad, *ctx.saved_tensors, **options)
    x, weight, bias, leak, gain, size, threshold = found
    norm = (weight, bias) if options["norm_steps"] else (None, None)
    size = size if options["sized"] else None
    threshold = threshold if options["learns_threshold"] else None
    return x, *norm, None, None, leak, gain, size, threshold


fused_layer = define(
    "fused_layer",
    "(Tensor x, Tensor? weight, Tensor? bias, Tensor? mean, Tensor? deviation, Tensor leak, "
    f"Tensor gain, Tensor? size, Tensor threshold, *, {_LAYER}, bool count) "
    "-> (Tensor spikes, Tensor counts, Tensor table)",
    _fused_layer,
    _fake_fused_layer,
)
fused_layer.register_autograd(_fused_layer_gradients, setup_context=_fused_layer_context)

# Gradients that do not exist are empty, since an operator always returns tensors.
fused_layer_backward = define(
    "fused_layer_backward",
    "(Tensor grad, Tensor x, Tensor table, Tensor threshold, Tensor? deviation, *, "
    f"{_LAYER}, bool sized) -> (Tensor x_grad, Tensor weight_grad, Tensor bias_grad, "
    "Tensor leak_grad, Tensor gain_grad, Tensor size_grad, Tensor threshold_grad)",
    _fused_layer_backward,
    _fake_fused_layer_backward,
)
fused_layer_backward.register_autograd(refuse_second_derivative)
