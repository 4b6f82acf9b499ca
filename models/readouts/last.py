"""The answer of the last step."""

from __future__ import annotations

from torch import Tensor

from ..layer import Lowering
from .mean import Readout


class LastReadout(Readout):
    """logits_t = scale_t (W s_t + b); the answer after step t is logits_t.

    For networks that keep what they have seen, such as recurrent ones.

    Args:
        features, classes, steps, scaled: as of `Readout`.
    """

    answers_with_mean = False

    def lower(self, graph: Lowering, name: str) -> None:
        super().lower(graph, name)
        graph.answers_with("last")

    def so_far(self, outputs: Tensor) -> Tensor:
        return outputs

    def answer(self, outputs: Tensor) -> Tensor:
        return outputs[-1]
