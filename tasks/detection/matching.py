"""Which of the boxes that are found show which true ones."""

from __future__ import annotations

import torch
from torch import Tensor

from ...datasets.boxes import present
from .boxes import overlaps


def matches(found: Tensor, truth: Tensor, overlap: float = 0.5) -> tuple[Tensor, Tensor]:
    """Return which boxes of one sample are right, and which true ones are found.

    From the best box on, each takes the true box of its class that it overlaps most, if that is at
    least by `overlap` and no better box has taken it; of equal overlaps the last, as in `curves`.

    Args:
        found: rows (x1, y1, x2, y2, class, score), the best first, `[D, 6]`; NaN for none.
        truth: rows (x1, y1, x2, y2, class), `[M, 5]`; NaN for none.
        overlap: intersection over union.

    Returns:
        Masks `[D]` and `[M]`, false where there is no box.
    """
    there, true = present(found[:, :5]), present(truth)
    shared = overlaps(found[:, :4].double(), truth[:, :4].double())
    fits = (found[:, None, 4] == truth[None, :, 4]) & (shared >= overlap)
    right, hit = torch.zeros_like(there), torch.zeros_like(true)
    for row in there.nonzero().flatten().tolist():
        open_ones = fits[row] & ~hit
        if bool(open_ones.any()):
            right[row] = True
            of_open = torch.where(open_ones, shared[row], -1.0)
            hit[(of_open == of_open.max()).nonzero()[-1]] = True
    return right, hit
