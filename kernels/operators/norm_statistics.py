"""`asnn::norm_statistics`: mean and variance of the rows of each batch norm, `[G, C]`, float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..dispatch import backend
from ..statistics import batch_statistics
from .definition import define


def _norm_statistics(x: Tensor, *, norm_steps: Sequence[int], static: bool) -> Any:
    return batch_statistics(x.contiguous(), norm_steps, backend(x.device.type), static=static)


def _fake_norm_statistics(x: Tensor, *, norm_steps: Sequence[int], static: bool) -> Any:
    size = len(norm_steps), x.shape[2]
    return x.new_empty(size, dtype=torch.float64), x.new_empty(size, dtype=torch.float64)


norm_statistics = define(
    "norm_statistics",
    "(Tensor x, *, int[] norm_steps, bool static) -> (Tensor mean, Tensor variance)",
    _norm_statistics,
    _fake_norm_statistics,
)
