"""Losses, compared with their formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.datasets.transforms.mixing import Targets
from asnn.learning import check_recipe
from asnn.tasks.losses import Loss, distillation_loss

LOGITS = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
FIRST = torch.tensor([0, 1, 2, 3, 0])
SECOND = torch.tensor([3, 2, 1, 0, 1])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def cross_entropy(logits: np.ndarray, target: np.ndarray, smoothing: float) -> float:
    """-Σ_k q_k log softmax_k with q = (1 - ε) onehot + ε/K, averaged over samples."""
    q = np.full(logits.shape, smoothing / logits.shape[-1])
    q[np.arange(len(target)), target] += 1 - smoothing
    return float(-(q * log_softmax(logits)).sum(-1).mean())


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
        found = Loss(name, smoothing)(LOGITS, Targets(FIRST, SECOND, weight)).item()
        assert found == pytest.approx(wanted, rel=1e-5)
    # The negative control: the two losses differ.
    assert abs(mean(first) - tet(first)) > 0.05


@pytest.mark.parametrize("weight", [1.0, 0.3])
@pytest.mark.parametrize(("tet_lambda", "phi"), [(0.05, 1.0), (1.0, -0.5), (0.5, 0.0)])
def test_the_regularizer_of_tet(weight, tet_lambda, phi):
    """(1 - λ) times the mean cross-entropy of the steps plus λ times the mean of (logits - φ)²."""
    z = LOGITS.numpy()
    labels = sum(
        part * np.mean([cross_entropy(step, y.numpy(), 0.0) for step in z])
        for part, y in ((weight, FIRST), (1 - weight, SECOND))
    )
    regularizer = sum((value - phi) ** 2 for value in z.flatten()) / z.size
    loss = Loss("tet", tet_lambda=tet_lambda, tet_phi=phi)
    found = loss(LOGITS, Targets(FIRST, SECOND, weight)).item()
    assert found == pytest.approx((1 - tet_lambda) * labels + tet_lambda * regularizer, rel=1e-5)
    plain = Loss("tet")(LOGITS, Targets(FIRST, SECOND, weight)).item()
    assert plain == pytest.approx(labels, rel=1e-5) and abs(plain - found) > 0.01


def test_the_regularizer_requires_tet():
    with pytest.raises(ConfigError) as caught:
        check_recipe({"train": {"tet_lambda": 0.05}})
    assert "train: tet_lambda is 0.05, the loss is 'mean'" in caught.value.why
    assert "set train.loss=tet" in caught.value.why
    recipe = check_recipe({"train": {"tet_lambda": 0.05, "loss": "tet"}})
    assert recipe.train.make_loss() == Loss("tet", 0.0, 0.05, 1.0)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_is_the_mean_divergence_over_steps(temperature):
    teacher = np.random.default_rng(1).normal(size=(5, 4)) * 2
    p = np.exp(log_softmax(teacher / temperature))
    wanted = 0.0
    for step in LOGITS.numpy():
        log_q = log_softmax(step / temperature)
        wanted += (p * (np.log(p) - log_q)).sum(-1).mean() / len(LOGITS)
    found = distillation_loss(LOGITS, torch.from_numpy(teacher), temperature).item()
    assert found == pytest.approx(temperature**2 * wanted, rel=1e-5)
    # The negative control: the other direction is another number.
    q = np.exp(log_softmax(LOGITS.numpy() / temperature))
    other = (q * (np.log(q) - np.log(p))).sum(-1).mean() * temperature**2
    assert abs(other - found) > 1e-3


@given(st.integers(1, 4), st.integers(1, 4), st.integers(2, 5), st.integers(0, 99))
def test_distillation_vanishes_for_equal_softmaxes(steps, batch, classes, seed):
    teacher = torch.randn(batch, classes, generator=torch.Generator().manual_seed(seed))
    logits = (teacher + 3.0).expand(steps, -1, -1).clone().requires_grad_()  # softmax is the same
    loss = distillation_loss(logits, teacher, 2.0)
    loss.backward()
    assert abs(loss.item()) < 1e-5 and float(logits.grad.abs().max()) < 1e-5
