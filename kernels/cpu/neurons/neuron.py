"""One step of the neurons of a register of channels, and its adjoint, for `passes`."""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...rules import (
    ATAN,
    GAUSSIAN,
    HAT,
    LORENTZIAN,
    SIGMOID,
    STRAIGHT_THROUGH,
    SUBTRACT,
    TRIANGLE,
    TRIANGULAR,
    ZERO,
)
from ..simd import compiled, inlined, multiply_add, raise_exponent, select, splat

LOG2_E = math.log2(math.e)
LN_2 = math.log(2)
NORMAL = 1 / math.sqrt(2 * math.pi)
ROUNDING = 1.5 * 2**23  # added to a float32, it rounds to an integer


class Neuron(NamedTuple):
    """The functions of `make_neuron`, compiled where a pass calls them."""

    number_of: Callable[..., Any]
    after_reset: Callable[..., Any]
    adjoint: Callable[..., Any]


def make_neuron(lanes: int) -> Neuron:
    """Return the functions for registers of so many channels.

    In them `rule` is the argument struct of the passes; v, d, g and n are registers: a membrane
    before its reset, the gradient of the output, that of the membrane after its reset, and the
    number of spikes. `size` is the threshold where the table holds none.
    """

    @compiled
    def constant(value):
        return splat(lanes, np.float32(value))

    @compiled
    def exp_of_minus(z):
        """e^-z for 0 <= z <= 80, to 1e-6: 2^k by its exponent, the rest by its Taylor series."""
        shifted = multiply_add(z, constant(-LOG2_E), constant(ROUNDING))
        k = shifted - constant(ROUNDING)
        r = multiply_add(k, constant(-LN_2), constant(0.0) - z)
        p = multiply_add(r, constant(1 / 720), constant(1 / 120))
        p = multiply_add(r, p, constant(1 / 24))
        p = multiply_add(r, p, constant(1 / 6))
        p = multiply_add(r, p, constant(0.5))
        p = multiply_add(r, p, constant(1.0))
        p = multiply_add(r, p, constant(1.0))
        return raise_exponent(p, shifted)

    @compiled
    def derivative(u, surrogate, alpha):
        one = constant(1.0)
        if surrogate == SIGMOID:  # σ(z)(1 - σ(z)) is even: with e^-|z| nothing overflows
            z = abs(u) * alpha
            limit = constant(80.0)
            e = exp_of_minus(select(z < limit, z, limit))
            return alpha * e / ((one + e) * (one + e))
        if surrogate == ATAN:
            z = constant(math.pi / 2) * alpha * u
            return constant(0.5) * alpha / (one + z * z)
        if surrogate == TRIANGULAR:
            return select(u < constant(0.0), alpha, constant(0.0) - alpha)
        if surrogate == GAUSSIAN:
            z, limit = alpha * u, constant(80.0)
            half = constant(0.5) * z * z
            return constant(NORMAL) * alpha * exp_of_minus(select(half < limit, half, limit))
        if surrogate == HAT:
            height = one - alpha * abs(u)
            return select(height > constant(0.0), height, constant(0.0)) * alpha
        if surrogate == LORENTZIAN:
            return one / (one + alpha * (u * u))
        z = alpha * abs(u) + one
        return one / (z * z)

    @compiled
    def ceil(x):
        """⌈x⌉ for 0 <= x < 2²²."""
        nearest = (x + constant(ROUNDING)) - constant(ROUNDING)
        return select(nearest < x, nearest + constant(1.0), nearest)

    @inlined
    def number_of(v, size, threshold, rule):
        """The number of spikes of a membrane."""
        zero, one = constant(0.0), constant(1.0)
        if rule.most == 0:
            u = v / size - threshold if rule.sized != 0 else v - threshold
            return select(u > zero, one, zero)
        above = v - threshold * size
        if rule.most == 1:
            return select(above > zero, one, zero)
        level, most = above / size, constant(rule.most)
        level = select(level > zero, level, zero)
        return ceil(select(level < most, level, most))

    @inlined
    def after_reset(v, n, size, rule):
        """The membrane after its reset."""
        if rule.reset == SUBTRACT:
            return v - size * n
        if rule.reset == ZERO:
            return select(n > constant(0.0), constant(0.0), v)
        return v

    @inlined
    def adjoint(v, n, d, g, size, threshold, alpha, rule):
        """The gradients of the membrane before its reset, of the threshold, and of the size."""
        zero = constant(0.0)
        inverse = constant(1.0) / size
        if rule.most > 0:
            e = d - g
            slope, moment = slopes(v, size, threshold, inverse, alpha, rule)
            return g + size * e * slope, zero, n * e + size * e * moment
        amount = zero  # gradient of what `subtract` takes off
        passes = rule.detached == 0  # whether a reset has a gradient of its spikes
        if rule.reset == SUBTRACT:
            d, amount = d - size * g if passes else d, zero - n * g
        elif rule.reset == ZERO:
            d, g = d - v * g if passes else d, select(n > zero, zero, g)
        if rule.sized != 0:
            e = d * derivative(v / size - threshold, rule.surrogate, alpha)
            return g + e * inverse, zero - e, amount - e * v * (inverse * inverse)
        e = d * derivative(v - threshold, rule.surrogate, alpha)
        return g + e, amount - e, zero

    @compiled
    def slopes(v, size, threshold, inverse, alpha, rule):
        """The derivatives of the number of spikes by the membrane and by the size."""
        zero, one, most = constant(0.0), constant(1.0), constant(rule.most)
        if rule.surrogate == STRAIGHT_THROUGH or rule.surrogate == TRIANGLE:
            level = (v - threshold * size) / size
            up, down = one + level, most - level
            if rule.surrogate == TRIANGLE:
                slope = select(up < down, up, down)
                slope = select(slope < one, slope, one)
                slope = select(slope > zero, slope, zero) * inverse
            else:
                slope = select(up > zero, select(down < zero, zero, inverse), zero)
            return slope, zero - slope * v * inverse
        slope, moment = zero, zero
        for j in range(rule.most):
            at = threshold + constant(j)
            of_one = derivative(v - at * size, rule.surrogate, alpha)
            slope, moment = slope + of_one, moment - at * of_one
        return slope, moment

    return Neuron(number_of, after_reset, adjoint)
