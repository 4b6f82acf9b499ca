"""How many outputs an input reaches, exactly."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ...kernels.memory import buffers

EXACT = 2**24  # whole numbers up to here are exact in float32


class FanOut:
    """How many operations each input of a layer costs, and the sum of them over given inputs.

        fan_out_i = Σ_o [w_{o,i} ≠ 0]        effective = Σ_i [x_i ≠ 0] fan_out_i

    over the outputs o that exist: it is the gradient of Σ y by x with every weight replaced by 1
    or 0, so that strides, zeros around an image, groups and dilation are those of the layer itself.
    The sum over i is one product of matrices, in parts so small that float32 is exact.

    Args:
        layer: convolution, linear layer or mean pool; anything else passes each value on once.
        shape: of one sample, (C, H, W) or (F).

    Attributes:
        dense: operations of any input and any weight.
        inputs: values of one sample.
    """

    def __init__(self, layer: nn.Module, shape: tuple[int, ...]) -> None:
        dense = _reached(layer, shape, every=True)
        weight = getattr(layer, "weight", None)
        pruned = isinstance(weight, Tensor) and bool((weight == 0).any())
        effective = _reached(layer, shape, every=False) if pruned else dense
        self.dense = float(dense.double().sum())
        self.inputs = dense.numel()
        flat = _flat(effective.unsqueeze(0))[0].double()
        weights = _parts(flat)
        self._split = weights.shape[1]
        self._matrix = torch.cat([weights, _parts(torch.ones_like(flat))], 1)

    def count(self, x: Tensor, *, spikes: bool) -> Tensor:
        """Return effective operations and inputs that are not 0, of each sample, `[2, N]` float64.

        Args:
            x: `[N, C, H, W]` or `[N, F]`.
            spikes: whether all values are 0 or 1.
        """
        rows = _flat(x)
        # On CUDA products of float32 may be rounded, if the user allows it.
        there = rows.to(torch.float64 if rows.is_cuda else torch.float32) if spikes else _mask(rows)
        self._matrix = self._matrix.to(there)
        with torch.autocast(rows.device.type, enabled=False):
            sums = (there @ self._matrix).double()
        return torch.stack([sums[:, : self._split].sum(1), sums[:, self._split :].sum(1)])


def _mask(rows: Tensor) -> Tensor:
    """Return 1 where a value is not 0."""
    if rows.device.type != "cpu":
        return rows.ne(0).to(torch.float64 if rows.is_cuda else torch.float32)
    # Memory that is new costs more than the comparison.
    return torch.ne(rows, 0, out=buffers.take(*rows.shape))


def _flat(x: Tensor) -> Tensor:
    """Return `[N, L]`, in the order in which images lie in memory: channels next to each other."""
    return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x.flatten(1)


def _reached(layer: nn.Module, shape: tuple[int, ...], *, every: bool) -> Tensor:
    """Return how many outputs each input reaches, float32: whole numbers that it holds exactly."""
    if isinstance(layer, nn.Linear):
        return _links(layer.weight, every=every).sum(0)
    if not isinstance(layer, nn.Conv2d | nn.AvgPool2d):
        return torch.ones(shape)
    with torch.enable_grad():
        x = torch.zeros(1, *shape, requires_grad=True)
        if isinstance(layer, nn.AvgPool2d):
            window = (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
            y = avg_pool2d(x, *window, divisor_override=1)
        else:
            y = nn.Conv2d._conv_forward(layer, x, _links(layer.weight, every=every), None)
        (reached,) = torch.autograd.grad(y, x, torch.ones_like(y))
    return reached[0]


def _links(weight: Tensor, *, every: bool) -> Tensor:
    weight = weight.detach().cpu()
    return torch.ones(weight.shape) if every else weight.ne(0).float()


def _parts(values: Tensor) -> Tensor:
    """Return `[L, G]`: values in G columns, the sum of each so small that it is exact."""
    most = EXACT - float(values.max())
    before = values.cumsum(0) - values
    part = (before // most).long()
    columns = torch.zeros(len(values), int(part.max()) + 1)
    columns[torch.arange(len(values)), part] = values.float()
    return columns
