"""All that a page tells of one run, as plain data."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..datasets.base import DataSet, Split, fingerprint
from ..measure.cost.ann import dense_ann_counts
from ..measure.cost.energy import energy_of_samples, energy_report, total_cost
from ..measure.cost.operations import Counts
from ..measure.cost.tables import CostTable
from ..measure.early_exit import ExitRule, tradeoff
from ..measure.evaluation import Evaluation, evaluate
from ..measure.outcomes import Calibration, calibration, worst_pairs
from ..measure.schedules import schedules
from ..models.network import SpikingNetwork
from ..records.record import RunRecord, read_exports
from .sample_trace import SampleTrace, trace_sample

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # of confidence, to leave early
MOST_CONFUSIONS = 6
MOST_PIXELS = 96  # of a side of a thumbnail
MOST_TRIED = 16  # samples, until one is answered correctly with a code that is drawn anew

Document = dict[str, Any]


@dataclass(frozen=True)
class Confusion:
    """A pair of classes that is confused, with the sample in which the network is most sure.

    Attributes:
        true, answer: classes.
        count: samples of `true` that are answered so.
        sample, confidence: the most confident of them.
        image: of it, as a `data:` address.
    """

    true: int
    answer: int
    count: int
    sample: int
    confidence: float
    image: str


@dataclass(frozen=True)
class RunReport:
    """What a page tells of a run.

    Attributes:
        record: what its files say.
        network: the arguments of `create_model`.
        data: the data set, of which `split` was evaluated.
        samples: fingerprint of that split.
        result: of the evaluation, operations counted.
        energy: `energy_report`.
        twin: what the ANN of the same architecture spends on an image, all inputs counted, in pJ.
        exits: `tradeoff` of fixed steps and of confidence.
        calibration: of the last step.
        learned: schedules by layer.
        sample: which one is shown on its way, and why that one.
        passage: its way.
        confusions: the most frequent ones.
        exports: what `parity.json` of each export holds, by its folder.
    """

    record: RunRecord
    network: Document
    data: DataSet
    split: str
    samples: str
    result: Evaluation
    energy: Document
    twin: float
    exits: list[Document]
    calibration: Calibration
    learned: dict[str, dict[str, list[float]]]
    sample: tuple[int, str]
    passage: SampleTrace
    confusions: list[Confusion]
    exports: dict[str, Document]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.resolve().name

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.record.run.path

    @property
    def counts(self) -> Counts:
        """What was counted."""
        assert self.result.counts is not None
        return self.result.counts

    @property
    def steps(self) -> int:
        """Number of time steps T."""
        return len(self.result.accuracy_per_step)

    def figures(self) -> Document:
        """Return the main figures, for JSON; None where they are not known or no number."""
        found = {
            "accuracy": self.result.accuracy,
            "loss": self.result.loss,
            "best_validation_accuracy": self.record.best("validation_accuracy"),
            "best_epoch": self.record.best("epoch"),
            "calibration_error": self.result.calibration_error,
            "spikes_per_sample": self.result.spikes_per_sample,
            "picojoules_per_sample": self.energy["picojoules_per_sample"],
            "ann_twin_picojoules": self.twin,
            "accumulates": self.energy["accumulates"],
            "multiply_accumulates": self.energy["multiply_accumulates"],
            "parameters": self.record.figure("parameters") or self.energy["parameters"],
            "steps": self.steps,
            "samples": self.result.samples,
        }
        return {key: None if _no_number(value) else value for key, value in found.items()}


def collect(
    record: RunRecord,
    model: SpikingNetwork,
    data: DataSet,
    *,
    split: str,
    table: CostTable,
    sample: int | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> RunReport:
    """Evaluate a run and return all that a page tells of it.

    Args:
        record: what its files say.
        model: its network, on `device`.
        data: its data.
        split: which part is evaluated.
        table: of costs.
        sample: which one is shown on its way; by default the first that is answered correctly,
            also when its code is drawn anew.
        batch_size: samples at a time.
        device: where to compute.

    Raises:
        ConfigError: there is no such split or sample.
    """
    part = data.split(split)
    if sample is not None and not 0 <= sample < len(part):
        raise ConfigError(
            f"there is no sample {sample}",
            why=f"the {split} split of {data.name} has {len(part):,}, counted from 0",
        )
    result = evaluate(
        model,
        part,
        classes=len(data.classes),
        full_scale=data.full_scale,
        batch_size=batch_size,
        device=device,
        count=True,
    )
    assert result.counts is not None
    twin = total_cost(dense_ann_counts(model), table, dense=True)
    chosen, passage = _shown(model, part, result, data.full_scale, sample)
    rules = [ExitRule("confidence", level) for level in LEVELS]
    return RunReport(
        record=record,
        network=model.config,
        data=data,
        split=split,
        samples=fingerprint(part),
        result=result,
        energy=energy_report(result.counts, table),
        twin=twin.total(table),
        exits=tradeoff(result.outcomes, rules, energy_of_samples(result.counts, table)),
        calibration=calibration(result.outcomes),
        learned=schedules(model),
        sample=chosen,
        passage=passage,
        confusions=_confusions(result, part, data.full_scale),
        exports=read_exports(record.run),
    )


def image_of(split: Split, index: int, full_scale: float) -> Tensor:
    """Return one image `[C, H, W]` in [0, 1]."""
    image = split.images[index]
    return image.float() / full_scale if image.dtype == torch.uint8 else image.float()


def thumbnail(image: Tensor) -> str:
    """Return an image as the `data:` address of a small PNG; grey unless it has three channels."""
    from PIL import Image

    values = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    pixels = values.permute(1, 2, 0) if len(values) == 3 else image.mean(0).clamp(0, 1) * 255
    picture = Image.fromarray(pixels.round().to(torch.uint8).numpy())
    picture.thumbnail((MOST_PIXELS, MOST_PIXELS))
    written = io.BytesIO()
    picture.save(written, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"


def _shown(
    model: SpikingNetwork, split: Split, result: Evaluation, full_scale: float, asked: int | None
) -> tuple[tuple[int, str], SampleTrace]:
    """Return which sample is shown and why, with its passage."""

    def passage(index: int) -> SampleTrace:
        return trace_sample(model, image_of(split, index, full_scale))

    if asked is not None:
        return (asked, "as asked for"), passage(asked)
    right = result.outcomes.correct[-1].nonzero().flatten().tolist()
    if not right:
        return (0, "the first; none is answered correctly"), passage(0)
    for place, index in enumerate(right[:MOST_TRIED]):
        found = passage(index)
        if found.answers[-1] == int(result.outcomes.labels[index]):
            again = "" if place == 0 else ", also here"
            return (index, f"the first that is answered correctly{again}"), found
    return (right[0], "the first that is answered correctly"), passage(right[0])


def _no_number(value: float | None) -> bool:
    return value is not None and not math.isfinite(value)


def _confusions(result: Evaluation, split: Split, full_scale: float) -> list[Confusion]:
    labels, answers = result.outcomes.labels, result.outcomes.predictions[-1]
    confidence = result.outcomes.confidence[-1]
    found = []
    for count, true, answer in worst_pairs(result.confusion)[:MOST_CONFUSIONS]:
        of_pair = (labels == true) & (answers == answer)
        surest = int(torch.where(of_pair, confidence, -1.0).argmax())
        image = thumbnail(image_of(split, surest, full_scale))
        found.append(Confusion(true, answer, count, surest, float(confidence[surest]), image))
    return found
