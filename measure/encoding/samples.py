"""Encoded recordings of events and encoded series: what went in, and what came out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...coding.base import Coding
from ...coding.draws import drawing, sample_keys
from ...coding.samples import Batch, EventBatch
from ...coding.stored import StoredSteps
from .steps import CodeSteps


@dataclass(frozen=True)
class EncodedSample:
    """One recording of events, or one series, encoded.

    Attributes:
        coding: the code.
        sample: a batch of one recording, or a series `[1, T, ...]`.
        steps: `[T, ...]`: `coding.analog_steps` steps of values, then steps of spikes.
    """

    coding: Coding
    sample: Batch
    steps: Tensor

    def figures(self) -> dict[str, Any]:
        """Return events in, spikes and sum of values out, and the share of non-zero values.

        `events` is None for a series, `spikes` if all steps are analog.
        """
        events = self.sample.counts() if isinstance(self.sample, EventBatch) else None
        return _figures(self.coding, self.steps.unsqueeze(1), events)[0]


@dataclass(frozen=True)
class EncodedSamples:
    """Recordings of events, or series, encoded.

    Attributes:
        coding: the code.
        steps: those of the code, `[T, N, ...]`.
        targets: of the steps of the code if there is one a step, `[N, ...]`, or None.
        first: the first sample, a batch of one.
        each: the `EncodedSample.figures` of each sample.
        squared_error, max_error: sum of the squared errors of the decoded samples and the largest
            absolute error; None if nothing was decoded.
    """

    coding: Coding
    steps: StoredSteps
    targets: Tensor | None
    first: Batch
    each: list[dict[str, Any]]
    squared_error: float | None
    max_error: float | None

    @property
    def code(self) -> Tensor:
        """`[T, N, ...]`; uint8 if all values are spikes, float32 otherwise."""
        return torch.from_numpy(self.steps.dense())

    def sample(self) -> EncodedSample:
        """Return the first sample, encoded."""
        steps = torch.from_numpy(self.steps.sample(0)).float()
        return EncodedSample(self.coding, self.first, steps)

    def figures(self) -> dict[str, Any]:
        """Return shape, means over the samples, the figures of each, and errors if decoded."""
        found: dict[str, Any] = {"shape": list(self.steps.shape), "samples": len(self.each)}
        for key, name in (("events", "events"), ("spikes", "spikes"), ("sum", "sum")):
            values = [each[key] for each in self.each if each[key] is not None]
            found[f"{name}_per_sample"] = sum(values) / len(values) if values else None
        found["nonzero"] = sum(each["nonzero"] for each in self.each) / len(self.each)
        if self.squared_error is not None:
            rmse = math.sqrt(self.squared_error / math.prod(self.steps.shape))
            found |= {"rmse": rmse, "greatest_error": self.max_error}
        return {**found, "each": self.each}


def encode_samples(
    coding: Coding,
    batches: Iterable[tuple[Batch, Tensor | None]],
    count: int,
    *,
    decode: bool = False,
    seed: int = 0,
    first: int = 0,
) -> EncodedSamples:
    """Encode batches one after another; memory holds the steps and one batch.

    Args:
        coding: the code, bound to the samples.
        batches: samples with their targets or None; at least one batch.
        count: the number of samples.
        decode: decode the samples and compute the errors.
        seed: of random codes; 0 draws what an evaluation draws.
        first: the index of the first sample in its split.

    Raises:
        ConfigError: `decode` was requested, and the code has no decoder.
    """
    targets, each = [], []
    steps, shown = None, None
    begin = 0
    squared_error, max_error = 0.0, 0.0
    for x, y in batches:
        keys = sample_keys(torch.arange(first + begin, first + begin + len(x)), seed)
        with drawing(keys):
            code = coding.encode(x)  # type: ignore[arg-type]
        if decode:
            decoded = coding.decode(code)
            assert not isinstance(x, EventBatch), "codes of events have no decoder"
            error = (decoded - x).double()
            squared_error += float(error.square().sum())
            max_error = max(max_error, float(error.abs().max()))
        if steps is None:
            steps, shown = CodeSteps(coding, count, tuple(code.shape[2:])), x.split(1)[0]
        each += _figures(coding, code, x.counts() if isinstance(x, EventBatch) else None)
        steps.put(code, begin)
        begin += len(x)
        if y is not None:
            has_steps = coding.spec is not None and y.shape[1:2] == (coding.spec.steps,)
            targets.append(coding.step_targets(y) if has_steps else y)
    assert steps is not None and shown is not None, "there are no samples"
    return EncodedSamples(
        coding=coding,
        steps=steps.stored(),
        targets=torch.cat(targets) if targets else None,
        first=shown,
        each=each,
        squared_error=squared_error if decode else None,
        max_error=max_error if decode else None,
    )


def _figures(coding: Coding, code: Tensor, events: Tensor | None) -> list[dict[str, Any]]:
    """Return the `EncodedSample.figures` of each sample of a code `[T, B, ...]`."""
    by_sample = code.transpose(0, 1).flatten(1)
    sums = by_sample.sum(1, dtype=torch.float64).tolist()
    nonzero = (by_sample != 0).double().mean(1).tolist()
    spikes = coding.count_spikes(code).tolist() if coding.analog_steps < coding.steps else None
    return [
        {
            "events": None if events is None else int(events[i]),
            "spikes": None if spikes is None else spikes[i],
            "sum": sums[i],
            "nonzero": nonzero[i],
        }
        for i in range(len(sums))
    ]
