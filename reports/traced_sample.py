"""The sample whose spikes are shown: which one it is, its trace, its code and its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..coding.samples import Batch, EventBatch
from ..datasets.base import Split, sample_at
from ..measure.encoding.samples import EncodedSample
from ..models.network import SpikingNetwork
from ..tasks.outcomes import Outcomes
from .sample_trace import SampleTrace, TimesTrace, trace_sample, trace_times
from .thumbnails import image_of


@dataclass(frozen=True)
class TracedOutputs:
    """The outputs of a network for one sample, and what they should be.

    Attributes:
        outputs: `[T, K]`, after each step of the code.
        target: real values `[T, K]`, one row if it is that of the end; NaN is not known. None if
            the target has another form.
        labels: a class for each step `[T]`, -1 for none. None if the target has another form.
    """

    outputs: Tensor
    target: Tensor | None = None
    labels: Tensor | None = None


@dataclass(frozen=True)
class TracedSample:
    """A traced sample.

    Attributes:
        index: of the sample.
        why: the reason for its choice.
        trace: its code, spikes and predictions.
        encoded: the recording or series with the steps of its code; None for an image, and at exact
            times.
    """

    index: int
    why: str
    trace: SampleTrace | TimesTrace
    encoded: EncodedSample | None


def traced_sample(
    model: SpikingNetwork,
    split: Split,
    full_scale: float,
    outcomes: Outcomes | None,
    requested: int | None,
) -> TracedSample:
    """Return a sample with its trace.

    Args:
        model: the network.
        split: the samples.
        full_scale: of their values.
        outcomes: of the samples, if each has one class.
        requested: index of the sample; by default the first that is classified correctly. Without
            classes it is the first.
    """

    def trace(index: int, why: str) -> TracedSample:
        image = image_of(split, index, full_scale)
        if model.coding.gives_times:
            alone = sample_at(split, index)
            recording = isinstance(alone, EventBatch)
            return TracedSample(index, why, trace_times(model, alone if recording else image), None)
        if "image" in model.coding.takes:
            return TracedSample(index, why, trace_sample(model, image, index=index), None)
        sample = sample_at(split, index)
        batch: Batch = sample if isinstance(sample, EventBatch) else sample.unsqueeze(0)
        found = trace_sample(model, image, batch, index=index)
        encoded = EncodedSample(model.coding, batch, found.encoded.steps)
        return TracedSample(index, why, found, encoded)

    if requested is not None:
        return trace(requested, "as requested")
    if outcomes is None:
        return trace(0, "the first")
    correct = outcomes.correct[-1].nonzero().flatten().tolist()
    if not correct:
        return trace(0, "the first; none is classified correctly")
    return trace(correct[0], "the first that is classified correctly")


@torch.no_grad()
def traced_outputs(
    model: SpikingNetwork, split: Split, traced: TracedSample, device: Any
) -> TracedOutputs | None:
    """Return the outputs of a traced sample with its target; None of outputs with places.

    Where the target has a value or a class for each step, the outputs are those of each step;
    otherwise they are the answers so far.

    Args:
        model: the network, on `device`.
        split: the samples.
        traced: one of them.
        device: of the network.
    """
    assert isinstance(traced.trace, SampleTrace), "exact times are those of classes"
    if traced.trace.answers.dim() > 2:
        return None
    network = model.frozen()
    code = traced.trace.encoded.steps.unsqueeze(1).to(device)
    outputs = network.run(code).float().cpu()
    target = torch.as_tensor(split.targets)[traced.index : traced.index + 1]
    spec = model.coding.spec
    per_step = spec is not None and spec.steps is not None and target.shape[1:2] == (spec.steps,)
    if per_step:
        target = model.coding.step_targets(target)[:, : len(outputs)]
    if not target.is_floating_point():
        return TracedOutputs(outputs[:, 0], labels=target[0] if per_step else None)
    if not per_step:
        outputs = network.readout.so_far(outputs)
    values = target.reshape(len(outputs) if per_step else 1, -1)
    fits = values.shape[1] == outputs.shape[2]
    return TracedOutputs(outputs[:, 0], target=values if fits else None)
