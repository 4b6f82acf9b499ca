"""What the author's published code computes, faults included, so that it can be compared.

Source: github.com/hhx0320/ASNN. Its faults: values are compared with `>=` after those that have
fired were set to 0, so that every threshold at or below 0 makes everything fire again; and the
thresholds fall by 1/n, where n is the number of steps, whatever the number of slots.
"""

from __future__ import annotations

from torch import Tensor


def published_planes(x: Tensor, planes: Tensor, divisor: int) -> Tensor:
    """Return code[t] = Σ_i planes[t, i] · H(x_i >= 1 - i/n), x_{i+1} = x_i where it did not fire.

    Args:
        x: images `[B, ...]`.
        planes: which steps slot i adds to, `[T, K]`.
        divisor: n.

    Returns:
        `[T, B, ...]`; counts, where several slots add to one step.
    """
    code = x.new_zeros(planes.shape[0], *x.shape)
    left = x
    for i, column in enumerate(planes.T.tolist(), start=1):
        fired = (left >= 1.0 - i / divisor).to(x.dtype)
        left = left - left * fired
        for t, member in enumerate(column):
            if member:
                code[t] += fired
    return code
