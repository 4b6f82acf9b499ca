"""Predictions of a stream of inputs, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...coding.draws import drawing, sample_keys
from ...coding.samples import Batch, EventBatch, SampleSpec
from .answers import Answers
from .inputs.sample import Sample, Unreadable
from .prediction import Prediction
from .runtimes import Outputs, Runtime

MAX_BYTES = 2**28
"""Of the samples of a batch: a batch of long recordings has fewer of them."""


@dataclass(frozen=True)
class Predictor:
    """A network that answers to samples.

    Attributes:
        runtime: computes the outputs.
        answers: turns them into fields of predictions.
        spec: the samples that the network takes.
    """

    runtime: Runtime
    answers: Answers
    spec: SampleSpec

    def predict(
        self, samples: Iterable[Sample | Unreadable], batch_size: int = 256
    ) -> Iterator[Prediction]:
        """Yield a prediction for each sample, in order; memory holds one batch.

        What cannot be read gives a prediction with its `error`, and the others are not lost.
        """
        first = 0
        for batch in _batches(samples, batch_size):
            readable = [each for each in batch if isinstance(each, Sample)]
            fields: Iterator[dict[str, Any]] = iter(())
            if readable:
                decided = self.answers.decided if self.answers.decides else None
                x = _collated(readable, self.spec)
                outputs = self.runtime.run(x, first, decided)
                keys = sample_keys(torch.arange(first, first + len(readable)), 0)
                with drawing(keys):  # a readout may draw
                    fields = iter(self._fields(outputs, x))
                first += len(readable)
            for each in batch:
                if isinstance(each, Unreadable):
                    yield Prediction(each.source, error=each.error)
                else:
                    given = {"expected": each.expected, "changes": each.changes}
                    yield _placed(Prediction(each.source, **next(fields), **given), each)

    def _fields(self, outputs: Outputs, x: Batch) -> list[dict[str, Any]]:
        found = self.answers.of(outputs.logits, x, outputs.every)
        reasons = dict(outputs.reasons)
        for name in ("spikes", "picojoules"):
            by_step: Tensor | None = getattr(outputs, name)
            if by_step is not None:
                total = by_step.cumsum(0)
                for b, fields in enumerate(found):
                    last = fields["step"] - 1 if self.answers.decides else -1
                    value = float(total[last, b])
                    fields[name] = int(value) if value.is_integer() else value
        return [{**fields, "reasons": reasons} for fields in found]


def _placed(prediction: Prediction, sample: Sample) -> Prediction:
    """Return a prediction with its boxes in pixels of the file, without those outside of it."""
    place = sample.placement
    if prediction.boxes is None or place is None:
        return prediction
    boxes = [replace(each, corners=place.to_picture(each.corners)) for each in prediction.boxes]
    return replace(prediction, boxes=tuple(each for each in boxes if each.has_area))


def _batches(
    samples: Iterable[Sample | Unreadable], batch_size: int
) -> Iterator[list[Sample | Unreadable]]:
    batch: list[Sample | Unreadable] = []
    held = 0
    for sample in samples:
        batch.append(sample)
        held += sample.nbytes
        if len(batch) == batch_size or held >= MAX_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _collated(samples: list[Sample], spec: SampleSpec) -> Batch:
    values: list[Any] = [sample.value for sample in samples]
    if spec.kind == "events":
        assert spec.duration is not None
        return EventBatch.of(values, spec.shape, spec.duration)
    if spec.kind == "image":  # as a data set scales its batches
        values = [x.float() / 255 if x.dtype == torch.uint8 else x for x in values]
    return torch.stack(values)
