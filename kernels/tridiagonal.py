"""Positive definite block-tridiagonal systems, solved in time and memory that grow linearly.

    A_{t,t-1} z_{t-1} + A_tt z_t + A_{t,t+1} z_{t+1} = r_t,    A_{t,t-1} = A_{t-1,t}ᵀ

for G systems at once with M right-hand sides each. On a CPU numba computes a block Cholesky factor
and substitutes; the adjoint λ = A⁻¹ ∂L/∂z takes the same factor:

    ∂L/∂r = λ        ∂L/∂A_tt = -(λ_t z_tᵀ + z_t λ_tᵀ) / 2
    ∂L/∂A_{t,t+1} = -(λ_t z_{t+1}ᵀ + z_t λ_{t+1}ᵀ)

summed over the right-hand sides. Elsewhere the reference, `reduced`, computes all even steps at
once after all odd ones, over and over: log₂ T operations of torch, which torch differentiates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..core.errors import ConfigError
from .dispatch import Kernels, is_traced, missing_backend, needs_aten


def solve_tridiagonal(
    diagonal: Tensor, above: Tensor, right: Tensor, *, kernels: Kernels = "auto"
) -> Tensor:
    """Return z `[T, N, M, G]`, the solutions of G systems for M right-hand sides each.

    Args:
        diagonal: A_tt `[T, N, N, G]`, float64.
        above: A_{t,t+1} `[T - 1, N, N, G]`.
        right: r `[T, N, M, G]`.
        kernels: `auto` takes numba where it can, `reference` never.

    Raises:
        ConfigError: a system is not positive definite.
    """
    traced = is_traced(right) or needs_aten()
    has_numba = right.device.type == "cpu" and missing_backend("cpu", torch.float32) is None
    if kernels != "reference" and has_numba and not traced:
        return _Solution.apply(diagonal, above, right)  # type: ignore[return-value]
    own, to_next, r = (part.permute(0, 3, 1, 2) for part in (diagonal, above, right))
    return reduced(own, to_next, r).permute(0, 2, 3, 1)


def reduced(diagonal: Tensor, above: Tensor, right: Tensor) -> Tensor:
    """Return the solution `[T, G, N, M]` by cyclic reduction.

    From the rows of odd steps z_o = A_oo⁻¹ (r_o - A_{o,o-1} z_{o-1} - A_{o,o+1} z_{o+1}); inserted
    in the others, these are a system of half as many steps.

    Args:
        diagonal: A_tt `[T, G, N, N]`.
        above: A_{t,t+1} `[T - 1, G, N, N]`.
        right: r `[T, G, N, M]`.
    """
    steps = len(diagonal)
    if steps == 1:
        return torch.cholesky_solve(right, _cholesky(diagonal))
    factor = _cholesky(diagonal[1::2])
    to_left, to_right = above[::2].transpose(-1, -2), above[1::2]  # A_{o,o-1}, A_{o,o+1}
    inside = len(to_right)  # odd steps with a step after them
    left, own = (torch.cholesky_solve(part, factor) for part in (to_left, right[1::2]))
    next_one = torch.cholesky_solve(to_right, factor[:inside])
    from_left, from_right = to_left.transpose(-1, -2), to_right.transpose(-1, -2)

    def inserted(whole: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Subtract from the even steps what comes from the odd step `after` and `before` each."""
        shift = torch.cat([torch.zeros_like(whole[:1]), after])
        padding = torch.zeros_like(whole[len(before) :])
        return whole - torch.cat([before, padding]) - shift

    even = inserted(diagonal[::2], from_left @ left, from_right @ next_one)
    between = -(from_left[:inside] @ next_one)
    r = inserted(right[::2], from_left @ own, from_right @ own[:inside])
    z = reduced(even, between, r)
    odd = own - left @ z[: len(left)]
    odd = torch.cat([odd[:inside] - next_one @ z[1 : inside + 1], odd[inside:]])
    if len(odd) < len(z):
        odd = torch.cat([odd, torch.zeros_like(z[:1])])
    return torch.stack([z, odd], 1).flatten(0, 1)[:steps]


def _cholesky(blocks: Tensor) -> Tensor:
    factor, faults = torch.linalg.cholesky_ex(blocks)
    if not is_traced(blocks) and bool((faults != 0).any()):
        raise _singular()
    return factor


def _singular() -> ConfigError:
    return ConfigError(
        "the least-squares problem has no unique solution",
        why="its normal equations are not positive definite in float64",
        remedy="give equations or initial values that determine every variable, and step sizes "
        "near the scale of the solution",
    )


class _Solution(torch.autograd.Function):
    """Block Cholesky by numba, and its adjoint."""

    @staticmethod
    def forward(ctx: Any, diagonal: Tensor, above: Tensor, right: Tensor) -> Tensor:
        from .cpu.tridiagonal import factored, substituted

        factor = factored(diagonal, above)
        # NaN in the input is not a fault of the problem: it shows in the result.
        if not factor[0].isfinite().all() and diagonal.isfinite().all() and above.isfinite().all():
            raise _singular()
        z = substituted(factor, right)
        ctx.learns = any(ctx.needs_input_grad[:2])
        ctx.save_for_backward(*factor, z if ctx.learns else None)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        from .cpu.tridiagonal import substituted

        *factor, z = ctx.saved_tensors
        adjoint = substituted(tuple(factor), grads[0])  # type: ignore[arg-type]
        if not ctx.learns:
            return None, None, adjoint
        products = _outer(adjoint, z)
        of_diagonal = -(products + products.transpose(1, 2)) / 2
        of_above = -(_outer(adjoint[:-1], z[1:]) + _outer(z[:-1], adjoint[1:]))
        return of_diagonal, of_above, adjoint


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Return Σ_m a_m b_mᵀ of each step and system, `[T, N, N, G]`."""
    if a.shape[3] == 1:
        return (a[..., 0] @ b[..., 0].transpose(1, 2)).unsqueeze(-1)
    rows = [
        torch.stack([(a[:, i] * b[:, j]).sum(1) for j in range(b.shape[1])], 1)
        for i in range(a.shape[1])
    ]
    return torch.stack(rows, 1)
