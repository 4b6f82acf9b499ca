"""The two calls that are measured: a training step and an inference."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

from .baselines import Network
from .case import Case

What = Literal["train", "inference"]
LEARNING_RATE = 1e-3


class TrainingStep:
    """Forget the gradients, forward, cross-entropy of the mean logits, backward, Adam.

    The same optimiser, in torch's fused form, for every contestant.
    """

    def __init__(self, network: Network, case: Case) -> None:
        self.network = network.train()
        self.images, self.labels = case.images(), case.labels()
        self.optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        functional.cross_entropy(self.network(self.images), self.labels).backward()
        self.optimizer.step()
        self.network.reset()


class Inference:
    """Mean logits of a batch in evaluation mode, without gradients."""

    def __init__(self, network: Network, case: Case) -> None:
        self.network = network.eval()
        # Whoever infers has no gradients left of a training step.
        self.network.zero_grad(set_to_none=True)
        self.images = case.images()

    def __call__(self) -> None:
        self.network.predict(self.images)


def create_call(what: What, network: Network, case: Case) -> TrainingStep | Inference:
    """Return what is to be timed, ready to be called again and again."""
    return TrainingStep(network, case) if what == "train" else Inference(network, case)
