"""Batch norm with statistics over all processes of a distributed training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from ...kernels.statistics import update_running


class SyncedNorm(_BatchNorm):
    """Batch norm over the samples of all processes, `[N, C, ...] -> [N, C, ...]`.

        y = (x - mean) / √(variance + eps) weight + bias

    In training, mean and (biased) variance are over the samples of all processes, which may have
    different numbers of them; in evaluation it is an ordinary batch norm. `torch.nn.SyncBatchNorm`
    supports GPUs only.

    Args:
        norm: the batch norm whose parameters and running statistics it uses.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.bias_corrected = getattr(norm, "bias_corrected", False)
        self.train(norm.training)

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and distributed.is_initialized()):
            return super().forward(input)
        x = input.float()
        others = [axis for axis in range(x.dim()) if axis != 1]
        count = x.new_tensor([x.numel() / x.shape[1]])
        sums, count = _sum(torch.cat([x.sum(others), count])).tensor_split([-1])
        mean = _per_channel(sums / count, x)
        variance = _sum((x - mean).square().sum(others)) / count
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp(min=1)
            update_running(self, mean.flatten(), unbiased)
        scale = _per_channel(self.weight / (variance + self.eps).sqrt(), x)
        return ((x - mean) * scale + _per_channel(self.bias, x)).to(input.dtype)


def sync_norms(model: nn.Module) -> None:
    """Replace the batch norms of a network by `SyncedNorm`, in place."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm) and not isinstance(child, SyncedNorm):
                setattr(module, name, SyncedNorm(child))


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = grads[0].clone()
        distributed.all_reduce(total)
        return total


def _sum(values: Tensor) -> Tensor:
    """Return the sum over all processes; its gradient is the sum of their gradients."""
    return _Sum.apply(values)  # type: ignore[return-value]


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    """Return values `[C]` in the shape that broadcasts over x `[N, C, ...]`."""
    return values.view(1, -1, *[1] * (x.dim() - 2))
