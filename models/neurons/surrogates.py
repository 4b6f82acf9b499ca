"""Spikes with a surrogate gradient: H(u) forward, a smooth derivative backward; and drawn spikes,
whose gradient is that of their probability.

The surrogates are those of `kernels.rules`. The forward pass keeps the dtype (`.to(u.dtype)`
instead of `.float()`), so that half precision and ONNX export work, and the function can be
pickled.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.overrides import handle_torch_function, has_torch_function_unary

from ...core.registry import unknown
from ...kernels.rules import SURROGATES


class _Spike(Function):
    @staticmethod
    def forward(u: Tensor, surrogate: str, alpha: float) -> Tensor:
        return (u > 0).to(u.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        u, ctx.surrogate, ctx.alpha = inputs
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (u,) = ctx.saved_tensors
        return grads[0] * SURROGATES[ctx.surrogate].formula(u, ctx.alpha), None, None


class _DrawnSpike(Function):
    @staticmethod
    def forward(u: Tensor, uniform: Tensor, kappa: float) -> Tensor:
        return (uniform < (kappa * u).sigmoid()).to(u.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        u, _, ctx.kappa = inputs
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (u,) = ctx.saved_tensors
        return grads[0] * SURROGATES["sigmoid"].formula(u, ctx.kappa), None, None


def drawn_spike(u: Tensor, uniform: Tensor, kappa: float) -> Tensor:
    """Return a spike at random: 1 with the probability p = σ(κ u).

        s = [uniform < p]        ds/du = κ p (1 - p), that of the mean of s

    It is H(u + noise) with logistic noise of scale 1/κ, and H(u) in the limit κ → ∞.

    Args:
        u: distance of the membrane from the threshold, any shape.
        uniform: numbers in [0, 1), like `u`.
        kappa: κ > 0.

    Returns:
        0 and 1 in the shape and dtype of `u`.

    Source: the noisy spiking network of arXiv 2305.16044, with logistic noise.
    """
    return _DrawnSpike.apply(u, uniform, kappa)  # type: ignore[return-value]


def spike(u: Tensor, surrogate: str = "sigmoid", alpha: float | None = None) -> Tensor:
    """Return H(u) with H(0) = 0, differentiated by a surrogate.

    Args:
        u: distance of the membrane from the threshold, any shape.
        surrogate: `sigmoid`, `atan`, `triangular`, `fast_sigmoid`, `gaussian`, `hat` or
            `lorentzian`.
        alpha: steepness; the surrogate's own default if None.

    Returns:
        0 and 1 in the shape and dtype of `u`.

    Raises:
        ConfigError: no surrogate has that name.
    """
    if surrogate not in SURROGATES:
        raise unknown("surrogate", surrogate, list(SURROGATES))
    if has_torch_function_unary(u):  # the step of a neuron is traced for an export
        return handle_torch_function(spike, (u,), u, surrogate, alpha)  # type: ignore[no-any-return]
    default = SURROGATES[surrogate].alpha
    return _Spike.apply(u, surrogate, default if alpha is None else alpha)  # type: ignore[return-value]
