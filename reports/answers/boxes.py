"""Precision over recall of boxes, samples with their boxes, and those with the worst misses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.text import printable
from ...datasets.base import Split
from ...datasets.boxes import of_sample, present
from ...measure.figures.boxes import draw_boxes, draw_true_boxes
from ...measure.figures.style import panel, panels, style
from ...tasks.detection.average_precision import RECALLS
from ...tasks.detection.matching import matches
from ..drawing import FULL, HALF, Drawing
from ..thumbnails import image_of
from ..wording import listed, percent, truncate

SHOWN = 4  # samples in a row
LEGEND = (
    "Green and dashed: true boxes. Blue: boxes that are right, with class and probability in %. "
    "Orange: wrong ones above 50 %."
)
LIKELY = 0.5
"""Probability from which on a wrong box is a miss: less likely ones are many, and cost little."""


@dataclass(frozen=True)
class ShownBoxes:
    """The boxes of a detection.

    Attributes:
        split: the samples.
        full_scale: of their values.
        classes: their names.
        found: boxes of all samples, `[N, D, 6]`.
        values: metrics of the task.
    """

    split: Split
    full_scale: float
    classes: Sequence[str]
    found: Tensor
    values: Mapping[str, Any]

    title = "Boxes"

    def drawings(self) -> list[tuple[Drawing, str]]:
        found = []
        precision = self.values.get("precision_recall")
        if precision:
            drawing = precision_over_recall(precision, self.values["ap50"])
            found.append(
                (
                    drawing,
                    "Precision at each recall, the mean over the classes; a box is "
                    "right if it overlaps a true one by half (intersection over union).",
                )
            )
        first = list(range(min(SHOWN, len(self.split))))
        found.append((self._samples(first), f"The first samples. {LEGEND}"))
        worst = worst_samples(self.found, self.split.targets)[: 2 * SHOWN]
        if worst:
            found.append((self._samples(worst), f"The samples with the most misses. {LEGEND}"))
        return found

    def _samples(self, samples: Sequence[int]) -> Drawing:
        return samples_with_boxes(self.split, self.full_scale, self.found, self.classes, samples)


def precision_over_recall(precision: Sequence[float], ap50: float) -> Drawing:
    """Return precision at each recall of 0, .01, ..., 1, the mean over the classes."""
    with style():
        figure, axes = panel(HALF)
        axes.plot(100 * RECALLS, [100 * each for each in precision])
        axes.fill_between(100 * RECALLS, [100 * each for each in precision], alpha=0.15)
        axes.set_title("Precision over recall, %")
        axes.set_xlabel("recall: true boxes that are found, %")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 102)
    at = {recall: precision[round(100 * recall)] for recall in (0.25, 0.5, 0.75)}
    said = [f"{percent(value, 0)} at a recall of {percent(r, 0)}" for r, value in at.items()]
    return Drawing(figure, f"Precision {listed(said)}; AP50 {percent(ap50, 1)}.")


def worst_samples(found: Tensor, targets: Tensor) -> list[int]:
    """Return the samples by their misses, the most first; those without any are left out.

    A miss is a true box that is not found, or a box with a probability above 1/2 that is wrong.

    Args:
        found: `[N, D, 6]`, see `Detection.detections`.
        targets: `[N, M, 5]`.
    """
    misses = []
    for rows, truth in zip(found, targets, strict=True):
        right, hit = matches(rows, truth)
        wrong = present(rows[:, :5]) & ~right & (rows[:, 5] > LIKELY)
        misses.append(int((present(truth) & ~hit).sum()) + int(wrong.sum()))
    count = torch.tensor(misses)
    order = count.argsort(descending=True, stable=True)
    return order[: int((count > 0).sum())].tolist()


def samples_with_boxes(
    split: Split, full_scale: float, found: Tensor, classes: Sequence[str], samples: Sequence[int]
) -> Drawing:
    """Return pictures of samples with true boxes and those that the network finds.

    Args:
        split: the samples.
        full_scale: of their values.
        found: of all samples, `[N, D, 6]`.
        classes: their names.
        samples: indices of those to draw.
    """
    columns = min(SHOWN, len(samples))
    rows = math.ceil(len(samples) / columns)
    said = []
    with style():
        figure, grid = panels((FULL * columns / SHOWN, 2.7 * rows), rows, columns)
        for axes, index in zip(grid, samples, strict=False):
            axes.set_axis_off()
            image = image_of(split, index, full_scale)
            shown = image.permute(1, 2, 0) if len(image) == 3 else image.mean(0)
            axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            target, of = split.targets[index], found[index]
            right, hit = matches(of, target)
            likely = right | (of[:, 5] > LIKELY)
            draw_true_boxes(axes, of_sample(target)[0].tolist())
            labels = [
                f"{truncate(printable(classes[int(row[4])]), 10)} {100 * row[5]:.0f}"
                for row in of[likely].tolist()
            ]
            draw_boxes(axes, of[likely].tolist(), labels, right[likely].tolist())
            axes.set_title(f"sample {index}")
            wrong = int((likely & ~right).sum())
            objects = int(present(target).sum())
            said.append(f"sample {index} {int(hit.sum())} of {objects} found, {wrong} wrong")
        for axes in grid[len(samples) :]:
            axes.set_axis_off()
    return Drawing(figure, f"Boxes: {listed(said)}.")
