"""The content of a page about one run, as plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..coding.samples import EventBatch
from ..core.errors import ConfigError
from ..datasets.base import DataSet, Split, fingerprint, sample_at
from ..measure.cost.ann_comparison import dense_ann_report
from ..measure.cost.energy import energy_of_samples, energy_report
from ..measure.cost.operations import Counts
from ..measure.cost.tables import CostTable
from ..measure.early_exit import ExitRule, tradeoff
from ..measure.evaluation import Evaluation, evaluate
from ..measure.schedules import schedules
from ..models.network import SpikingNetwork
from ..records.record import RunRecord, read_exports
from ..tasks.base import Task
from ..tasks.classification import Classification
from ..tasks.outcomes import Calibration, calibration, worst_pairs
from .sample_trace import SampleTrace, trace_sample
from .thumbnails import image_of, thumbnail

CONFIDENCE_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # for early exit
MAX_CONFUSIONS = 6
MAX_TRIES = 16  # samples, until a random code gives a correct prediction again

Document = dict[str, Any]


@dataclass(frozen=True)
class Confusion:
    """A pair of classes that is confused, with the most confident of its samples.

    Attributes:
        true, predicted: classes.
        count: samples of class `true` predicted as `predicted`.
        sample, confidence: of the most confident one.
        image: of that sample, as a `data:` address.
    """

    true: int
    predicted: int
    count: int
    sample: int
    confidence: float
    image: str


@dataclass(frozen=True)
class RunReport:
    """The content of a page about a run.

    Attributes:
        record: of the run's files.
        network: the arguments of `create_model`.
        data: the data set.
        split: which part of it was evaluated.
        samples: fingerprint of that split.
        result: of the evaluation, with counted operations.
        energy: of `energy_report`.
        dense_ann: of `dense_ann_report`.
        tradeoff: of fixed steps and of confidence levels.
        calibration: of the last step.
        schedules: by layer.
        sample: index of the sample that is traced, and the reason for its choice.
        trace: of that sample.
        confusions: the most frequent ones.
        exports: the content of `parity.json` of each export, by folder.
    """

    record: RunRecord
    network: Document
    data: DataSet
    split: str
    samples: str
    result: Evaluation
    energy: Document
    dense_ann: Document
    tradeoff: list[Document]
    calibration: Calibration
    schedules: dict[str, dict[str, list[float]]]
    sample: tuple[int, str]
    trace: SampleTrace
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
        """The counted operations."""
        assert self.result.counts is not None
        return self.result.counts

    @property
    def steps(self) -> int:
        """Number of time steps T."""
        return len(self.result.accuracy_per_step)

    def figures(self) -> Document:
        """Return the main figures for JSON; None if unknown or not finite."""
        found = {
            "accuracy": self.result.accuracy,
            "loss": self.result.loss,
            "best_validation_accuracy": self.record.best("validation_accuracy"),
            "best_epoch": self.record.best("epoch"),
            "calibration_error": self.result.calibration_error,
            "spikes_per_sample": self.result.spikes_per_sample,
            "picojoules_per_sample": self.energy["picojoules_per_sample"],
            "ann_twin_picojoules": self.dense_ann["picojoules_per_sample"],
            "accumulates": self.energy["accumulates"],
            "multiply_accumulates": self.energy["multiply_accumulates"],
            "parameters": self.record.figure("parameters") or self.energy["parameters"],
            "steps": self.steps,
            "samples": self.result.samples,
        }
        return {
            key: None if value is not None and not math.isfinite(value) else value
            for key, value in found.items()
        }


def collect(
    record: RunRecord,
    model: SpikingNetwork,
    data: DataSet,
    *,
    split: str,
    table: CostTable,
    task: Task | None = None,
    sample: int | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> RunReport:
    """Evaluate a run and return the content of its page.

    Args:
        record: of the run's files.
        model: its network, on `device`.
        data: its data.
        split: the part to evaluate.
        table: of costs.
        task: of the network; classification by default.
        sample: index of the sample to trace; by default the first that is classified correctly,
            also by its trace if the code is random.
        batch_size: samples per batch.
        device: of the network.

    Raises:
        ConfigError: the split or the sample does not exist, or the answer for a sample is not one
            class.
    """
    part = data.split(split)
    if sample is not None and not 0 <= sample < len(part):
        raise ConfigError(
            f"there is no sample {sample}",
            why=f"the {split} split of {data.name} has {len(part):,}, counted from 0",
        )
    if task is None:
        task = Classification.of(len(data.classes))
        task.use_readout(model.readout)
    if not task.one_class:
        raise ConfigError(
            f"a report shows classes, the task of the run is {task.name}",
            why="its metrics have no page yet",
            remedy="see them with `asnn eval`",
        )
    result = evaluate(
        model,
        part,
        task=task,
        full_scale=data.full_scale,
        batch_size=batch_size,
        device=device,
        count=True,
    )
    assert result.counts is not None
    traced, trace = _trace(model, part, result, data.full_scale, sample)
    rules = [ExitRule("confidence", level) for level in CONFIDENCE_LEVELS]
    return RunReport(
        record=record,
        network=model.config,
        data=data,
        split=split,
        samples=fingerprint(part),
        result=result,
        energy=energy_report(result.counts, table),
        dense_ann=dense_ann_report(model, table),
        tradeoff=tradeoff(result.class_outcomes, rules, energy_of_samples(result.counts, table)),
        calibration=calibration(result.class_outcomes),
        schedules=schedules(model),
        sample=traced,
        trace=trace,
        confusions=_confusions(result, part, data.full_scale),
        exports=read_exports(record.run),
    )


def _trace(
    model: SpikingNetwork,
    split: Split,
    result: Evaluation,
    full_scale: float,
    requested: int | None,
) -> tuple[tuple[int, str], SampleTrace]:
    """Return the index of the traced sample with the reason for its choice, and its trace."""

    def trace(index: int) -> SampleTrace:
        image = image_of(split, index, full_scale)
        if "image" in model.coding.takes:
            return trace_sample(model, image)
        sample = sample_at(split, index)
        batch = sample if isinstance(sample, EventBatch) else sample.unsqueeze(0)
        return trace_sample(model, image, batch)

    if requested is not None:
        return (requested, "as requested"), trace(requested)
    correct = result.class_outcomes.correct[-1].nonzero().flatten().tolist()
    if not correct:
        return (0, "the first; none is classified correctly"), trace(0)
    for tries, index in enumerate(correct[:MAX_TRIES]):
        found = trace(index)
        if found.predictions[-1] == int(result.class_outcomes.labels[index]):
            again = "" if tries == 0 else ", also here"
            return (index, f"the first that is classified correctly{again}"), found
    return (correct[0], "the first that is classified correctly"), trace(correct[0])


def _confusions(result: Evaluation, split: Split, full_scale: float) -> list[Confusion]:
    labels, predictions = result.class_outcomes.labels, result.class_outcomes.predictions[-1]
    confidence = result.class_outcomes.confidence[-1]
    found = []
    for count, true, predicted in worst_pairs(result.confusion)[:MAX_CONFUSIONS]:
        of_pair = (labels == true) & (predictions == predicted)
        index = int(torch.where(of_pair, confidence, -1.0).argmax())
        image = thumbnail(image_of(split, index, full_scale))
        found.append(Confusion(true, predicted, count, index, float(confidence[index]), image))
    return found
