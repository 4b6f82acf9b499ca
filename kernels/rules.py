"""Reset rules and surrogate gradients: their names, codes, formulas and defaults, once for all.

The reference neuron and the interpreter of the export graph compute with the formulas. The numba
and the Triton kernels know a rule by its code and have arithmetic of their own, which the tests
compare with the formula. The mathematics of the surrogates is that of `snntorch.surrogate`, under
the same names; snnTorch lacks `gaussian`, that of arXiv 2003.02944, `hat`, that of arXiv
1803.09574, and `lorentzian`, that of arXiv 2106.01862.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:  # `asnn inspect` reads the export graph's types without torch
    from torch import Tensor

ResetName = Literal["subtract", "zero", "none"]
SurrogateName = Literal[
    "sigmoid", "atan", "triangular", "fast_sigmoid", "gaussian", "hat", "lorentzian"
]


class Reset(NamedTuple):
    """What a spike does to the membrane.

    Attributes:
        code: the number by which compiled kernels know it.
        formula: `(v, s, size) -> v` after the reset, of tensors or arrays; `size` is the threshold
            θ, or the reset size where the neuron has one.
    """

    code: int
    formula: Callable[[Any, Any, Any], Any]


class Surrogate(NamedTuple):
    """The derivative ds/du that stands in for that of the spike s = H(u).

    Attributes:
        code: the number by which compiled kernels know it.
        formula: `(u, alpha) -> ds/du`.
        alpha: default steepness: the ASNN paper's for sigmoid, 1/0.4 for gaussian, 1 (of a
            threshold of 1) for hat, the paper's for lorentzian, snnTorch's for the others.
    """

    code: int
    formula: Callable[[Tensor, float], Tensor]
    alpha: float


def subtract(v: Any, s: Any, size: Any) -> Any:
    """v - size s."""
    return v - size * s


def zero(v: Any, s: Any, size: Any) -> Any:
    """v (1 - s)."""
    return v * (1 - s)


def none(v: Any, s: Any, size: Any) -> Any:
    """The membrane as it is."""
    return v


def sigmoid(u: Tensor, alpha: float) -> Tensor:
    """ds/du = α σ(αu) (1 - σ(αu))."""
    s = (alpha * u).sigmoid()
    return alpha * s * (1 - s)


def atan(u: Tensor, alpha: float) -> Tensor:
    """ds/du = (α/2) / (1 + (π/2 · αu)²)."""
    return alpha / 2 / (1 + (math.pi / 2 * alpha * u).square())


def triangular(u: Tensor, alpha: float) -> Tensor:
    """ds/du = α for u < 0, -α for u >= 0, as in snnTorch."""
    import torch

    return torch.where(u < 0, alpha, -alpha).to(u.dtype)


def fast_sigmoid(u: Tensor, alpha: float) -> Tensor:
    """ds/du = 1 / (1 + α|u|)²."""
    return (alpha * u.abs() + 1).square().reciprocal()


def gaussian(u: Tensor, alpha: float) -> Tensor:
    """ds/du = α/√(2π) e^{-(αu)²/2}, a normal density of deviation 1/α."""
    return (-(alpha * u).square() / 2).exp() * (alpha / math.sqrt(2 * math.pi))


def hat(u: Tensor, alpha: float) -> Tensor:
    """ds/du = α max(0, 1 - α|u|), a triangle of area 1."""
    return (1 - alpha * u.abs()).clamp(min=0) * alpha


def lorentzian(u: Tensor, alpha: float) -> Tensor:
    """ds/du = 1 / (1 + αu²)."""
    return (alpha * u.square() + 1).reciprocal()


RESETS: dict[str, Reset] = {
    "subtract": Reset(0, subtract),
    "zero": Reset(1, zero),
    "none": Reset(2, none),
}
SURROGATES: dict[str, Surrogate] = {
    "sigmoid": Surrogate(0, sigmoid, 4.0),
    "atan": Surrogate(1, atan, 2.0),
    "triangular": Surrogate(2, triangular, 1.0),
    "fast_sigmoid": Surrogate(3, fast_sigmoid, 25.0),
    "gaussian": Surrogate(4, gaussian, 2.5),
    "hat": Surrogate(5, hat, 1.0),
    "lorentzian": Surrogate(6, lorentzian, 10.0),
}

# Derivatives of a number of spikes by its level v / V - α (`functional.count`): their codes.
LEVEL_GRADIENTS: dict[str, int] = {"triangle": 8, "straight-through": 9}

# The codes as numbers, which compilers of kernels take for constants.
SUBTRACT, ZERO = RESETS["subtract"].code, RESETS["zero"].code
SIGMOID, ATAN = SURROGATES["sigmoid"].code, SURROGATES["atan"].code
TRIANGULAR, FAST_SIGMOID = SURROGATES["triangular"].code, SURROGATES["fast_sigmoid"].code
GAUSSIAN, HAT = SURROGATES["gaussian"].code, SURROGATES["hat"].code
LORENTZIAN = SURROGATES["lorentzian"].code
TRIANGLE, STRAIGHT_THROUGH = LEVEL_GRADIENTS["triangle"], LEVEL_GRADIENTS["straight-through"]
