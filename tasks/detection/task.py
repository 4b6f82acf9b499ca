"""Detection: boxes around the objects of a sample, and the class of each."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, smooth_l1_loss

from ...coding.base import Coding
from ...coding.samples import SampleSpec
from ...core.errors import ConfigError, DataError
from ...core.metric import Metric
from ...datasets.base import DataSet
from ...datasets.boxes import present
from ...datasets.transforms.mixing import Targets
from ...models.readouts import Readout
from ..base import Meter, Task, refuse_mixed, require_target
from .boxes import area, suppress
from .cells import Cells
from .meter import BoxMeter, average_precision_of

BETA = 1 / 9
"""Error of a box value below which its loss is quadratic, as in Faster R-CNN."""
OUTPUTS_BESIDE_CLASSES = 5
"""Of a cell: the logit of the background, and the four values of a box."""
MIN_SCORED = 20
"""Boxes of a sample in the progress of a training; more, twice the objects, if it has many."""
CANDIDATES = 3
"""Pairs of a cell and a class that enter the suppression, as a multiple of `top`."""


class Detection(Task):
    """Boxes around the objects of a sample, each with a class and a score.

    Outputs are `[T, B, K + 5, A]`: for each of A cells the logits of K classes, that of the
    background, and the four values of a box, see `Cells`. The answer is their mean over the steps.
    With p = softmax of the logits, y the class of a cell, v the values of its box and u those of
    the outputs, the loss of a sample with n cells that have an object is

        Σ -log p_y / n + background · Σ -log p_K / (A - n) + box · Σ smooth_l1(u, v) / n

    where the first and the third sum are over the cells with an object and the second over the
    others, K is the background, and a sum over no cells is 0.

    A box is found for each cell and class with p_k > `score`. Of boxes of a class that overlap by
    more than `overlap` (intersection over union) the better one stays, and of all the `top` best.

    Metrics are those of COCO, see `curves`: `ap50`, `ap75` (average precision where boxes overlap
    by .5 or .75), `map` (the mean for .5, .55, ..., .95), `map_small`, `map_medium`, `map_large`
    (of objects below 32², up to 96², and above, in pixels), `recall_at_1`, `_10` and `_100`;
    `ap50_per_class`, `ap50_per_step` (after the steps 1..t), `precision_recall` (the precision at
    each recall, mean over the classes, at .5), `objects`, `boxes`, and `loss`. None is a figure of
    no objects.

    Args:
        background: weight of the cells without an object in the loss.
        box: weight of the boxes in the loss.
        score: the least probability of a class.
        overlap: of boxes that show the same object.
        top: the largest number of boxes in a sample.

    Raises:
        ConfigError: an option out of range.
    """

    name = "detection"
    primary = Metric("ap50")
    tracked = ("ap50", "map")
    answers = "boxes"
    has_places = True
    trial_outputs = 2 + 5
    shares = (
        "map", "ap75", "map_small", "map_medium", "map_large",
        "recall_at_1", "recall_at_10", "recall_at_100",
    )  # fmt: skip

    def __init__(
        self,
        *,
        background: float = 1.0,
        box: float = 1.0,
        score: float = 0.05,
        overlap: float = 0.5,
        top: int = 100,
    ) -> None:
        for key, value, low, high in (
            ("background", background, 0, 1e6),
            ("box", box, 0, 1e6),
            ("score", score, 0, 1),
            ("overlap", overlap, 0, 1),
            ("top", top, 1, 1000),
        ):
            if not low <= value <= high:
                raise ConfigError(f"task.{key} is {value}", why=f"it must be {low} to {high:g}")
        self.background = background
        self.box = box
        self.least_score = score
        self.overlap = overlap
        self.top = top
        self.classes = []
        self.size = (0, 0)
        self._cells: Cells | None = None

    def bind(self, data: DataSet, coding: Coding) -> None:
        require_target(self.name, data)
        if len(data.in_shape) != 3:
            raise DataError(
                f"the task {self.name} needs rows and columns",
                why=f"the samples of {data.name} are {data.spec}",
                remedy="give images or recordings of events",
            )
        for part in ("train", "validation"):
            if not bool(present(data.split(part).targets).any()):
                raise DataError(
                    f"the {part} part of {data.name} has no boxes",
                    why="average precision is of true boxes",
                    remedy="give samples with boxes",
                )
        self.classes = list(data.classes)
        self.outputs = len(self.classes) + OUTPUTS_BESIDE_CLASSES
        self.size = data.in_shape[1:]

    def restore(
        self, classes: list[str], sample: SampleSpec | None, coding: Coding | None = None
    ) -> None:
        super().restore(classes, sample, coding)
        assert sample is not None, "networks of cells know their samples"
        self.outputs, self.size = len(classes) + OUTPUTS_BESIDE_CLASSES, sample.shape[1:]

    def use_readout(self, readout: Readout) -> None:
        grids = getattr(readout, "grids", None)
        if grids is None:
            raise ConfigError(
                f"the task {self.name} needs a network with a grid of cells",
                why=f"the readout {type(readout).__name__} answers for the whole sample",
                remedy="set model.name=spiking-yolo, or model.name=hybrid with "
                "model.head=detection",
            )
        super().use_readout(readout)
        self.needs_mean_only = readout.answers_with_mean
        self._cells = Cells.of(grids)

    @property
    def cells(self) -> Cells:
        """The cells of the network."""
        assert self._cells is not None, "use_readout comes first"
        return self._cells

    def losses(self, outputs: Tensor, targets: Targets) -> Tensor:
        refuse_mixed(self.name, targets)
        logits, values = self._parts(self.answer(outputs))
        self._cells = self.cells.to(outputs.device)  # once, not in each batch
        labels, true = self._cells.assign(targets.first)
        has_object = labels >= 0
        wanted = torch.where(has_object, labels, len(self.classes))
        of_class = cross_entropy(logits, wanted, reduction="none")
        of_box = smooth_l1_loss(values, true, reduction="none", beta=BETA).sum(1)
        return (
            _mean(of_class, has_object)
            + self.background * _mean(of_class, ~has_object)
            + self.box * _mean(of_box, has_object)
        )

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        return self.losses(outputs, targets).mean()

    @torch.no_grad()
    def detections(self, answer: Tensor, top: int | None = None) -> Tensor:
        """Return the boxes that an answer `[B, K + 5, A]` finds, the best first.

        Args:
            answer: see `answer`.
            top: the largest number of boxes in a sample; by default that of the task.

        Returns:
            Rows (x1, y1, x2, y2, class, score), in pixels and clipped to the sample, `[B, top, 6]`;
            those behind the boxes of a sample are NaN.
        """
        top = self.top if top is None else top
        logits, values = self._parts(answer)
        scores = logits.softmax(1)[:, :-1].flatten(1)
        scores, pair = scores.topk(min(CANDIDATES * top, scores.shape[1]), 1)
        least = max(1, int((scores > self.least_score).sum(1).max())) if len(scores) else 1
        scores, pair = scores[:, :least], pair[:, :least]
        labels, cell = pair // len(self.cells), pair % len(self.cells)
        height, width = self.size
        edges = torch.tensor([width, height, width, height], device=answer.device)
        boxes = self.cells.decode(values).gather(1, cell.unsqueeze(2).expand(-1, -1, 4))
        boxes = torch.minimum(boxes.clamp(min=0), edges)
        stays = (scores > self.least_score) & (area(boxes) > 0)
        stays &= suppress(boxes, labels, self.overlap)
        first = (~stays).int().argsort(dim=1, stable=True)[:, :top]
        rows = torch.cat([boxes, labels.unsqueeze(2), scores.unsqueeze(2)], 2)
        rows = rows.masked_fill(~stays.unsqueeze(2), torch.nan)
        rows = rows.gather(1, first.unsqueeze(2).expand(-1, -1, 6))
        found = rows.new_full((len(rows), top, 6), torch.nan)
        found[:, : rows.shape[1]] = rows
        return found

    @torch.no_grad()
    def score(self, outputs: Tensor, targets: Targets) -> float:
        """Return the AP50 of the batch, B times, of a few boxes in a sample, which is faster."""
        if not len(targets.first):
            return 0.0
        few = min(self.top, max(MIN_SCORED, 2 * targets.first.shape[1]))
        found = self.detections(self.answer(outputs), few)
        ap50 = average_precision_of(found, targets.first, len(self.classes), (0.5,))
        return len(found) * (ap50 or 0.0)

    def meter(self, steps: int) -> Meter:
        return BoxMeter(self, steps)

    def _parts(self, answer: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits `[B, K + 1, A]` and the values `[B, 4, A]` of an answer."""
        logits, values = answer.float().split([answer.shape[1] - 4, 4], 1)
        return logits, values


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of chosen values `[B, A]` of each sample, `[B]`; 0 of none."""
    return (values * chosen).sum(1) / chosen.sum(1).clamp(min=1)
