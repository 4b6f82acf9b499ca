"""Batch norm and represented neurons, forward and backward: by the kernels, or in torch.

Tensors are `[T, B, C, ...]` or, of one step, `[B, C, ...]`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from ....kernels.dispatch import backend, missing_backend
from ....kernels.statistics import count_batch, update_running
from .count import IntegrateOptions
from .representation import ABOVE, decayed_mean, fire, input_gradient, region, slope


class Normed(NamedTuple):
    """Outputs of the neurons, and sums over time.

    Attributes:
        spikes: V k `[T, B, C, ...]`.
        region: of each neuron, int8; None if nothing learns.
        mean: of the norm, `[C]`; None without one.
        inverse: 1/σ, `[C]`; None without a norm.
        total: Σ_t x̂_t `[B, C, ...]`, over the steps of the input; None without a norm.
        weighted: Σ_t w_t x̂_t `[B, C, ...]`; None if w_t is the same for all steps.
    """

    spikes: Tensor
    region: Tensor | None
    mean: Tensor | None
    inverse: Tensor | None
    total: Tensor | None
    weighted: Tensor | None


class Gradients(NamedTuple):
    """Gradients of neurons and norm.

    Attributes:
        output: q `[B, C, ...]`: ∂L/∂z_t without what goes through the variance of the norm, unless
            there is one step of input.
        weighted: Σ_t w_t ∂L/∂z_t `[B, C, ...]`; `output` if nothing goes through the variance, and
            None if it is not asked for.
        norm_weight, norm_bias: `[C]`; None without a norm.
        through: n c `[C]` of ∂L/∂z_t = q - c x̂_t, with n samples of all steps; None if nothing is
            missing in q.
        above: Σ_t w_t ∂L/∂out_t summed over the neurons above V, `[C]`.
    """

    output: Tensor
    weighted: Tensor | None
    norm_weight: Tensor | None
    norm_bias: Tensor | None
    through: Tensor | None
    above: Tensor


def normed_neurons(
    z: Tensor,
    norm: nn.BatchNorm1d | nn.BatchNorm2d | None,
    amplitude: Tensor,
    options: IntegrateOptions,
    steps: int,
    *,
    by_batch: bool,
    learns: bool,
    leak: float,
    overwrite: bool = False,
) -> Normed:
    """Return what the neurons send for norm(z); its running statistics follow those of the batch.

    Args:
        z: `[T, B, C, ...]`, or `[1, B, C, ...]` if it is the same at every step.
        norm: batch norm, or None.
        amplitude: V, broadcast against a step.
        options: of the neurons.
        steps: T.
        by_batch: whether the norm uses the statistics of the batch.
        learns: whether a backward pass may follow.
        leak: λ of the weights of `weighted`.
        overwrite: whether `z` may be overwritten; else it stays as it is.
    """
    amplitude = amplitude.to(z.dtype)
    if has_kernels(z) and z.numel() > z.shape[2]:
        return _by_kernels(
            z, norm, amplitude, options, steps,
            by_batch=by_batch, learns=learns, leak=leak, overwrite=overwrite,
        )  # fmt: skip
    mean = inverse = total = weighted = None
    y = z
    if norm is not None:
        y, mean, inverse = _normalised(z, norm, by_batch=by_batch)
    if norm is not None and learns:
        x = (z - _by_channel(mean, z)).mul_(_by_channel(inverse, z))
        total = x.sum(0)
        weighted = decayed_mean(x, leak) if leak != 1 else None
    where = region(y, amplitude, options) if learns else None
    in_place = y is not z and len(y) == steps
    outputs = y if in_place else y.new_empty(steps, *y.shape[1:])
    spikes = fire(y, outputs, amplitude, options)
    return Normed(spikes, where, mean, inverse, total, weighted)


def normed_gradients(
    grad: Tensor,
    kept: Normed,
    norm_weight: Tensor | None,
    options: IntegrateOptions,
    *,
    steps: int,
    seen: int,
    by_batch: bool,
    of_input: bool,
) -> Gradients:
    """Return the gradients of what `normed_neurons` computed.

    Args:
        grad: ∂L/∂out `[T, B, C, ...]`.
        kept: of its result; spikes and statistics are not read.
        norm_weight: γ of the norm; None without one.
        options: of the neurons.
        steps: T.
        seen: steps of the input, 1 or T. Of one step D is the sum over all.
        by_batch: whether the norm used the statistics of the batch.
        of_input: whether `weighted` is asked for.
    """
    if grad.stride(0) == 0:
        grad = grad[:1]
    if grad.dtype != torch.float64:
        grad = grad.float()
    d, (plain, with_total, above) = _of_neurons(grad, kept, options, times=steps / seen)
    if norm_weight is None:
        return Gradients(d, d if of_input else None, None, None, None, above)
    assert kept.inverse is not None, "the neurons have a norm"
    scale = norm_weight * kept.inverse
    if not by_batch:
        q = d.mul_(_by_channel(scale, d.unsqueeze(0))[0])
        return Gradients(q, q if of_input else None, with_total, seen * plain, None, above)
    through = scale * with_total
    q, weighted = _through_norm(d, kept, scale, plain, through, seen=seen, of_input=of_input)
    of_bias = plain if seen == 1 else seen * plain
    return Gradients(q, weighted, with_total, of_bias, None if seen == 1 else through, above)


def has_kernels(x: Tensor) -> bool:
    """Return whether the kernels of these neurons compute with a tensor."""
    return x.device.type == "cpu" and missing_backend("cpu", x.dtype) is None


def _by_kernels(
    z: Tensor,
    norm: Any,
    amplitude: Tensor,
    options: IntegrateOptions,
    steps: int,
    *,
    by_batch: bool,
    learns: bool,
    leak: float,
    overwrite: bool,
) -> Normed:
    rows, channels = _rows(z), z.shape[2]
    mean = inverse = None
    if norm is None:
        zero, one = z.new_zeros(channels), z.new_ones(channels)
        of_norm = (zero, one, one, zero)
    else:
        mean, variance = norm.running_mean, norm.running_var
        if by_batch:
            weight: Any = count_batch(norm)
            of_all = rows.flatten(0, 1)
            mean, variance = torch.batch_norm_update_stats(of_all, mean, variance, weight)
        inverse = (variance + norm.eps).rsqrt_()
        of_norm = (mean, inverse, norm.weight, norm.bias)
    of_norm_learns = learns and norm is not None
    found = backend("cpu").integrate(
        rows,
        of_norm,
        amplitude.reshape(-1),
        _pair_of_weights(steps, len(z), options.leak, leak),
        fraction=options.fraction,
        leak=options.leak,
        gain=options.gain,
        slope=slope(options),
        keep=(learns, of_norm_learns, of_norm_learns and leak != 1),
        in_place=overwrite,
    )
    shape, out = z.shape[1:], found.out
    if len(shape) > 2:
        out = out.view(steps, shape[0], *shape[2:], channels).movedim(-1, 2)
    region, total, weighted = (_like(each, shape) for each in found[1:])
    return Normed(out, region, mean, inverse, total, weighted)


def _of_neurons(
    grad: Tensor, kept: Normed, options: IntegrateOptions, *, times: float
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Return D = ∂L/∂y_t times a factor, `[B, C, ...]`; and sums over the neurons of each channel,
    `[C]`: of D, of D Σ_t x̂_t, and of Σ_t w_t ∂L/∂out_t where they are above V."""
    where, total = kept.region, kept.total
    assert where is not None
    if has_kernels(grad):
        d, sums = backend("cpu").integrate_backward(
            _rows(grad),
            _step_rows(where),
            None if total is None else _step_rows(total),
            _weights(len(grad), options.leak),
            slope=slope(options) * times,
        )
        return _like(d, where.shape), sums.unbind(0)
    mean = decayed_mean(grad, options.leak)
    axes = [axis for axis in range(where.dim()) if axis != 1]
    d = input_gradient(mean, where, options).mul_(times)
    plain = d.sum(axes)
    with_total = plain if total is None else (d * total).sum(axes)
    return d, (plain, with_total, mean.masked_fill(where != ABOVE, 0.0).sum(axes))


