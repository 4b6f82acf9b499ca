"""A linear differential equation on a grid as a least-squares problem, after arXiv 2410.06074.

Unknown are D variables and their derivatives up to the order R - 1 at T times, z_t^{d,k}. The rows
of the problem are, with a weight ω each,

    Σ_{d,k} c_{t,e,d,k} z_t^{d,k} = b_{t,e}                              E equations at each time
    z_t^{d,k} = init_t^{d,k}                                            for t < I and k < K
    h^k (Σ_{j≥k} h^{j-k}/(j-k)! z_t^{d,j} - z_{t+1}^{d,k}) = 0           Taylor, forward
    h^k (Σ_{j≥k} (-h)^{j-k}/(j-k)! z_{t+1}^{d,j} - z_t^{d,k}) = 0        and backward in time

Their normal equations are block tridiagonal with blocks of D·R. The row of k = R - 1 says that the
highest derivative is constant from a time to the next. Everything is solved in float64: normal
equations square the condition number, and the row of k has the factor h^k.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ...kernels.dispatch import Kernels
from ...kernels.tridiagonal import solve_tridiagonal


class RowWeights(NamedTuple):
    """ω of each kind of rows: the problem is to minimise Σ ω² (residual)²."""

    equation: float = 1.0
    initial: float = 1.0
    smoothness: float = 1.0


EQUAL = RowWeights()


def solve_ode(
    c: Tensor,
    b: Tensor,
    init: Tensor | None,
    h: Tensor | float,
    *,
    weights: RowWeights = EQUAL,
    kernels: Kernels = "auto",
) -> Tensor:
    """Return z `[T, B, D, R]` in the dtype of `b`, differentiable by all tensors.

    Args:
        c: coefficients `[T, B, E, D, R]`, or `[T, 1, E, D, R]` for one system of all samples.
        b: right-hand sides `[T, B, E]`.
        init: known values `[I, B, D, K]` of the first I times and K orders; None for none.
        h: step sizes, `[T - 1, B]`, `[T - 1, 1]` or one number.
        weights: ω of the rows.
        kernels: see `solve_tridiagonal`.

    Raises:
        ConfigError: shapes that do not fit, or no unique solution.

    >>> b = torch.zeros(3, 1, 1)
    >>> c = torch.tensor([1.0, 2.0]).expand(3, 1, 1, 1, 2)      # u + 2 u' = 0
    >>> z = solve_ode(c, b, torch.ones(1, 1, 1, 1), 0.1)        # u(0) = 1
    >>> [round(float(u), 3) for u in z[:, 0, 0, 0]]
    [1.0, 0.952, 0.905]
    """
    steps, batch, equations = b.shape
    if c.dim() != 5 or c.shape[0] != steps or c.shape[1] not in (1, batch):
        raise _misfit("c", c, f"[{steps}, {batch} or 1, {equations}, D, R]")
    if c.shape[2] != equations:
        raise _misfit("c", c, f"{equations} equations, as b has")
    variables, order = c.shape[3:]
    h = torch.as_tensor(h, dtype=torch.float64, device=b.device)
    if h.dim() and (h.dim() != 2 or h.shape[0] != steps - 1 or h.shape[1] not in (1, batch)):
        raise _misfit("h", h, f"[{steps - 1}, {batch} or 1] or one number")
    known = (0, 0) if init is None else (init.shape[0], init.shape[3])
    if init is not None and (
        init.shape[1:3] != (batch, variables) or known[0] > steps or known[1] > order
    ):
        raise _misfit("init", init, f"[{steps} or less, {batch}, {variables}, {order} or less]")
    shared = c.shape[1] == 1 and (h.dim() == 0 or h.shape[1] == 1)
    systems = 1 if shared else batch
    c = c.double().expand(-1, systems, -1, -1, -1)
    h = h.expand(steps - 1, systems)
    # The samples are right-hand sides of one system, or systems with one right-hand side each.
    side = 2 if shared else 1
    diagonal, above = normal_equations(c, h, known, weights)
    right = right_hand_sides(
        c,
        b.double().unsqueeze(side),
        None if init is None else init.double().unsqueeze(side),
        weights,
    )
    z = solve_tridiagonal(diagonal, above, right, kernels=kernels)
    z = z[..., 0] if shared else z[:, :, 0]
    return z.transpose(1, 2).unflatten(2, (variables, order)).to(b.dtype)


def normal_equations(
    c: Tensor, h: Tensor, known: tuple[int, int], weights: RowWeights = EQUAL
) -> tuple[Tensor, Tensor]:
    """Return the blocks A_tt `[T, N, N, G]` and A_{t,t+1} `[T - 1, N, N, G]`, N = D·R.

    Args:
        c: `[T, G, E, D, R]`, float64.
        h: `[T - 1, G]`.
        known: I and K, the number of times and of orders that are given.
        weights: ω of the rows.
    """
    steps, systems, _, variables, order = c.shape
    rows = c.flatten(3)
    own = weights.equation**2 * torch.einsum("tgei,tgej->tgij", rows, rows)
    given = _given(known, steps, variables, order).to(c)
    own = own + weights.initial**2 * torch.diag_embed(given).unsqueeze(1)
    # With w = (h^k z^k), both kinds of Taylor rows have constant coefficients.
    forward, backward = _taylor(order, 1.0).to(c), _taylor(order, -1.0).to(c)
    one = torch.eye(order).to(c)
    powers = h.unsqueeze(2) ** torch.arange(order, device=c.device)
    scale = weights.smoothness**2 * powers.unsqueeze(3) * powers.unsqueeze(2)

    def of_all(block: Tensor) -> Tensor:
        """Return a block of one variable, `[R, R]`, for all of them, `[T - 1, G, N, N]`."""
        each = torch.eye(variables).to(c)
        spread = torch.einsum("de,tgij->tgdiej", each, scale * block)
        return spread.flatten(4).flatten(2, 3)

    nothing = own.new_zeros(1, systems, variables * order, variables * order)
    before = torch.cat([of_all(forward.T @ forward + one), nothing])
    after = torch.cat([nothing, of_all(backward.T @ backward + one)])
    diagonal, above = own + before + after, of_all(-(forward.T + backward))
    return diagonal.permute(0, 2, 3, 1), above.permute(0, 2, 3, 1)


def right_hand_sides(
    c: Tensor, b: Tensor, init: Tensor | None = None, weights: RowWeights = EQUAL
) -> Tensor:
    """Return the right-hand sides of the normal equations, `[T, N, M, G]`.

    Args:
        c: `[T, G, E, D, R]`, float64.
        b: `[T, M, G, E]`.
        init: `[I, M, G, D, K]`; None for none, or for zeros.
        weights: ω of the rows.
    """
    rows = weights.equation**2 * c.flatten(3)
    if rows.shape[1] == 1:
        right = (b[:, :, 0] @ rows[:, 0]).transpose(1, 2).unsqueeze(3)
    else:
        right = sum(
            rows[:, :, e].transpose(1, 2).unsqueeze(2) * b[..., e].unsqueeze(1)
            for e in range(rows.shape[2])
        )
    assert isinstance(right, Tensor)
    if init is None:
        return right
    times, _, _, _, orders = init.shape
    order = c.shape[4]
    all_orders = torch.nn.functional.pad(init, (0, order - orders)).flatten(3)
    given = weights.initial**2 * all_orders.permute(0, 3, 1, 2)
    return torch.cat([right[:times] + given, right[times:]])


def _given(known: tuple[int, int], steps: int, variables: int, order: int) -> Tensor:
    """Return 1 for each unknown that is given, `[T, N]`."""
    given = torch.zeros(steps, variables, order)
    given[: known[0], :, : known[1]] = 1
    return given.flatten(1)


def _taylor(order: int, sign: float) -> Tensor:
    """Return the matrix of sign^{j-k} / (j-k)! for j ≥ k, `[R, R]`."""
    return torch.tensor(
        [
            [sign ** (j - k) / math.factorial(j - k) if j >= k else 0.0 for j in range(order)]
            for k in range(order)
        ],
        dtype=torch.float64,
    )


def _misfit(name: str, value: Tensor, expected: str) -> ConfigError:
    return ConfigError(f"{name} has the shape {list(value.shape)}, expected is {expected}")
