"""The metrics of detection, from the boxes of all samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...datasets.boxes import present
from ...datasets.transforms.mixing import Targets
from ..base import Gather, Meter, Result
from .average_precision import AREAS, THRESHOLDS, Objects, curves, mean

if TYPE_CHECKING:
    from .task import Detection

HALF = (0.5,)
ALL_AREAS = (AREAS["all"],)


def objects_of(rows: Tensor) -> Objects:
    """Return the boxes of tables `[N, M, 5]`, or `[N, M, 6]` with a score."""
    there = present(rows[..., :5])
    sample = there.nonzero()[:, 0].cpu().numpy()
    values = rows[there].double().cpu().numpy()
    score = values[:, 5] if values.shape[1] > 5 else np.ones(len(values))
    return Objects(sample, values[:, 4].astype(np.int64), values[:, :4], score)


def average_precision_of(
    found: Tensor, targets: Tensor, classes: int, thresholds: Sequence[float] = THRESHOLDS
) -> float | None:
    """Return the mean average precision; None without a true box.

    Args:
        found: rows of boxes with scores `[N, D, 6]`, see `Detection.detections`.
        targets: true boxes `[N, M, 5]`.
        classes: number of classes.
        thresholds: of the overlap.
    """
    pair = objects_of(found), objects_of(targets)
    of = curves(*pair, classes, thresholds=thresholds, areas=ALL_AREAS)
    return mean(of.precision)


def metrics_of(found: Tensor, targets: Tensor, classes: int) -> dict[str, Any]:
    """Return the metrics of boxes `[N, D, 6]` for true ones `[N, M, 5]`."""
    ours, true = objects_of(found), objects_of(targets)
    of = curves(ours, true, classes)
    precision, recall = of.precision, of.recall
    by_class = precision[0, :, :, 0].mean(0)
    points = precision[0, :, :, 0][:, ~np.isnan(by_class)]
    values: dict[str, Any] = {
        "ap50": mean(precision[0, ..., 0]),
        "ap75": mean(precision[5, ..., 0]),
        "map": mean(precision[..., 0]),
    }
    values |= {f"map_{name}": mean(precision[..., a]) for a, name in enumerate(AREAS) if a}
    values |= {f"recall_at_{n}": mean(recall[:, :, 0, i]) for i, n in enumerate((1, 10, 100))}
    values["ap50_per_class"] = [None if np.isnan(each) else float(each) for each in by_class]
    if points.size:
        values["precision_recall"] = points.mean(1).tolist()
    return {**values, "objects": len(true.sample), "boxes": len(ours.sample)}


class BoxMeter(Meter):
    """Collects the boxes that each step's answer finds, and the true ones."""

    def __init__(self, task: Detection, steps: int) -> None:
        self._task = task
        self._found = [torch.zeros(steps, 0, task.top, 6)]
        self._targets: list[Tensor] = []
        # The sum of the losses, the samples, and the rows of their targets, of which each has M.
        self._sums = torch.zeros(3, dtype=torch.float64)

    def take(self, outputs: Tensor, targets: Targets) -> None:
        task = self._task
        assert task.readout is not None, "use_readout comes first"
        answers = task.readout.so_far(outputs)
        self._found.append(torch.stack([task.detections(each).cpu() for each in answers]))
        self._targets.append(targets.first.cpu())
        losses = task.losses(outputs, targets).double()
        samples, rows = targets.first.shape[:2]
        self._sums += torch.tensor([float(losses.sum()), samples, samples * rows])

    def result(self, total: Gather, gather: Gather) -> Result:
        loss, samples, rows = total(self._sums).tolist()
        # A process without samples has seen no targets.
        none = torch.zeros(0, round(rows / max(samples, 1)), 5)
        # The samples are on the last axis while the processes exchange them.
        found = gather(torch.cat(self._found, 1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        targets = gather(torch.cat([none, *self._targets]).permute(1, 2, 0)).permute(2, 0, 1)
        classes = len(self._task.classes)
        values = metrics_of(found[-1], targets, classes)
        before = [average_precision_of(each, targets, classes, HALF) for each in found[:-1]]
        values["ap50_per_step"] = [*before, values["ap50"]]
        values["loss"] = loss / max(samples, 1)
        return Result(int(samples), values, found=found[-1])