def _through_norm(
    d: Tensor,
    kept: Normed,
    scale: Tensor,
    total: Tensor,
    through: Tensor,
    *,
    seen: int,
    of_input: bool,
) -> tuple[Tensor, Tensor | None]:
    """Return `output` and `weighted` of the gradients, of Σ D and n c; D is overwritten."""
    x, steps = (kept.total, seen) if kept.weighted is None else (kept.weighted, 1)
    assert x is not None
    neurons = d.numel() // d.shape[1]
    factor = 1 / (steps * seen * neurons)
    other = d if seen == 1 else torch.empty_like(d) if of_input else None
    if has_kernels(d):
        backend("cpu").norm_backward(
            _step_rows(d), scale, total, through, _step_rows(x),
            factor=factor, of_input=None if other is None else _step_rows(other),
        )  # fmt: skip
    else:
        scale, total, through = (
            _by_channel(each, d.unsqueeze(0))[0] for each in (scale, total, through)
        )
        d.sub_(total, alpha=1 / neurons).mul_(scale)
        if other is not None:
            torch.sub(d, through * x, alpha=factor, out=other)
    return d, other if of_input else None


def _normalised(z: Tensor, norm: Any, *, by_batch: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return norm(z), mean and 1/σ."""
    rows, mean, variance = z.flatten(0, 1), norm.running_mean, norm.running_var
    if by_batch:
        mean, variance = torch.zeros_like(mean), torch.zeros_like(variance)
    # With the momentum 1, zeros become mean and unbiased variance of the batch.
    y = batch_norm(rows, mean, variance, norm.weight, norm.bias, by_batch, 1.0, norm.eps)
    if by_batch:
        update_running(norm, mean, variance)
        samples = rows.numel() // rows.shape[1]
        variance = variance * ((samples - 1) / samples)
    return y.unflatten(0, z.shape[:2]), mean, (variance + norm.eps).rsqrt()


@lru_cache(maxsize=256)
def _weights(steps: int, leak: float) -> Tensor:
    """Return w_t ∝ λ^(T-1-t) with the sum 1, `[T]`."""
    weights = torch.tensor([leak ** (steps - 1 - t) for t in range(steps)], dtype=torch.float64)
    return (weights / weights.sum()).float()


@lru_cache(maxsize=256)
def _pair_of_weights(steps: int, seen: int, leak: float, of_input: float) -> Tensor:
    """Return the weights `[2, T]` of the kernel: an input of one step has the weight 1."""
    weights = torch.stack([_weights(steps, leak), _weights(steps, of_input)])
    return weights if seen == steps else weights.fill_(1.0)


def _rows(x: Tensor) -> Tensor:
    """Return `[T, B, C, ...]` as contiguous rows of channels `[T, R, C]`."""
    if x.dim() == 3:
        return x.contiguous()
    return x.movedim(2, -1).contiguous().view(len(x), -1, x.shape[2])


def _step_rows(x: Tensor) -> Tensor:
    """Return one step `[B, C, ...]` as contiguous rows `[R, C]`."""
    return x.contiguous() if x.dim() == 2 else _rows(x.unsqueeze(0))[0]


def _like(rows: Any, shape: torch.Size) -> Any:
    """Return rows `[R, C]` in the shape of a step `[B, C, ...]`, channels last in memory."""
    if rows is None or len(shape) == 2:
        return rows
    return rows.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1)


def _by_channel(values: Any, x: Tensor) -> Tensor:
    """Return values `[C]` in the shape that broadcasts over x `[T, B, C, ...]`."""
    return values.view(1, 1, -1, *[1] * (x.dim() - 3))
