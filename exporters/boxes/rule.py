"""How boxes follow from the answer of a detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.errors import ConfigError
from ...tasks.base import Task
from ...tasks.detection.boxes import area, overlaps
from ...tasks.detection.task import CANDIDATES, Detection
from ..graph.ir import Array
from ..source import ExportSource

TOLERANCE = 1e-4  # of a coordinate, in sides of the sample, and of a score
MARGIN = 1e-5  # of scores and overlaps, within which rounding may decide


@dataclass(frozen=True)
class BoxRule:
    """The boxes of the answer `[B, K + 5, A]` of a detector, as its task finds them.

    Attributes:
        task: bound to its data and its network.
    """

    task: Detection

    @property
    def candidates(self) -> int:
        """The largest number of pairs of a cell and a class that enter the suppression."""
        return CANDIDATES * self.task.top

    @property
    def rows(self) -> int:
        """The rows of a sample: `top`, or fewer if there are not so many pairs."""
        return min(self.task.top, len(self.task.classes) * len(self.task.cells))

    def detections(self, answer: Array) -> Array:
        """Return rows (x1, y1, x2, y2, class, score), the best first, 0 behind, `[B, rows, 6]`; see
        `Detection.detections`."""
        found = self.task.detections(torch.from_numpy(answer))[:, : self.rows]
        return found.nan_to_num(0).numpy()

    def about(self) -> dict[str, Any]:
        """Return the metadata of a file."""
        task = self.task
        return {"score": task.least_score, "overlap": task.overlap, "top": task.top}

    def differing(self, answer: Array, found: Array) -> Array:
        """Return the samples whose boxes do not follow from their answer, `[B]`.

        Cells that see the same have equal scores, so that several sets of boxes may follow.
        """
        expected = self.detections(answer)
        if found.shape != expected.shape:
            return np.ones(len(answer), bool)
        scale = np.array([*self._sides, 1, 1], np.float32)
        apart = (np.abs(found - expected) / scale).reshape(len(found), -1)
        differs: Array = ~np.all(apart <= TOLERANCE, axis=1, keepdims=True)[:, 0]  # or NaN
        for sample in np.flatnonzero(differs):
            one = torch.from_numpy(answer[sample])
            differs[sample] = not self._follows(one, torch.from_numpy(found[sample]))
        return differs

    @property
    def _sides(self) -> tuple[int, int, int, int]:
        height, width = self.task.size
        return width, height, width, height

    def _follows(self, answer: Tensor, rows: Tensor) -> bool:
        """Return whether rows `[rows, 6]` are boxes of an answer `[K + 5, A]`, up to rounding.

        They are if all are decoded from a cell, none overlaps a better one of its class, and every
        box that is left out is worse than they are, or overlaps a better one of its class.
        """
        number = int((rows[:, 5] > 0).sum())
        found, behind = rows[:number], rows[number:]
        if not bool(rows.isfinite().all()) or bool(behind.any()):
            return False
        task, sides = self.task, torch.tensor(self._sides)
        scores = answer[:-4].softmax(0)[:-1]
        boxes = task.cells.decode(answer[None, -4:])[0]
        boxes = torch.minimum(boxes.clamp(min=0), sides)
        # The cell of each row, by its box and its score.
        label = found[:, 4].long().clamp(0, len(scores) - 1)
        apart = ((found[:, None, :4] - boxes).abs() / sides).amax(2)
        apart = torch.maximum(apart, (found[:, 5:] - scores[label]).abs())
        distance, cell = apart.min(1) if number else (apart.new_zeros(0), label)
        own = scores[label, cell]
        taken = torch.zeros_like(scores, dtype=torch.bool)
        taken[label, cell] = True
        if bool((distance > TOLERANCE).any()) or int(taken.sum()) < number:
            return False
        worst = float(own.min()) if number == len(rows) else 0.0
        if bool((own < task.least_score - MARGIN).any()) or bool((own.diff() > MARGIN).any()):
            return False
        shared = overlaps(boxes[cell], boxes)
        same = label[:, None] == label
        if bool(((shared[:, cell] > task.overlap + MARGIN) & same).triu(1).any()):
            return False
        # Of each class and cell, whether a better box of that class hides it.
        hidden = torch.zeros_like(taken)
        for row in range(number):
            hides = (shared[row] > task.overlap - MARGIN) & (
                own[row] >= scores[label[row]] - MARGIN
            )
            hidden[label[row]] |= hides
        entering = min(self.candidates, scores.numel())
        least = max(task.least_score, worst, float(scores.flatten().topk(entering).values[-1]))
        left_out = (scores > least + MARGIN) & (area(boxes) > 0) & ~taken
        return not bool((left_out & ~hidden).any())


def with_boxes(source: ExportSource, task: Task) -> ExportSource:
    """Return a source whose ONNX files have the boxes as an output.

    Args:
        source: a detector.
        task: bound to its data and its network.

    Raises:
        ConfigError: it is no detector.
    """
    if not isinstance(task, Detection):
        raise ConfigError(
            f"boxes are of the task detection, this network is for {task.name}",
            remedy="leave --nms out",
        )
    rule = BoxRule(task)
    return replace(source, boxes=rule)
