"""Samples in a code of exact times: what went in, when each address fires, and what is decoded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...coding.base import Coding
from ...coding.draws import drawing, sample_keys
from ...coding.samples import Batch, EventBatch
from ...coding.stored_times import StoredTimes
from ...core.errors import ConfigError
from .images import errors


@dataclass(frozen=True)
class EncodedTimes:
    """One image, or one recording of events, in exact spike times.

    Attributes:
        coding: the code.
        sample: an image `[C, H, W]` in [0, 1], or a batch of one recording.
        times: of each address `[C, H, W, S]`, ascending, +inf behind the last spike.
        decoded: `[C, H, W]`, or None if the code has no decoder for the sample.
    """

    coding: Coding
    sample: Batch
    times: Tensor
    decoded: Tensor | None

    def counts(self) -> Tensor:
        """Return the number of spikes of each address, `[C, H, W]`."""
        return self.times.isfinite().sum(-1)

    def first(self) -> Tensor:
        """Return the time of the first spike of each address, `[C, H, W]`; +inf without one."""
        return self.times[..., 0]

    def error(self) -> Tensor | None:
        """Return |decoded - image| `[C, H, W]`, or None without a decoder."""
        return None if self.decoded is None else (self.decoded - self.sample).abs()  # type: ignore[operator]

    def figures(self) -> dict[str, Any]:
        """Return events in, spikes out, silent addresses, times, and the errors of decoding.

        `events` is None for an image; `first_spike`, the mean over the addresses that fire, and
        `last_spike` are None if none does; the errors and `exact` are None without a decoder.
        """
        fired = self.times[self.times.isfinite()]
        first = self.first()[self.first().isfinite()]
        found: dict[str, Any] = {
            "events": int(self.sample.counts()) if isinstance(self.sample, EventBatch) else None,
            "spikes": len(fired),
            "addresses": self.first().numel(),
            "silent": int((self.counts() == 0).sum()),
            "first_spike": float(first.mean()) if len(first) else None,
            "last_spike": float(fired.max()) if len(fired) else None,
        }
        error = self.error()
        if error is None:
            return found | dict.fromkeys(("rmse", "greatest_error", "psnr_db", "exact"))
        found |= errors(float(error.double().square().mean()), float(error.max()))
        return {**found, "exact": found["greatest_error"] == 0}


@dataclass(frozen=True)
class EncodedManyTimes:
    """Images, or recordings of events, in exact spike times.

    Attributes:
        times: of all samples.
        targets: `[N, ...]`, or None.
        first: the first sample.
        events: in the samples; None of images.
        squared_error, max_error: sum of the squared errors of the decoded samples and the largest
            absolute error; None if nothing was decoded.
    """

    times: StoredTimes
    targets: Tensor | None
    first: EncodedTimes
    events: int | None
    squared_error: float | None
    max_error: float | None

    def figures(self) -> dict[str, Any]:
        """Return shape, means over the samples, and the errors if samples were decoded."""
        samples, places = self.times.shape[1], self.first.first().numel()
        found: dict[str, Any] = {
            "shape": list(self.times.shape),
            "samples": samples,
            "events_per_sample": None if self.events is None else self.events / samples,
            "spikes_per_sample": len(self.times.times) / samples,
            "silent": 1 - len(self.times.counts()) / (samples * places),
            "last_spike": float(self.times.times.max()) if len(self.times.times) else None,
        }
        if self.squared_error is not None:
            assert self.max_error is not None
            found |= errors(self.squared_error / (samples * places), self.max_error)
        return found


def times_of(coding: Coding, sample: Batch, times: Tensor | None = None) -> EncodedTimes:
    """Return one sample in exact times.

    Args:
        coding: the code, bound to the samples.
        sample: an image `[C, H, W]`, or a batch of one recording.
        times: `[C, H, W, S]`, the encoded sample; by default `coding` encodes it.
    """
    batch = sample if isinstance(sample, EventBatch) else sample.unsqueeze(0)
    code = coding.encode(batch) if times is None else times[None, None]  # type: ignore[arg-type]
    try:
        decoded = _decoded(coding, code, batch)[0]
    except ConfigError:
        decoded = None
    return EncodedTimes(coding, sample, code[0, 0], decoded)


def encode_times(
    coding: Coding,
    batches: Iterable[tuple[Batch, Tensor | None]],
    *,
    decode: bool = False,
    seed: int = 0,
    first: int = 0,
) -> EncodedManyTimes:
    """Encode batches one after another; memory holds the spikes and one batch.

    Args:
        coding: the code, bound to the samples.
        batches: samples with their targets or None; at least one batch.
        decode: decode the samples and compute the errors.
        seed: of random codes; 0 draws what an evaluation draws.
        first: the index of the first sample in its split.

    Raises:
        ConfigError: `decode` was requested, and the code has no decoder for these samples.
    """
    parts, targets, shown, events, begin = [], [], None, None, first
    squared_error, max_error = 0.0, 0.0
    for x, y in batches:
        with drawing(sample_keys(torch.arange(begin, begin + len(x)), seed)):
            code = coding.encode(x)  # type: ignore[arg-type]
        if decode:
            error = (_decoded(coding, code, x) - x).double()  # type: ignore[operator]
            squared_error += float(error.square().sum())
            max_error = max(max_error, float(error.abs().max()))
        if shown is None:
            sample = x.split(1)[0] if isinstance(x, EventBatch) else x[0]
            shown = times_of(coding, sample, code[0, 0])
        if isinstance(x, EventBatch):
            events = (events or 0) + len(x.t)
        parts.append(StoredTimes.of(code.numpy()))
        targets += [] if y is None else [y]
        begin += len(x)
    assert shown is not None, "there are no samples"
    return EncodedManyTimes(
        times=StoredTimes.joined(parts),
        targets=torch.cat(targets) if targets else None,
        first=shown,
        events=events,
        squared_error=squared_error if decode else None,
        max_error=max_error if decode else None,
    )


def _decoded(coding: Coding, code: Tensor, x: Batch) -> Tensor:
    """Return the decoded samples in the type of the samples, in which a code may be exact."""
    if isinstance(x, EventBatch):
        raise ConfigError(
            f"the code {coding.name!r} of recordings cannot be decoded",
            why="only a value has a time of its own",
            remedy="leave --decode out",
        )
    return coding.decode(code, coding.moments(x)).to(x.dtype)
