"""How the answer of a network follows from its outputs of the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from .cell import sigmoid
from .nodes import Array
from .noise import drawn, drawn_margin

Kind = Literal["mean", "last", "first-crossing", "sums"]
Quantity = Literal["potential", "probability", "sigmoid", "count", "drawn"]
MARGIN = 1e-5  # of a quantity to its level, within which rounding may move a decision


@dataclass(frozen=True)
class Answer:
    """The answer of outputs `[T, B, K]`, as the readout of the network gives it.

    `mean` is their mean over the steps, `last` those of the last step. `sums` are those of all
    windows `[W, B, C, ...]`, one behind the other, `[B, W·C, ...]`. `first-crossing` is the
    outputs of the first step at which a quantity q of a class crosses a level, or of the last step:

        potential:    q = u_t
        probability:  q = softmax(u_t), of one output softmax((0, u_t)): both sides
        sigmoid:      q = σ(u_t)
        count:        q = Σ_{t' <= t} [u_{t'} > 1]
        drawn:        a spike, [noise_t < σ(kappa (u_t - level))]; of several classes that fire
                      the one with the greatest u is the answer

    Methods take the uniform numbers `noise` `[T, B, K]` of `drawn`, for these steps or more.

    Attributes:
        kind: one of these.
        quantity, level: of `first-crossing`.
        kappa, stream: of `drawn`, see `Neuron`.
    """

    kind: Kind = "mean"
    quantity: Quantity = "potential"
    level: float = 0.0
    kappa: float = 1.0
    stream: int = 0

    @property
    def chooses_step(self) -> bool:
        """Whether the outputs say which step gives the answer. A file without an operation that
        chooses a step then holds the outputs of all steps, and the caller chooses."""
        return self.kind == "first-crossing"

    @property
    def needs_former_steps(self) -> bool:
        """Whether the outputs of a step alone do not say if the level is crossed at it."""
        return self.chooses_step and self.quantity == "count"

    @property
    def draws(self) -> bool:
        """Whether it is drawn, so that it depends on uniform numbers."""
        return self.chooses_step and self.quantity == "drawn"

    def of(self, outputs: Array, noise: Array | None = None) -> Array:
        """Return the answer, `[B, K]`."""
        if self.kind == "mean":
            return outputs.mean(0)
        if self.kind == "last":
            return outputs[-1]
        if self.kind == "sums":
            by_sample = outputs.swapaxes(0, 1)
            return by_sample.reshape(len(by_sample), -1, *outputs.shape[3:])
        step, _ = self.decision(outputs, noise)
        return self.scores(outputs, noise)[step, np.arange(len(step))]

    def scores(self, outputs: Array, noise: Array | None = None) -> Array:
        """Return what the answer is taken from, `[T, B, K]`: the outputs.

        Where it is drawn, those that do not fire are lowered behind all that do.
        """
        if not self.draws:
            return outputs
        fires = self._beyond(outputs, noise)
        span = outputs.max(2, keepdims=True) - outputs.min(2, keepdims=True) + 1
        return outputs - span * (~fires & np.any(fires, axis=2, keepdims=True))

    def decision(self, outputs: Array, noise: Array | None = None) -> tuple[Array, Array]:
        """Return the step of the decision, `[B]`, and whether there was one."""
        if not self.chooses_step:
            batch = outputs.shape[1]
            return np.full(batch, len(outputs) - 1), np.ones(batch, bool)
        crossed = self.crossed(outputs, noise)
        decided: Array = np.any(crossed, axis=0, keepdims=True)[0]
        return np.where(decided, crossed.argmax(0), len(outputs) - 1), decided

    def crossed(self, outputs: Array, noise: Array | None = None) -> Array:
        """Return whether a class is beyond the level at each step, `[T, B]`."""
        return np.any(self._beyond(outputs, noise), axis=2, keepdims=True)[..., 0]

    def _beyond(self, outputs: Array, noise: Array | None) -> Array:
        if self.draws:
            return drawn(outputs - np.float32(self.level), *self._draw(outputs, noise))
        beyond: Array = self.quantities(outputs) > self.level
        return beyond

    def _draw(self, outputs: Array, noise: Array | None) -> tuple[Array, Array]:
        """Return κ and the uniform numbers of these steps."""
        assert noise is not None, "an answer that is drawn needs uniform numbers"
        return np.float32(self.kappa), noise[: len(outputs)]  # type: ignore[return-value]

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

    def near(self, outputs: Array, noise: Array | None = None) -> Array:
        """Return the samples whose decision rounding may move, `[B]`."""
        if not self.chooses_step:
            return np.zeros(outputs.shape[1], bool)
        if self.draws:
            margin = drawn_margin(outputs - self.level, *self._draw(outputs, noise))
            near = margin <= MARGIN * np.maximum(1, np.abs(outputs))
            return np.any(near, axis=(0, 2), keepdims=True)[0, :, 0]
        q, level = self.quantities(outputs), self.level
        if self.quantity == "count":
            q, level = outputs, 1.0
        near = np.abs(q - level) <= MARGIN * max(1.0, abs(level))
        return np.any(near, axis=(0, 2), keepdims=True)[0, :, 0]

    def options(self) -> dict[str, Any]:
        """Return the options of the readout that gives this answer; its name is `kind`."""
        if not self.chooses_step:
            return {}
        drawn_by = {"kappa": self.kappa} if self.draws else {}
        return {"quantity": self.quantity, "level": self.level, **drawn_by}

    def about(self) -> dict[str, object]:
        """Return the metadata of a file: nothing for `mean`."""
        if self.kind == "mean":
            return {}
        of_draws = {"stream": self.stream} if self.draws else {}
        return {"answer": self.kind, **self.options(), **of_draws}

    @staticmethod
    def of_file(about: Mapping[str, str]) -> Answer:
        """Return the answer that the metadata of a file describe; the inverse of `about`.

        Raises:
            KeyError, ValueError: they describe none.
        """
        kind = about.get("answer", "mean")
        if kind not in get_args(Kind):
            raise ValueError(f"there is no answer {kind!r}")
        found = Answer(kind)  # type: ignore[arg-type]
        if found.chooses_step:
            found = replace(found, quantity=about["quantity"], level=float(about["level"]))  # type: ignore[arg-type]
        if found.draws:
            found = replace(found, kappa=float(about["kappa"]), stream=int(about["stream"]))
        return found
