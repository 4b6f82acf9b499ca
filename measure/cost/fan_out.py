"""Fan-out: the exact number of outputs that an input contributes to."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ...kernels.memory import buffers
from ...models.layer import SPIKES, Signal, synaptic_weights, whole_numbers

MAX_EXACT = 2**24  # integers up to here are exact in float32


class FanOut:
    """The number of operations that each input of a layer causes, and their sum over an input.

        fan_out_i = Σ_o [w_{o,i} ≠ 0]        effective = Σ_i [x_i ≠ 0] fan_out_i

    over the outputs o. It is computed as the gradient of Σ y by x with every weight replaced by 1
    or 0, so that stride, padding, groups and dilation are those of the layer itself. The sum over i
    is one matrix product, split into parts so small that float32 is exact.

    Args:
        layer: convolution, linear layer or mean pool; any other layer has the fan-out `additions`,
            by default 1.
        shape: of one sample, (C, H, W) or (F).

    Attributes:
        dense: operations per sample, whatever the input and the weights.
        inputs: values per sample.
    """

    def __init__(self, layer: nn.Module, shape: tuple[int, ...]) -> None:
        dense = _fan_out(layer, shape, dense=True)
        weight = getattr(layer, "weight", None)
        pruned = isinstance(weight, Tensor) and bool((weight == 0).any())
        effective = _fan_out(layer, shape, dense=False) if pruned else dense
        self._keep(dense, effective)

    @classmethod
    def of_weight(cls, weight: Tensor) -> FanOut:
        """Return the fan-out of the inputs of a weight `[O, F]`."""
        found = cls.__new__(cls)
        found._keep(_links(weight, dense=True).sum(0), _links(weight, dense=False).sum(0))
        return found

    def _keep(self, dense: Tensor, effective: Tensor) -> None:
        self.dense = float(dense.double().sum())
        self.inputs = dense.numel()
        flat = _flat(effective.unsqueeze(0))[0].double()
        operations = _exact_columns(flat)
        self._split = operations.shape[1]
        self._matrix = torch.cat([operations, _exact_columns(torch.ones_like(flat))], 1)

    def count(self, x: Tensor, given: Signal) -> Tensor:
        """Return effective operations and nonzero inputs of each sample, `[2, N]` float64.

        A count k stands for k operations of each weight, and for k inputs.

        Args:
            x: `[N, C, H, W]` or `[N, F]`.
            given: what it is.
        """
        spikes = given == SPIKES
        if given.kind == "counts":
            return self._sums(_flat(whole_numbers(x, given.amplitude, 1)).double())
        rows = _flat(x)
        # CUDA may round products of float32 (TF32), if the user allows it.
        mask = rows.to(torch.float64 if rows.is_cuda else torch.float32) if spikes else _mask(rows)
        return self._sums(mask)

    def _sums(self, mask: Tensor) -> Tensor:
        self._matrix = self._matrix.to(mask)
        with torch.autocast(mask.device.type, enabled=False):
            sums = (mask @ self._matrix).double()
        return torch.stack([sums[:, : self._split].sum(1), sums[:, self._split :].sum(1)])


def _mask(rows: Tensor) -> Tensor:
    """Return 1 for each nonzero value, 0 for the others."""
    if rows.device.type != "cpu":
        return rows.ne(0).to(torch.float64 if rows.is_cuda else torch.float32)
    # Fresh memory would cost more than the comparison.
    return torch.ne(rows, 0, out=buffers.take(*rows.shape))


def _flat(x: Tensor) -> Tensor:
    """Return `[N, L]`; images in channels-last order, as they are in memory."""
    return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x.flatten(1)


def _fan_out(layer: nn.Module, shape: tuple[int, ...], *, dense: bool) -> Tensor:
    """Return the fan-out of each input, float32 (exact integers)."""
    if isinstance(layer, nn.Linear):
        return _links(layer.weight, dense=dense).sum(0)
    if not isinstance(layer, nn.Conv2d | nn.AvgPool2d):
        return torch.full(shape, float(getattr(layer, "additions", 1)))
    with torch.enable_grad():
        x = torch.zeros(1, *shape, requires_grad=True)
        if isinstance(layer, nn.AvgPool2d):
            window = (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
            y = avg_pool2d(x, *window, divisor_override=1)
        else:
            (weight,) = synaptic_weights(layer)
            y = nn.Conv2d._conv_forward(layer, x, _links(weight, dense=dense), None)
        (fan_out,) = torch.autograd.grad(y, x, torch.ones_like(y))
    return fan_out[0]


def _links(weight: Tensor, *, dense: bool) -> Tensor:
    weight = weight.detach().cpu()
    return torch.ones(weight.shape) if dense else weight.ne(0).float()


def _exact_columns(values: Tensor) -> Tensor:
    """Return `[L, G]`: the values distributed over G columns whose sums are exact in float32."""
    max_sum = MAX_EXACT - float(values.max())
    before = values.cumsum(0) - values
    column = (before // max_sum).long()
    columns = torch.zeros(len(values), int(column.max()) + 1)
    columns[torch.arange(len(values)), column] = values.float()
    return columns
