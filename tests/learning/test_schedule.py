"""Learning rates, compared with torch and with their formulas."""

import math

import pytest
import torch

from asnn.learning.recipe.schema import TrainSection
from asnn.learning.schedule import learning_rate


def test_cosine_is_torchs_cosine():
    train = TrainSection(epochs=5, lr=0.1, final_lr=0.001)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, eta_min=0.001)
    for step in range(20):
        assert learning_rate(train, step, 4) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


def test_warm_up_rises_linearly_before_the_cosine():
    train = TrainSection(epochs=4, lr=0.8, final_lr=0.0, warmup_epochs=2)
    rates = [learning_rate(train, step, 4) for step in range(16)]
    assert rates[:8] == pytest.approx([0.1 * (step + 1) for step in range(8)])
    assert rates[8:] == pytest.approx(
        [0.4 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    )


def test_steps_and_constant():
    train = TrainSection(epochs=6, lr=1.0, schedule="step", decay_epochs=2, decay_factor=0.1)
    assert [learning_rate(train, 3 * epoch, 3) for epoch in range(6)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
    train = TrainSection(epochs=6, lr=0.5, schedule="constant")
    assert {learning_rate(train, step, 3) for step in range(18)} == {0.5}


def test_a_stage_has_a_rate_of_its_own():
    train = TrainSection(epochs=9, lr=1.0, final_lr=0.1, warmup_epochs=0)
    rates = [learning_rate(train, step, 2, 3, 0.5) for step in range(7)]
    assert rates == pytest.approx([0.3 + 0.2 * math.cos(math.pi * step / 6) for step in range(7)])
    constant = TrainSection(epochs=9, lr=1.0, schedule="constant", warmup_epochs=2)
    assert learning_rate(constant, 0, 2, 3, 0.5) == 0.125
    assert learning_rate(constant, 5, 2, 3, 0.5) == 0.5
