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

    What is not asked for is None.
    """

    out: Tensor
    region: Tensor | None
    total: Tensor | None
    weighted: Tensor | None


def integrate(
    x: Tensor,
    norm: tuple[Tensor, Tensor, Tensor, Tensor],
    amplitude: Tensor,
    weights: Tensor,
    *,
    fraction: float,
    leak: float,
    gain: float,
    slope: float,
    keep: tuple[bool, bool, bool],
    in_place: bool,
) -> Integrated:
    """Normalise, and run integrate-and-fire neurons over all steps.

        y_t = weight x̂_t + bias,   x̂_t = (x_t - mean) inverse
        v_t = λ v_{t-1} + γ y_t;   k_t = H(v_t - α V);   v_t ← v_t - V k_t

    Args:
        x: input `[T, R, C]`, or `[1, R, C]` if it is the same at every step.
        norm: mean, inverse, weight and bias, `[C]`.
        amplitude: V, `[C]` or `[1]`.
        weights: `[2, T]`: of the steps of y in its mean (of one step: 1), and of those of x̂ in
            `weighted`.
        fraction, leak, gain: α, λ and γ.
        slope: of the representation, the factor of the mean of y that says its region.
        keep: whether to return region, total and weighted.
        in_place: whether the output of all steps may overwrite an input of as many.
    """
    (seen, rows, channels), steps = x.shape, weights.shape[1]
    out = x if in_place and seen == steps else buffers.take(steps, rows, channels)
    kinds = torch.int8, torch.float32, torch.float32
    kept = [
        x.new_empty(rows, channels, dtype=kind) if wanted else None
        for kind, wanted in zip(kinds, keep, strict=True)
    ]
    args = np.zeros((), integration.FORWARD)
    args["blocks"] = blocks = -(-rows // integration.ROWS_A_BLOCK)
    args["rows"], args["channels"], args["steps"], args["seen"] = rows, channels, steps, seen
    tensors = dict(zip(("mean", "inverse", "weight", "bias"), norm, strict=True))
    tensors |= {"x": x, "out": out, "amplitude": amplitude, "weights": weights}
    _set(args, **tensors, **dict(zip(("region", "total", "weighted"), kept, strict=True)))
    args["by_channel"] = amplitude.numel() > 1
    args["fraction"], args["leak"], args["gain"], args["slope"] = fraction, leak, gain, slope
    args["inner_border"] = leak == 1
    run("represented_forward", args, blocks)
    return Integrated(out, *kept)


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
    args = np.zeros((), integration.BACKWARD)
    args["blocks"], args["rows"], args["channels"], args["seen"] = blocks, rows, channels, seen
    _set(args, grad=grad, region=region, total=total, out=out, weights=weights, sums=sums)
    args["slope"] = slope
    run("represented_backward", args, blocks)
    return out, sums.sum(0)


def norm_backward(
    d: Tensor,
    scale: Tensor,
    total: Tensor,
    through: Tensor,
    x: Tensor,
    *,
    factor: float,
    of_input: Tensor | None,
) -> None:
    """Write q = scale (D - total / R) over D, and then q - through factor x to `of_input`, if any.

    Args:
        d: D `[R, C]`.
        scale, total, through: `[C]`.
        x: `[R, C]`.
        factor: of x.
        of_input: `[R, C]`; it may be `d`.
    """
    rows, channels = d.shape
    args = np.zeros((), integration.NORM_BACKWARD)
    args["blocks"] = blocks = -(-rows // integration.ROWS_A_BLOCK)
    args["rows"], args["channels"], args["factor"] = rows, channels, factor
    _set(args, q=d, scale=scale, total=total, through=through, x=x, of_input=of_input)
    run("represented_norm_backward", args, blocks)


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
    _set(args, **tensors)
    run("pack_spikes", args, words)
    if tensors["others"].any():
        return None
    active = tensors["active"].sum(0)
    blocks = channels // gram.OF_A_BLOCK
    args["active"], args["next_block"], args["blocks"] = active.data_ptr(), 0, blocks
    run("spike_covariance", args, blocks)
    return tensors["out"]


def _set(args: np.ndarray, **tensors: Tensor | None) -> None:
    """Set addresses of an argument struct; that of no tensor is 0."""
    for name, tensor in tensors.items():
        args[name] = 0 if tensor is None else tensor.data_ptr()
