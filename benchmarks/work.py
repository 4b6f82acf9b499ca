"""The calls that are measured: a training step and an inference."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

from .baselines import Network
from .case import Case

CallKind = Literal["train", "inference"]
LEARNING_RATE = 1e-3


class TrainingStep:
    """Zero the gradients, forward, cross-entropy of the mean logits, backward, Adam.

    Every baseline uses the same optimizer, in torch's fused form.
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
        # Gradients of an earlier training step would make `predict` fold norms at each call.
        self.network.zero_grad(set_to_none=True)
        self.images = case.images()

    def __call__(self) -> None:
        self.network.predict(self.images)


def create_call(call: CallKind, network: Network, case: Case) -> TrainingStep | Inference:
    """Return the call to be timed; it can be repeated."""
    return TrainingStep(network, case) if call == "train" else Inference(network, case)
