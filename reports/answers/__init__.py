"""What a network answers on samples, in pictures, for tasks whose answers have places."""

from __future__ import annotations

from typing import Any, Protocol

from ...datasets.base import DataSet
from ...measure.evaluation import Evaluation
from ...models.network import SpikingNetwork
from ...tasks.base import Task
from ...tasks.detection import Detection
from ...tasks.flow import Flow
from ..drawing import Drawing
from .boxes import ShownBoxes
from .flow import shown_flow

__all__ = ["ShownAnswers", "shown_answers"]


class ShownAnswers(Protocol):
    """Answers that a page shows.

    Attributes:
        title: of the section.
    """

    @property
    def title(self) -> str: ...

    def drawings(self) -> list[tuple[Drawing, str]]:
        """Return figures with their captions."""
        ...


def shown_answers(
    task: Task, model: SpikingNetwork, data: DataSet, split: str, result: Evaluation, device: Any
) -> ShownAnswers | None:
    """Return what a page shows of the answers; None of answers without places.

    Args:
        task: what the network is asked.
        model: the network, on `device`.
        data, split: the samples.
        result: of their evaluation.
        device: of the network.
    """
    if isinstance(task, Detection) and result.found is not None:
        part = data.split(split)
        return ShownBoxes(part, data.full_scale, data.classes, result.found, result.values)
    if isinstance(task, Flow):
        return shown_flow(task, model, data.split(split), device)
    return None
