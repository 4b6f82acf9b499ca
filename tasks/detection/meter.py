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
from .average_precision import AREAS, THRESHOLDS, Objects, curves, judged, mean, precision_of

if TYPE_CHECKING:
    from .task import Detection

HALF = 0.5
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


def verdicts_of(found: Tensor, truth: Objects) -> Tensor:
    """Return class and score of each box, negative of a wrong one: `[B, D, 2]`.

    NaN where there is no box, or one that does not count.

    Args:
        found: rows of boxes with scores `[B, D, 6]`.
        truth: true boxes of the B samples.
    """
    ours = objects_of(found)
    verdict = judged(ours, truth, HALF)
    rows = torch.from_numpy(np.stack([ours.label, ours.score * verdict], 1))
    rows[verdict == 0] = torch.nan
    table = found.new_full((*found.shape[:2], 2), torch.nan)
    table[present(found[..., :5])] = rows.to(table)
    return table


def average_precision_of_verdicts(verdicts: Tensor, positives: np.ndarray) -> float | None:
    """Return AP50 of `verdicts_of` all samples, `[N, D, 2]`; None without a true box.

    Args:
        verdicts: see `verdicts_of`.
        positives: true boxes of each class.
    """
    label, signed = verdicts[~verdicts[..., 0].isnan()].double().T.numpy()
    return mean(precision_of(label, np.abs(signed), np.sign(signed), positives))


class BoxMeter(Meter):
    """Collects the boxes that the last answer finds, the true ones, and of the boxes of the answers
    before what their average precision needs: class, score, and whether they are right."""

    def __init__(self, task: Detection, steps: int) -> None:
        self._task = task
        self._found = [torch.zeros(0, task.top, 6)]
        self._before = [torch.zeros(steps - 1, 0, task.top, 2)]
        self._targets: list[Tensor] = []
        # The sum of the losses, the samples, and the rows of their targets, of which each has M.
        self._sums = torch.zeros(3, dtype=torch.float64)

    def take(self, outputs: Tensor, targets: Targets) -> None:
        task = self._task
        assert task.readout is not None, "use_readout comes first"
        *before, last = (task.detections(each).cpu() for each in task.readout.so_far(outputs))
        self._found.append(last)
        self._targets.append(targets.first.cpu())
        truth = objects_of(self._targets[-1])
        table = last.new_empty(len(before), *last.shape[:2], 2)
        for t, each in enumerate(before):
            table[t] = verdicts_of(each, truth)
        self._before.append(table)
        losses = task.losses(outputs, targets).double()
        samples, rows = targets.first.shape[:2]
        self._sums += torch.tensor([float(losses.sum()), samples, samples * rows])

    def result(self, total: Gather, gather: Gather) -> Result:
        loss, samples, rows = total(self._sums).tolist()
        # A process without samples has seen no targets.
        none = torch.zeros(0, round(rows / max(samples, 1)), 5)
        # The samples are on the last axis while the processes exchange them.
        found = gather(torch.cat(self._found).permute(1, 2, 0)).permute(2, 0, 1)
        verdicts = gather(torch.cat(self._before, 1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        targets = gather(torch.cat([none, *self._targets]).permute(1, 2, 0)).permute(2, 0, 1)
        classes = len(self._task.classes)
        values = metrics_of(found, targets, classes)
        positives = np.bincount(objects_of(targets).label, minlength=classes)
        before = [average_precision_of_verdicts(each, positives) for each in verdicts]
        values["ap50_per_step"] = [*before, values["ap50"]]
        values["loss"] = loss / max(samples, 1)
        return Result(int(samples), values, found=found)
