"""Layers of neurons that are differentiated on their representation: how the kernels of
`integration` and `gram` are called, with float32 rows `[T, R, C]` of contiguous memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..memory import buffers
from . import gram, integration
from .threads import run


class Integrated(NamedTuple):
    """What a forward pass returns.

    Attributes:
        out: V k `[T, R, C]`.
        region: of each neuron `[R, C]`: -1 below 0, 0 inside, 1 above V, int8.
        total: Σ_t x̂_t `[R, C]`.
        weighted: Σ_t w_t x̂_t `[R, C]`, with the weights of the input.
    """

    out: Tensor
    region: Tensor
    total: Tensor
    weighted: Tensor


def integrate(
    x: Tensor,
    table: Tensor,
    weights: Tensor,
    *,
    leak: float,
    gain: float,
    slope: float,
) -> Integrated:
    """Normalise, and run integrate-and-fire neurons over all steps.

        y_t = weight x̂_t + bias,   x̂_t = (x_t - mean) inverse
        v_t = λ v_{t-1} + γ y_t;   k_t = H(v_t - threshold);   v_t ← v_t - V k_t

    Args:
        x: input `[T, R, C]`, or `[1, R, C]` if it is the same at every step.
        table: mean, inverse, weight, bias, threshold and V of each channel, `[6, C]`.
        weights: `[2, T]`: of the steps of y in its mean (of one step: 1), and of those of x̂ in
            `weighted`.
        leak, gain: λ and γ.
        slope: of the representation, the factor of the mean of y that says its region.
    """
    (seen, rows, channels), steps = x.shape, weights.shape[1]
    out = buffers.take(steps, rows, channels)
    total, weighted, region = (x.new_empty(rows, channels) for _ in range(3))
    args = np.zeros((), integration.ARGUMENTS)
    args["blocks"] = blocks = -(-rows // integration.ROWS_A_BLOCK)
    args["rows"], args["channels"], args["steps"], args["seen"] = rows, channels, steps, seen
    tensors = {"x": x, "out": out, "table": table, "weights": weights}
    tensors |= {"total": total, "weighted": weighted, "region": region}
    for name, tensor in tensors.items():
        args[name] = tensor.data_ptr()
    args["leak"], args["gain"], args["slope"] = leak, gain, slope
    args["inner_border"] = leak == 1
    run("represented_forward", args, blocks)
    return Integrated(out, region.to(torch.int8), total, weighted)


def integrate_backward(
    grad: Tensor, region: Tensor, total: Tensor | None, weights: Tensor, *, slope: float
) -> tuple[Tensor, Tensor]:
    """Return D = slope Σ_t w_t ∂L/∂out_t inside of the region, `[R, C]`, and sums over rows
    `[3, C]`: of D, of D X, and of Σ_t w_t ∂L/∂out_t above it.

    Args:
        grad: ∂L/∂out `[T, R, C]`, or `[1, R, C]` if it is the same at every step.
        region, total: of the forward pass; without a total its sum is 0.
        weights: w `[T]`, or `[1]`.
        slope: of the representation.
    """
    seen, rows, channels = grad.shape
    out = grad.new_empty(rows, channels)
    blocks = -(-rows // integration.ROWS_A_BLOCK)
    sums = grad.new_empty(blocks, 3, channels)
    where = region.float()
    args = np.zeros((), integration.BACKWARD)
    args["blocks"], args["rows"], args["channels"], args["seen"] = blocks, rows, channels, seen
    tensors = {"grad": grad, "region": where, "total": total, "out": out}
    for name, tensor in {**tensors, "weights": weights, "sums": sums}.items():
        args[name] = 0 if tensor is None else tensor.data_ptr()
    args["slope"] = slope
    run("represented_backward", args, blocks)
    return out, sums.sum(0)


def spike_covariance(x: Tensor) -> Tensor | None:
    """Return Σ_n (x_n - x̄) (x_n - x̄)ᵀ of spikes `[N, C]`, `[C, C]`; None if they are no spikes, or
    C is not a multiple of 8.

    The values of a channel are 0 or one number of its own. Sums are of whole numbers, and exact.
    """
    rows, channels = x.shape
    if channels % gram.GROUP:
        return None
    words = -(-rows // gram.WORD)
    whole = {"bits": (words, channels), "others": (words,), "active": (words, channels)}
    whole["counts"] = channels, channels
    tensors = {name: x.new_empty(size, dtype=torch.int64) for name, size in whole.items()}
    tensors |= {"x": x, "most": x.amax(0), "out": x.new_empty(channels, channels)}
    args = np.zeros((), gram.ARGUMENTS)
    args["rows"], args["channels"], args["blocks"] = rows, channels, words
    for name, tensor in tensors.items():
        args[name] = tensor.data_ptr()
    run("pack_spikes", args, words)
    if tensors["others"].any():
        return None
    active = tensors["active"].sum(0)
    args["active"], args["next_block"], args["blocks"] = active.data_ptr(), 0, channels
    run("spike_covariance", args, channels)
    return tensors["out"]
