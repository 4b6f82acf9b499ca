"""Operations at exact times up to the decision, which is known after the last layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .counters import OwnCounter


class CounterUntilDecision(OwnCounter):
    """Counts a layer of exact times from what it read and sent, once the decision is known."""

    _passed: tuple[Any, tuple[Tensor, ...], Tensor]

    def attach(self) -> Callable[[], None]:
        """Observe input and output of the layer; return the function that detaches the observer."""

        def keep(layer: Any, x: tuple[Tensor, ...], y: Tensor) -> None:
            self._passed = (layer, x, y)

        return self.info.layer.register_forward_hook(keep).remove

    def count_until(self, times: Tensor) -> None:
        """Count the inputs of the current batch that come before the decisions.

        Args:
            times: of the decisions, `[B]`, +inf where there is none.
        """
        self.until = times
        self._ask(*self._passed)
        del self._passed
