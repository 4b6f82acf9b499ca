"""Codes that assign each value to a slot: `temporal` and `embedding`.

Source: arXiv 2408.12407, without the bugs of the published code; `variant="published"` has them
(github.com/hhx0320/ASNN): values that have fired are set to 0 and compared again with `>=`, so at a
threshold at or below 0 all values fire again; the thresholds fall by 1/n with n the number of
steps, whatever the number of slots.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..base import Coding, Moments, check_images
from .thresholds import ThresholdRule, create_thresholds

Variant = Literal["fixed", "published"]
MAX_EMBEDDING_STEPS = 16


class SlotCoding(Coding):
    """A code whose steps are a function of each value's slot.

    Args:
        steps: number of time steps T.
        thresholds: `linear` or `quantile`.
        variant: `fixed`, or `published` for the published code with its bugs.

    Raises:
        ConfigError: too few or too many steps, or `published` with other thresholds than linear.

    Attributes:
        divisor: n in the published thresholds θ_i = 1 - i/n; T, or that of the hybrid code around
            this one.
    """

    def __init__(
        self,
        *,
        steps: int,
        thresholds: ThresholdRule = "linear",
        variant: Variant = "fixed",
    ) -> None:
        super().__init__(steps=steps)
        if variant not in ("fixed", "published"):
            raise ConfigError(f"unknown variant {variant!r}", why="choose from fixed, published")
        if variant == "published" and thresholds != "linear":
            raise ConfigError(
                "variant 'published' needs linear thresholds",
                why="the published code has no other thresholds",
                remedy='set thresholds = "linear" or variant = "fixed"',
            )
        self.slots = self._slots_in(steps)
        self.thresholds = create_thresholds(thresholds, self.slots)
        self.variant = variant
        self.divisor = steps

    @property
    def pointwise(self) -> bool:  # type: ignore[override]
        return self.thresholds.pointwise

    def encode(self, x: Tensor) -> Tensor:
        check_images(x)
        if self.variant == "published":
            return published_planes(x, self._planes(), self.divisor)
        return self._steps_of(self.thresholds.slot(x)).to(x.dtype)

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        return self.thresholds.value(self._slot_of(code), code.dtype, moments)

    def moments(self, x: Tensor) -> Moments | None:
        return self.thresholds.moments(x)

    @staticmethod
    def _slots_in(steps: int) -> int:
        """Return the number of slots K of a code with `steps` steps."""
        raise NotImplementedError

    def _steps_of(self, slot: Tensor) -> Tensor:
        """Return the T steps of slots 1..K, `[...] -> [T, ...]`; slot 0 has no spike."""
        raise NotImplementedError

    def _slot_of(self, code: Tensor) -> Tensor:
        """Return the slots of T steps, the inverse of `_steps_of`."""
        raise NotImplementedError

    def _planes(self) -> Tensor:
        """Return the steps of slots 1..K, `[T, K]`."""
        return self._steps_of(torch.arange(1, self.slots + 1))


class Temporal(SlotCoding):
    """One spike for each value, at the step of its slot: code[t] = 1 if slot = t + 1, K = T."""

    name = "temporal"

    @staticmethod
    def _slots_in(steps: int) -> int:
        return steps

    def _steps_of(self, slot: Tensor) -> Tensor:
        t = torch.arange(1, self.steps + 1, device=slot.device)
        return slot == t.view(-1, *[1] * slot.dim())

    def _slot_of(self, code: Tensor) -> Tensor:
        # The published variant may fire twice; the first spike carries the value.
        fired, first = code.max(dim=0)
        return torch.where(fired > 0, first + 1, torch.zeros_like(first))


class Embedding(SlotCoding):
    """The slot number in binary, least significant bit first: code[t] = ⌊slot / 2^t⌋ mod 2.

    K = 2^T - 1 slots; T is at most 16.
    """

    name = "embedding"

    def __init__(
        self,
        *,
        steps: int,
        thresholds: ThresholdRule = "linear",
        variant: Variant = "fixed",
    ) -> None:
        super().__init__(steps=steps, thresholds=thresholds, variant=variant)
        if steps > MAX_EMBEDDING_STEPS:
            raise ConfigError(
                f"steps must be at most {MAX_EMBEDDING_STEPS} for embedding, not {steps}",
                why=f"{steps} binary digits are finer than any image",
            )

    @staticmethod
    def _slots_in(steps: int) -> int:
        return 2**steps - 1

    def _steps_of(self, slot: Tensor) -> Tensor:
        t = torch.arange(self.steps, device=slot.device).view(-1, *[1] * slot.dim())
        return (slot >> t) & 1

    def _slot_of(self, code: Tensor) -> Tensor:
        if self.variant == "published":
            raise ConfigError(
                "the published embedding cannot be decoded",
                why="its steps hold counts of several slots, not binary digits",
            )
        t = torch.arange(self.steps, device=code.device).view(-1, *[1] * (code.dim() - 1))
        return (code.long() << t).sum(0)


def published_planes(x: Tensor, planes: Tensor, divisor: int) -> Tensor:
    """Return code[t] = Σ_i planes[t, i] · H(x_i >= 1 - i/n), x_{i+1} = x_i where it did not fire.

    Args:
        x: images `[B, ...]`.
        planes: 1 where slot i fires at step t, `[T, K]`.
        divisor: n.

    Returns:
        `[T, B, ...]`; counts where several slots fire at one step.
    """
    code = x.new_zeros(planes.shape[0], *x.shape)
    left = x
    for i, column in enumerate(planes.T.tolist(), start=1):
        fired = (left >= 1.0 - i / divisor).to(x.dtype)
        left = left - left * fired
        for t, member in enumerate(column):
            if member:
                code[t] += fired
    return code
