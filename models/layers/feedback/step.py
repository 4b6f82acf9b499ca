"""The step of neurons by the fused kernels, for layers that need every step before the next."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ....kernels.dispatch import backend, is_traced
from ....kernels.fused_layer import rule_of
from ....kernels.step import fused_step, missing_step
from ...neurons.lif import Lif

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def missing_step_of(x: Tensor) -> str | None:
    """Return why the kernels do not compute single steps of `x`; None if they do."""
    if is_traced(x):
        return "torch does not see single steps"
    return missing_step(x.device.type, x.dtype)


def fused_step_of(neuron: Lif, channels: int) -> Step:
    """Return `step(x, v)`: spikes, and membranes after their reset, all `[B, C, H, W]`.

    Results are in channels-last order, and so are arguments best.
    """
    tensors, options = neuron.kernel_equations(1)
    rule = rule_of(**options, sized=False, learns_threshold=True)
    values = [tensors[name] for name in ("leak", "gain", "threshold")]
    factors = torch.cat(values).expand(len(values), channels).contiguous()

    def step(x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        rows = (_rows(x), _rows(v))
        spikes, after = fused_step(*rows, factors, rule, backend(x.device.type))
        return _as_image(spikes, x), _as_image(after, x)

    return step


def _rows(image: Tensor) -> Tensor:
    return image.permute(0, 2, 3, 1).contiguous().view(-1, image.shape[1])


def _as_image(rows: Tensor, like: Tensor) -> Tensor:
    batch, channels, height, width = like.shape
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)
