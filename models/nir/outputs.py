"""Readouts of networks whose outputs are the answer already: they have no weights."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..layer import Lowering, OperationList, Signal
from ..readouts.mean import Readout


class MeanOutput(Readout):
    """The outputs of the network; the answer after step t is their mean over the steps 1..t.

    Args:
        outputs: their number K.

    Attributes:
        kind: the name of the answer.
    """

    kind = "mean"

    def __init__(self, outputs: int) -> None:
        super(Readout, self).__init__()
        self.outputs = outputs
        self.scale = None
        self._freezes, self._frozen = False, None

    def forward(self, spikes: Tensor) -> Tensor:
        return spikes

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self.forward

    def mean(self, spikes: Tensor) -> Tensor:
        return spikes.mean(0)

    def lower(self, graph: Lowering, name: str) -> None:
        graph.answers_with(self.kind)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return x

    def extra_repr(self) -> str:
        return f"outputs={self.outputs}"


class LastOutput(MeanOutput):
    """The outputs of the network; the answer after step t are those of step t."""

    answers_with_mean = False
    kind = "last"

    def so_far(self, outputs: Tensor) -> Tensor:
        return outputs

    def answer(self, outputs: Tensor) -> Tensor:
        return outputs[-1]


OUTPUTS: dict[str, Callable[[int], Readout]] = {"mean": MeanOutput, "last": LastOutput}
