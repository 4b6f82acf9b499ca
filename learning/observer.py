"""What a training reports while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .training import Training


class Observer(Protocol):
    """Callbacks of a training."""

    def started(self, training: Training) -> None:
        """Everything is loaded and built; the first or the next epoch begins."""

    def batch_done(self, training: Training, loss: float, score: float, rate: float) -> None:
        """A batch is trained; loss and score (primary metric) are means over the epoch so far."""

    def epoch_done(self, training: Training, metrics: dict[str, Any]) -> None:
        """An epoch is trained, validated and saved.

        Before the first one it is called with the metrics of the start, if `train.init` gives one:
        they are of epoch 0, and only of validation data.
        """


class SilentObserver:
    """An observer that shows nothing."""

    def started(self, training: Training) -> None:
        """Do nothing."""

    def batch_done(self, training: Training, loss: float, score: float, rate: float) -> None:
        """Do nothing."""

    def epoch_done(self, training: Training, metrics: dict[str, Any]) -> None:
        """Do nothing."""
