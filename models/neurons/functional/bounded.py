"""A learned value that stays above a bound."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ....kernels.dispatch import is_traced


def at_least(value: Tensor, low: float) -> Tensor:
    """Return max(value, low); a gradient that would move a value further below is set to 0."""
    if value.device.type == "cpu" and not is_traced(value) and value.detach().amin() > low:
        return value  # a function of its own takes longer than many a small layer
    return _AtLeast.apply(value, low)  # type: ignore[return-value]


class _AtLeast(torch.autograd.Function):
    # With a separate `setup_context` torch inspects the signature at every call, for 60 µs.
    @staticmethod
    def forward(ctx: Any, value: Tensor, low: float) -> Tensor:
        ctx.low = low
        ctx.save_for_backward(value)
        return value.clamp(min=low)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (value,) = ctx.saved_tensors
        # Descent goes against the gradient.
        return grads[0].masked_fill((value <= ctx.low) & (grads[0] > 0), 0.0), None
