"""Which kernels compute exact times."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ...kernels.dispatch import Kernels, is_traced, missing_backend


def on_cpu(times: Tensor, kernels: Kernels) -> bool:
    """Return whether the compiled kernels compute the spikes of inputs at these times.

    They are for float64 on the CPU. Elsewhere, and while torch traces, the reference does.

    Raises:
        ConfigError: `kernels` is `fused`, and they cannot.
    """
    if kernels == "reference":
        return False
    why = None
    if times.device.type != "cpu":
        why = "they compute exact times on the CPU only"
    elif times.dtype != torch.float64:
        why = f"they compute exact times in float64, not {str(times.dtype).removeprefix('torch.')}"
    elif is_traced(times):
        why = "torch traces"
    else:
        why = missing_backend("cpu", torch.float32)
    if why is not None and kernels == "fused":
        raise ConfigError(
            "the fused kernels cannot compute this layer",
            why=why,
            remedy="use kernels 'auto', which takes the reference there",
        )
    return why is None
