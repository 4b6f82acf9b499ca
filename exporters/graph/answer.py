"""How the answer of a network follows from its outputs of the steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .cell import sigmoid
from .nodes import Array

Kind = Literal["mean", "last", "first-crossing"]
Quantity = Literal["potential", "probability", "sigmoid", "count"]
MARGIN = 1e-5  # of a quantity to its level, within which rounding may move a decision


@dataclass(frozen=True)
class Answer:
    """The answer of outputs `[T, B, K]`, as the readout of the network gives it.

    `mean` is their mean over the steps, `last` those of the last step. `first-crossing` is the
    outputs of the first step at which a quantity q of a class crosses a level, or of the last step:

        potential:    q = u_t
        probability:  q = softmax(u_t), of one output softmax((0, u_t)): both sides
        sigmoid:      q = σ(u_t)
        count:        q = Σ_{t' <= t} [u_{t'} > 1]

    Attributes:
        kind: one of these.
        quantity, level: of `first-crossing`.
    """

    kind: Kind = "mean"
    quantity: Quantity = "potential"
    level: float = 0.0

    def of(self, outputs: Array) -> Array:
        """Return the answer, `[B, K]`."""
        if self.kind == "mean":
            return outputs.mean(0)
        if self.kind == "last":
            return outputs[-1]
        step, _ = self.decision(outputs)
        return outputs[step, np.arange(len(step))]

    def decision(self, outputs: Array) -> tuple[Array, Array]:
        """Return the step of the decision, `[B]`, and whether there was one."""
        if self.kind != "first-crossing":
            batch = outputs.shape[1]
            return np.full(batch, len(outputs) - 1), np.ones(batch, bool)
        crossed = np.any(self.quantities(outputs) > self.level, axis=2, keepdims=True)[..., 0]
        decided: Array = np.any(crossed, axis=0, keepdims=True)[0]
        return np.where(decided, crossed.argmax(0), len(outputs) - 1), decided

    def quantities(self, outputs: Array) -> Array:
        """Return q, `[T, B, K]`; the probabilities of one output are those of its two sides."""
        if self.quantity == "count":
            return (outputs > 1).astype(np.float32).cumsum(0)
        if self.quantity == "potential":
            return outputs
        if self.quantity == "sigmoid":
            return sigmoid(outputs)
        if outputs.shape[2] == 1:
            outputs = np.concatenate([np.zeros_like(outputs), outputs], 2)
        e = np.exp(outputs - outputs.max(2, keepdims=True))
        return e / e.sum(2, keepdims=True)

    def near(self, outputs: Array) -> Array:
        """Return the samples whose decision rounding may move, `[B]`."""
        if self.kind != "first-crossing":
            return np.zeros(outputs.shape[1], bool)
        q, level = self.quantities(outputs), self.level
        if self.quantity == "count":
            q, level = outputs, 1.0
        near = np.abs(q - level) <= MARGIN * max(1.0, abs(level))
        return np.any(near, axis=(0, 2), keepdims=True)[0, :, 0]

    def about(self) -> dict[str, object]:
        """Return the metadata of a file: nothing for `mean`."""
        if self.kind == "mean":
            return {}
        if self.kind == "last":
            return {"answer": "last"}
        return {"answer": self.kind, "quantity": self.quantity, "level": self.level}
