"""The codes as the author's published implementation computes them, with its bugs.

Source: github.com/hhx0320/ASNN. Its bugs: values that have fired are set to 0 and compared again
with `>=`, so at a threshold at or below 0 all values fire again; the thresholds fall by 1/n with n
the number of steps, whatever the number of slots.
"""

from __future__ import annotations

from torch import Tensor


def published_planes(x: Tensor, planes: Tensor, divisor: int) -> Tensor:
    """Return code[t] = Σ_i planes[t, i] · H(x_i >= 1 - i/n), x_{i+1} = x_i where it did not fire.

    Args:
        x: images `[B, ...]`.
        planes: 1 where slot i fires at step t, `[T, K]`.
        divisor: n.

    Returns:
        `[T, B, ...]`; counts where several slots fire at one step.
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
