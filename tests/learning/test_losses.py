"""Losses against their formulas."""

import numpy as np
import pytest
import torch

from asnn.datasets.mixing import Targets
from asnn.learning.losses import loss_of

LOGITS = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
FIRST = torch.tensor([0, 1, 2, 3, 0])
SECOND = torch.tensor([3, 2, 1, 0, 1])


def cross_entropy(logits: np.ndarray, target: np.ndarray, smoothing: float) -> float:
    """-Σ_k q_k log softmax_k with q = (1 - ε) onehot + ε/K, averaged over samples."""
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    q = np.full(logits.shape, smoothing / logits.shape[-1])
    q[np.arange(len(target)), target] += 1 - smoothing
    return float(-(q * log_p).sum(-1).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_formulas(smoothing, weight):
    z, first, second = LOGITS.numpy(), FIRST.numpy(), SECOND.numpy()

    def mean(y):
        return cross_entropy(z.mean(0), y, smoothing)

    def tet(y):
        return np.mean([cross_entropy(step, y, smoothing) for step in z])

    for name, loss in (("mean", mean), ("tet", tet)):
        wanted = weight * loss(first) + (1 - weight) * loss(second)
        found = loss_of(name, LOGITS, Targets(FIRST, SECOND, weight), smoothing).item()
        assert found == pytest.approx(wanted, rel=1e-5)
    # The negative control: the two losses are not the same thing.
    assert abs(mean(first) - tet(first)) > 0.05
