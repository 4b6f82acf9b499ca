"""The solution of a least-squares problem with fixed coefficients, as two passes over the steps.

Where coefficients and step sizes do not depend on the input, the factor is made of constants:

    w_t = S_t⁻¹ (r_t - A_{t-1,t}ᵀ w_{t-1})        S_t = A_tt - A_{t-1,t}ᵀ S_{t-1}⁻¹ A_{t-1,t}
    z_t = w_t - S_t⁻¹ A_{t,t+1} z_{t+1}

That is how it is exported, and what its operations are counted by.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..layer import OperationCounter


class Substitution(NamedTuple):
    """w_t = x_t enter_t + offset_t + w_{t-1} forward_t;   z_t = w_t + z_{t+1} backward_t.

    Attributes:
        enter: `[T, G, E, N]`, of G systems with E inputs and N unknowns a step.
        offset: `[T, G, N]`.
        forward, backward: `[T, G, N, N]`; 0 at the first and at the last step.
    """

    enter: Tensor
    offset: Tensor
    forward: Tensor
    backward: Tensor


def substitution_of(
    diagonal: Tensor, above: Tensor, enter: Tensor, constant: Tensor | None = None
) -> Substitution:
    """Return the two passes that solve A z = r with r_t = enter_t x_t + constant_t.

    Args:
        diagonal, above: blocks of A, as `normal_equations` gives them.
        enter: `[T, G, N, E]`.
        constant: `[T, G, N]`; None for 0.
    """
    steps = len(diagonal)
    own, to_next = (part.permute(0, 3, 1, 2).double() for part in (diagonal, above))
    offset = own.new_zeros(own.shape[:3]) if constant is None else constant.double()
    rest = own.new_zeros(own.shape[1:])
    entering, offsets, forward, backward = [], [], [], []
    inverse = rest
    for t in range(steps):
        before = to_next[t - 1] if t else rest
        inverse = torch.linalg.inv(own[t] - before.mT @ inverse @ before)
        entering.append((inverse @ enter[t].double()).mT)
        offsets.append((inverse @ offset[t].unsqueeze(2)).squeeze(2))
        forward.append(-(inverse @ before.mT).mT)
        backward.append(-(inverse @ to_next[t]).mT if t + 1 < steps else rest)
    return Substitution(*(torch.stack(part) for part in (entering, offsets, forward, backward)))


def count_substitution(
    counter: OperationCounter, x: Tensor, *, systems: int, inputs: int, unknowns: int
) -> None:
    """Count the two passes for an input `[T, B, ...]`: they multiply values, whatever those are.

    Args:
        counter: of the layer.
        x: its input.
        systems: that are solved for each sample.
        inputs, unknowns: E and N of each.
    """
    steps, batch = x.shape[:2]
    each = torch.full((steps, batch), float(inputs * unknowns), dtype=torch.float64)
    each[1:] += unknowns**2
    each[: steps - 1] += unknowns**2
    operations = systems * each
    events = x.ne(0).flatten(2).sum(2).double()
    counter.add(operations, events, dense=float(operations.sum()), inputs=x.numel())
