"""Batch norm whose running statistics are right from the first batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...kernels.statistics import update_running


class _BiasCorrected(nn.modules.batchnorm._BatchNorm):
    """The running statistics follow those of the n-th batch with the weight max(momentum, 1/n).

    They are the means over all batches until n = 1 / momentum, and exponential averages from then
    on; torch's begin at 0 and 1, and are wrong by (1 - momentum)^n of that. Without momentum they
    are means over all batches, with the momentum 0 they stay, as those of torch.
    """

    bias_corrected = True

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        running = self.running_mean is not None and self.running_var is not None
        if not (self.training and running and input.numel()):
            return super().forward(input)
        assert self.running_mean is not None and self.running_var is not None
        mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        # With the momentum 1, these become mean and unbiased variance of the batch.
        y = functional.batch_norm(
            input, mean, variance, self.weight, self.bias, True, 1.0, self.eps
        )
        update_running(self, mean, variance)
        return y


class BatchNorm1d(_BiasCorrected, nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` with the running statistics of `_BiasCorrected`."""


class BatchNorm2d(_BiasCorrected, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` with the running statistics of `_BiasCorrected`."""


PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, BatchNorm1d, BatchNorm2d)
"""Batch norms that kernels, folding and exports compute; a subclass may compute something else."""
