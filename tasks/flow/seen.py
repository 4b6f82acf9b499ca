"""The events of a batch that count, and what does not depend on their flow."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from ...coding.samples import EventBatch
from ...datasets.motion import Contrast, ContrastMeasures, event_counts, flow_at, inside


class SeenEvents:
    """The events of a batch in the time that a network sees.

    What is the same for every flow, such as for those of the answers after each step, is computed
    once, when it is first used.

    Args:
        events: B recordings.
        until: the end of that time, in µs.
    """

    def __init__(self, events: EventBatch, until: int) -> None:
        self.events = inside(events, until)
        self.until = until

    @cached_property
    def lit(self) -> Tensor:
        """Whether a pixel of a recording has events, `[B, H, W]`."""
        return event_counts(self.events).sum(1) > 0

    @cached_property
    def _contrast(self) -> Contrast:
        return Contrast(self.events, self.until)

    def measures(self, flow: Tensor) -> ContrastMeasures:
        """Return how much sharper the events become along a flow `[B, 2, H, W]`."""
        return self._contrast.measures(flow_at(self.events, flow))
