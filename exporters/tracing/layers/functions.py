"""Functions of torch that consist of several layers, and more functions of each value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..elementwise import of_one, of_several
from ..values import Const
from .axes import chunk, transpose
from .matrices import matmul
from .reductions import reduced, softmax

if TYPE_CHECKING:
    from ..lowering import Lowering

BELOW = -1e9
_SQUARES = of_one(torch.square)
_PRODUCT = of_several(2, torch.mul)
_TOTAL = of_several(2, torch.add)
_MEAN, _SUM, _SOFTMAX = reduced("mean"), reduced("sum"), softmax(log=False)


def rms_norm(
    low: Lowering, x: Any, shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Any:
    """x / √(mean x² + eps) · weight over the last axes."""
    least = torch.finfo(torch.float32).eps if eps is None else eps
    squares = _MEAN(low, _SQUARES(low, x), list(range(-len(shape), 0)), True)
    scale = of_one(lambda value: 1 / torch.sqrt(value + least))(low, squares)
    y = _PRODUCT(low, x, scale)
    return y if weight is None else _PRODUCT(low, y, weight)


def vector_norm(
    low: Lowering, x: Any, order: float = 2, dims: Any = None, keepdim: bool = False, **_: Any
) -> Any:
    """√Σ x², or Σ |x|."""
    if order == 1:
        return _SUM(low, of_one(torch.abs)(low, x), dims, keepdim)
    if order != 2:
        raise low.refusal(f"it is a norm of order {order}", "use the norm of order 1 or 2")
    return of_one(torch.sqrt)(low, _SUM(low, _SQUARES(low, x), dims, keepdim))


def attention(
    low: Lowering, q: Any, k: Any, v: Any, mask: Any = None, dropout: float = 0.0,
    is_causal: bool = False, *, scale: float | None = None, **_: Any,
) -> Any:  # fmt: skip
    """softmax(scale q kᵀ + mask) v."""
    if dropout:
        why = "it drops values in evaluation mode too"
        raise low.refusal(why, "give dropout_p=0.0 if not self.training")
    size = low.size(low.traced(k), low.traced(k).axes[-1])
    by = 1 / math.sqrt(size) if scale is None else scale
    scores = of_one(lambda x: x * by)(low, matmul(low, q, transpose(low, k, -2, -1)))
    if is_causal:
        n, m = (low.size(scores, axis) for axis in scores.axes[-2:])
        mask = Const.of(torch.ones(n, m, dtype=torch.bool).tril())
    if mask is not None and not isinstance(mask, Const):
        why = "its mask depends on the input"
        raise low.refusal(why, "add it to the scores: softmax(q @ k.transpose(-2, -1) + mask) @ v")
    if mask is not None:
        scores = _TOTAL(low, scores, low.constant(mask, _added))
    return matmul(low, _SOFTMAX(low, scores, -1), v)


def _added(mask: Tensor) -> Tensor:
    """Return a mask as what is added to scores: where it is False or -∞, a number below which the
    exponential is 0."""
    values = torch.where(mask, 0.0, -torch.inf) if mask.dtype == torch.bool else mask
    return values.clamp(min=BELOW)


def prelu(low: Lowering, x: Any, weight: Any) -> Any:
    """max(x, 0) + w min(x, 0), w a number, or one for each channel, the axis behind the batch."""
    axes = len(low.traced(x).axes)
    by_channel = low.constant(weight, lambda w: w.reshape(1, -1, *[1] * (axes - 2)))
    return of_several(2, lambda a, w: a.clamp(min=0) + w * a.clamp(max=0))(low, x, by_channel)


def _softplus(x: Any, beta: float = 1, threshold: float = 20) -> Any:
    return (x.clamp(min=0) * beta + torch.log(torch.exp(-torch.abs(x * beta)) + 1)) / beta


def _gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        cubic = x + 0.044715 * (x * x * x)
        return 0.5 * x * (torch.tanh(math.sqrt(2 / math.pi) * cubic) + 1)
    return 0.5 * x * (torch.erf(x * math.sqrt(0.5)) + 1)


def glu(low: Lowering, x: Any, dim: int = -1) -> Any:
    """a σ(b) of the two halves of an axis."""
    a, b = chunk(low, x, 2, dim)
    return of_several(2, lambda a, b: a * torch.sigmoid(b))(low, a, b)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "rms_norm": rms_norm,
    "linalg_vector_norm": vector_norm,
    "scaled_dot_product_attention": attention,
    "prelu": prelu,
    "gelu": of_one(_gelu),
    "erf": of_one(torch.erf),
    "glu": glu,
    "rsqrt": of_one(lambda x: 1 / torch.sqrt(x)),
    "softplus": of_one(_softplus),
    "mish": of_one(lambda x: x * torch.tanh(_softplus(x))),
    "log_sigmoid": of_one(lambda x: -_softplus(-x)),
    "threshold": of_one(lambda x, level, value: torch.where(x > level, x, value)),
    "celu": of_one(lambda x, a=1.0: x.clamp(min=0) + a * (torch.exp(x.clamp(max=0) / a) - 1)),
}
