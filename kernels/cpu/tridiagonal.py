"""Block Cholesky of block-tridiagonal systems and substitution on the CPU, compiled by numba.

Arrays are float64, with the systems last, so that neighbouring ones fill a vector register. A block
of work is a group of systems, or of right-hand sides, through all steps.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .timing.compiled import compiled, inner, over_blocks

SYSTEMS_A_BLOCK = 64
COLUMNS_A_BLOCK = 128


def factored(diagonal: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
    """Return L_t, with 1 / L_ii on its diagonal, and B_t; NaN where a system has no factor.

        A_tt - B_{t-1} B_{t-1}ᵀ = L_t L_tᵀ        B_t = A_{t,t+1}ᵀ L_tᵀ⁻¹

    Args:
        diagonal: A_tt `[T, N, N, G]`, of which the lower triangles are read.
        above: A_{t,t+1} `[T - 1, N, N, G]`.
    """
    lower = diagonal.contiguous().clone()
    below = above.transpose(1, 2).contiguous().clone()
    blocks = -(-lower.shape[3] // SYSTEMS_A_BLOCK)
    over_blocks(factor_block, blocks, lower.numpy(), below.numpy())
    return lower, below


def substituted(factor: tuple[Tensor, Tensor], right: Tensor) -> Tensor:
    """Return A⁻¹ r for right-hand sides `[T, N, M, G]`, by the factor of A.

    Forward: L_t w_t = r_t - B_{t-1} w_{t-1}.  Backward: L_tᵀ z_t = w_t - B_tᵀ z_{t+1}.
    """
    z = right.contiguous().clone()
    steps, size, columns, systems = z.shape
    # Right-hand sides of one system lie side by side, as those of many systems do.
    rows, width = (1, columns) if systems == 1 else (columns, systems)
    groups = -(-width // COLUMNS_A_BLOCK)
    arrays = [part.numpy() for part in (*factor, z.view(steps, size, rows, width))]
    over_blocks(substitute_block, rows * groups, groups, *arrays)
    return z


@compiled
def factor_block(block, lower, below):
    """Factor a group of systems in place."""
    steps, size, _, systems = lower.shape
    begin = block * SYSTEMS_A_BLOCK
    end = min(systems, begin + SYSTEMS_A_BLOCK)
    for t in range(steps):
        here = lower[t, :, :, begin:end]
        if t > 0:
            before = below[t - 1, :, :, begin:end]
            for i in range(size):
                for j in range(i + 1):
                    for k in range(size):
                        subtract(here[i, j], before[i, k], before[j, k])
        for i in range(size):
            for j in range(i):
                for k in range(j):
                    subtract(here[i, j], here[i, k], here[j, k])
                scale(here[i, j], here[j, j])
            for k in range(i):
                subtract(here[i, i], here[i, k], here[i, k])
            pivots = here[i, i]
            for g in range(end - begin):
                pivots[g] = 1 / np.sqrt(pivots[g]) if pivots[g] > 0 else np.nan
        if t + 1 < steps:
            after = below[t, :, :, begin:end]
            for i in range(size):
                for j in range(size):
                    for k in range(j):
                        subtract(after[i, j], after[i, k], here[j, k])
                    scale(after[i, j], here[j, j])


@compiled
def substitute_block(block, groups, lower, below, z):
    """Solve for a group of right-hand sides in place."""
    steps, size, _, width = z.shape
    row, first = block // groups, block % groups * COLUMNS_A_BLOCK
    end = min(width, first + COLUMNS_A_BLOCK)
    mine = slice(first, end)
    factors = mine if lower.shape[3] == width else slice(0, 1)
    for t in range(steps):
        for i in range(size):
            if t > 0:
                for j in range(size):
                    subtract(
                        z[t, i, row, mine], below[t - 1, i, j, factors], z[t - 1, j, row, mine]
                    )
            for j in range(i):
                subtract(z[t, i, row, mine], lower[t, i, j, factors], z[t, j, row, mine])
            scale(z[t, i, row, mine], lower[t, i, i, factors])
    for t in range(steps - 1, -1, -1):
        for i in range(size - 1, -1, -1):
            if t + 1 < steps:
                for j in range(size):
                    subtract(z[t, i, row, mine], below[t, j, i, factors], z[t + 1, j, row, mine])
            for j in range(i + 1, size):
                subtract(z[t, i, row, mine], lower[t, j, i, factors], z[t, j, row, mine])
            scale(z[t, i, row, mine], lower[t, i, i, factors])


@inner
def subtract(to, factor, x):
    """to ← to - factor x; one factor may be that of all x."""
    if len(factor) == len(x):
        for i in range(len(x)):
            to[i] -= factor[i] * x[i]
    else:
        value = factor[0]
        for i in range(len(x)):
            to[i] -= value * x[i]


@inner
def scale(to, factor):
    """to ← factor to; one factor may be that of all."""
    if len(factor) == len(to):
        for i in range(len(to)):
            to[i] *= factor[i]
    else:
        value = factor[0]
        for i in range(len(to)):
            to[i] *= value
