"""Boxes around the objects of an input, each with a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from ....coding.samples import Batch
from ....tasks.detection import OUTPUTS_BESIDE_CLASSES, Detection
from ..prediction import Box, Prediction
from .base import Answers, parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..inputs.sample import Sample


SCORE = 0.25
"""Least probability of a box. Average precision counts less likely ones too, which a user would
take for wrong."""


class BoxAnswers(Answers):
    """The boxes that the task finds in the answer of the readout, the best first."""

    kind = "boxes"
    has_boxes = True

    @classmethod
    def class_count(cls, outputs: int) -> int:
        return outputs - OUTPUTS_BESIDE_CLASSES

    def prepare(self, score: float | None) -> None:
        assert isinstance(self.task, Detection)
        self.task.use_readout(self.readout)
        self.task.least_score = SCORE if score is None else score

    def of_scores(self, scores: Tensor, x: Batch | None) -> list[dict[str, Any]]:
        assert isinstance(self.task, Detection)
        found = self.task.detections(scores)
        return [{"boxes": tuple(map(self._box, there(rows)))} for rows in found]

    def _box(self, row: list[float]) -> Box:
        *corners, index, score = row
        return Box(self.labels[int(index)], int(index), score, tuple(corners))

    @property
    def columns(self) -> list[str]:
        return ["class", "index", "confidence", "x1", "y1", "x2", "y2"]

    def rows(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a row for each box; an input without boxes has one row, without a class."""
        return [
            {**document, **each, **dict(zip(("x1", "y1", "x2", "y2"), each["box"], strict=True))}
            for each in document["boxes"]
        ] or [document]

    @property
    def heads(self) -> list[str]:
        return ["boxes", "class %"]

    def cells(self, prediction: Prediction) -> list[str]:
        boxes = prediction.boxes or ()
        texts = [f"{box.label} {100 * box.confidence:.0f}" for box in boxes]
        return [str(len(boxes)), parts(texts, ", ")]

    def caption(self, prediction: Prediction) -> str:
        count = len(prediction.boxes or ())
        return f"{count} box{'es' * (count != 1)}"

    def draw(self, axes: Axes, prediction: Prediction, sample: Sample) -> None:
        from ...figures.boxes import draw_boxes

        boxes = prediction.boxes or ()
        corners = [box.corners for box in boxes]
        if sample.placement is not None:
            corners = [sample.placement.to_sample(each) for each in corners]
        draw_boxes(axes, corners, [f"{each.label} {100 * each.confidence:.0f}" for each in boxes])


def there(rows: Tensor) -> list[list[float]]:
    """Return the rows of a table `[D, 6]` that hold a box."""
    return rows[~rows[:, 4].isnan()].tolist()
