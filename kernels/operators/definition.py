"""How an operator is defined."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def define(name: str, schema: str, function: Any, fake: Any) -> Any:
    """Register `asnn::name`, whose function neither changes its inputs nor returns views of them.

    Args:
        name: of the operator.
        schema: its arguments and results.
        function: the implementation, for all devices.
        fake: returns empty tensors of the shapes, dtypes and strides of the results.
    """
    operator: Any = torch.library.custom_op(
        f"asnn::{name}", function, mutates_args=(), schema=schema
    )
    operator.register_fake(fake)
    return operator


def refuse_second_derivative(ctx: Any, *grads: Any) -> Any:
    """The gradient of a backward operator."""
    raise RuntimeError(
        "the fused kernels have no second derivative: use kernels 'reference' for it"
    )


def empty_like(x: Tensor) -> Tensor:
    """Return an empty contiguous tensor."""
    return torch.empty_like(x, memory_format=torch.contiguous_format)
