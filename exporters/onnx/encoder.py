"""Encoders in ONNX: from images `[N, C, H, W]` to the steps that a network reads.

Each function computes `encode` of its coding, with the same thresholds in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from onnx import TensorProto

from ...coding.base import Coding
from ...coding.images.bins import Bins
from ...coding.images.burst import Burst
from ...coding.images.delta import Delta
from ...coding.images.direct import Direct
from ...coding.images.hybrid import HybridEmbedding, HybridTemporal
from ...coding.images.impulse import Impulse
from ...coding.images.latency import Latency
from ...coding.images.phase import Phase
from ...coding.images.slots import Embedding, SlotCoding, Temporal
from ...coding.images.thresholds import LAYER_NORM_EPS, QuantileThresholds
from ...coding.images.ttfs import Ttfs
from ...core.errors import ConfigError
from .builder import Builder


def add_encoder(b: Builder, coding: Coding, image: str, name: str) -> str:
    """Add the encoder and return the name of the code, `[T, N, C, H, W]`, `[1, ...]` if static.

    Raises:
        ConfigError: the coding has no form in ONNX.
    """
    check_encoder(coding)
    return _ENCODERS[type(coding)](b, coding, image, name)


def check_encoder(coding: Coding) -> None:
    """Refuse a coding that ONNX cannot compute from an image.

    Raises:
        ConfigError: it is random, a published variant, or from another package.
    """
    why = ""
    if "image" not in coding.takes:
        why = "its samples are not images"
    elif coding.name == "rate":
        why = "it is random, and two runtimes do not draw the same numbers"
    elif type(coding) not in _ENCODERS:
        why = "the exporter has no ONNX form of it"
    elif getattr(getattr(coding, "inner", coding), "variant", "fixed") != "fixed":
        why = "the published variant is for comparison and is not exported"
    if why:
        raise ConfigError(
            f"the code {coding.name!r} cannot be part of an ONNX file",
            why=why,
            remedy="export with --input spikes, and encode outside",
        )


def _direct(b: Builder, coding: Direct, image: str, name: str) -> str:
    if coding.levels is not None:
        level = _level(b, image, coding.levels, name)
        image = b.op("Div", [level, _number(b, f"{name}.most", coding.levels)], f"{name}/rounded")
    return b.op("Unsqueeze", [image, b.integers(0)], name)


def _hybrid(b: Builder, coding: HybridTemporal | HybridEmbedding, image: str, name: str) -> str:
    first = b.op("Unsqueeze", [image, b.integers(0)], f"{name}/analog")
    others = _slots(b, coding.inner, image, f"{name}/spikes")
    return b.op("Concat", [first, others], name, axis=0)


def _impulse(b: Builder, coding: Impulse, image: str, name: str) -> str:
    if coding.static:
        share = b.op("Div", [image, _number(b, f"{name}.steps", coding.steps)], f"{name}/share")
        return b.op("Unsqueeze", [share, b.integers(0)], name)
    first = b.op("Unsqueeze", [image, b.integers(0)], f"{name}/first")
    if coding.steps == 1:
        return b.op("Identity", [first], name)
    silent = b.op("Mul", [first, _number(b, f"{name}.none", 0)], f"{name}/silent")
    return b.op("Concat", [first, *[silent] * (coding.steps - 1)], name, axis=0)


def _slots(b: Builder, coding: SlotCoding, image: str, name: str) -> str:
    thresholds = coding.thresholds
    x = image
    if isinstance(thresholds, QuantileThresholds):
        x = _standardised(b, image, name)
    rising = thresholds.boundaries(torch.float32).numpy()
    if isinstance(coding, Bins) and coding.background == "last":  # its last slot has no end
        rising = np.concatenate(
            [[-np.inf], rising[1:]], dtype=np.float32
        )  # the last slot takes all
    if isinstance(coding, Temporal):
        return _temporal(b, x, rising, name)
    return _embedding(b, x, rising, coding.steps, name)


def _standardised(b: Builder, image: str, name: str) -> str:
    """(x - mean) / √(variance + eps) over all of an image."""

    def mean(x: str, of: str) -> str:
        # ReduceMean took its axes as an attribute before opset 18; a flat image needs none.
        flat = b.op("Flatten", [x], f"{name}/{of}_flat", axis=1)
        total = b.op("ReduceSum", [flat, b.integers(1)], f"{name}/{of}_sum", keepdims=1)
        size = b.op("Shape", [flat], f"{name}/{of}_shape", start=1)
        number = b.op("Cast", [size], f"{name}/{of}_number", to=TensorProto.FLOAT)
        value = b.op("Div", [total, number], f"{name}/{of}_mean")
        return b.op("Unsqueeze", [value, b.integers(2, 3)], f"{name}/{of}")

    centred = b.op("Sub", [image, mean(image, "mean")], f"{name}/centred")
    squares = b.op("Mul", [centred, centred], f"{name}/squares")
    variance = mean(squares, "variance")
    safe = b.op(
        "Add", [variance, b.constant("layer_norm_eps", np.float32(LAYER_NORM_EPS))], f"{name}/safe"
    )
    deviation = b.op("Sqrt", [safe], f"{name}/deviation")
    return b.op("Div", [centred, deviation], f"{name}/standardised")


def _temporal(b: Builder, x: str, rising: np.ndarray, name: str) -> str:
    """code_t = H(x - θ_{t+1}) - H(x - θ_t): above one threshold and not above the next."""
    falling = rising[::-1].reshape(-1, 1, 1, 1, 1)
    passed = b.op("Greater", [x, b.constant(f"{name}.thresholds", falling)], f"{name}/passed")
    if len(rising) == 1:
        return b.op("Cast", [passed], name, to=TensorProto.FLOAT)
    counts = b.op("Cast", [passed], f"{name}/count", to=TensorProto.FLOAT)
    steps = len(rising)
    first, others = b.ops(
        "Split",
        [counts, b.integers(1, steps - 1)],
        [f"{name}/first", f"{name}/others"],
        axis=0,
    )
    before, _ = b.ops(
        "Split",
        [counts, b.integers(steps - 1, 1)],
        [f"{name}/before", f"{name}/last"],
        axis=0,
    )
    fresh = b.op("Sub", [others, before], f"{name}/fresh")
    return b.op("Concat", [first, fresh], name, axis=0)


def _embedding(b: Builder, x: str, rising: np.ndarray, steps: int, name: str) -> str:
    """The slot number in binary: a binary search over the K = 2^T - 1 thresholds."""
    table = b.constant(f"{name}.thresholds", rising)
    below = None  # the number of thresholds below x
    for bit in reversed(range(steps)):
        half = b.constant(f"{name}.bit{bit}", 2**bit, np.int64)
        at = b.constant(f"{name}.middle{bit}", 2**bit - 1, np.int64)
        if below is not None:
            at = b.op("Add", [below, at], f"{name}/{bit}/index")
        threshold = b.op("Gather", [table, at], f"{name}/{bit}/threshold")
        passed = b.op("Greater", [x, threshold], f"{name}/{bit}/passed")
        more = b.op("Cast", [passed], f"{name}/{bit}/more", to=TensorProto.INT64)
        more = b.op("Mul", [more, half], f"{name}/{bit}/share")
        below = more if below is None else b.op("Add", [below, more], f"{name}/{bit}/below")
    assert below is not None
    # Slot K + 1 - below, and 0 if no threshold is below: (2^T - below) modulo 2^T.
    slot = b.op("Sub", [b.constant(f"{name}.slots", 2**steps, np.int64), below], f"{name}/slot")
    slot = b.op("Unsqueeze", [slot, b.integers(0)], f"{name}/slots")
    powers = (2 ** np.arange(steps)).reshape(-1, 1, 1, 1, 1)
    shifted = b.op("Div", [slot, b.constant(f"{name}.powers", powers, np.int64)], f"{name}/shifted")
    bits = b.op("Mod", [shifted, b.constant("two", 2, np.int64)], f"{name}/bits")
    return b.op("Cast", [bits], name, to=TensorProto.FLOAT)


def _delta(b: Builder, coding: Delta, image: str, name: str) -> str:
    count = torch.arange(1, coding.steps + 1, dtype=torch.float32)
    level = count * coding.threshold if coding.threshold else count / (coding.steps + 1)
    levels = b.constant(f"{name}.levels", level.numpy().reshape(-1, 1, 1, 1, 1))
    passed = b.op("Greater", [image, levels], f"{name}/passed")
    return b.op("Cast", [passed], name, to=TensorProto.FLOAT)


def _latency(b: Builder, coding: Latency, image: str, name: str) -> str:
    def number(of: str, value: float) -> str:
        return b.constant(f"{name}.{of}", np.float32(value))

    last = coding.steps - 1
    if coding.linear:
        tau = last if coding.normalize else coding.tau
        below = b.op("Sub", [image, number("one", 1)], f"{name}/below_one")
        time = b.op("Mul", [below, number("tau", -tau)], f"{name}/linear")
        time = b.op("Min", [time, number("latest", -tau * (coding.threshold - 1))], f"{name}/time")
    else:
        floor = number("floor", coding.threshold + coding.epsilon)
        charged = b.op("Max", [image, floor], f"{name}/charged")
        over = b.op("Sub", [charged, number("threshold", coding.threshold)], f"{name}/over")
        ratio = b.op("Div", [charged, over], f"{name}/ratio")
        time = b.op("Log", [ratio], f"{name}/log")
        time = b.op("Mul", [time, number("tau", coding.tau)], f"{name}/charge")
        if coding.normalize:
            time = b.op("Mul", [time, number("last", last)], f"{name}/stretched")
            latest = coding._charge_time(torch.zeros(()))
            time = b.op("Div", [time, number("latest", float(latest))], f"{name}/time")
    step = b.op("Round", [time], f"{name}/step")
    steps = np.arange(coding.steps, dtype=np.float32).reshape(-1, 1, 1, 1, 1)
    spikes = b.op("Equal", [step, b.constant(f"{name}.steps", steps)], f"{name}/equal")
    if coding.clip:
        dim = b.op("Less", [image, number("threshold", coding.threshold)], f"{name}/dim")
        seen = b.op("Not", [dim], f"{name}/seen")
        spikes = b.op("And", [spikes, seen], f"{name}/clipped")
    return b.op("Cast", [spikes], name, to=TensorProto.FLOAT)


def _level(b: Builder, image: str, levels: int, name: str) -> str:
    """Return the level clip(⌊x L + 1/2⌋, 0, L) of each pixel."""
    scaled = b.op("Mul", [image, _number(b, f"{name}.levels", levels)], f"{name}/scaled")
    whole = b.op("Add", [scaled, _number(b, f"{name}.half", 0.5)], f"{name}/shifted")
    whole = b.op("Floor", [whole], f"{name}/floor")
    ends = [_number(b, f"{name}.{end}", value) for end, value in (("none", 0), ("all", levels))]
    return b.op("Clip", [whole, *ends], f"{name}/level")


def _ttfs(b: Builder, coding: Ttfs, image: str, name: str) -> str:
    level = _level(b, image, coding.window, name)
    last = _number(b, f"{name}.window", coding.window)
    time = b.op("Sub", [last, level], f"{name}/time")
    # A level of 0 never fires: its time is the end of the window, which later steps follow.
    never = _number(b, f"{name}.never", -1)
    silent = b.op("Equal", [time, last], f"{name}/silent")
    time = b.op("Where", [silent, never, time], f"{name}/spike")
    steps = b.constant(f"{name}.steps", _by_step(np.arange(coding.steps)))
    fires = b.op("Equal", [time, steps], f"{name}/fires")
    return b.op("Cast", [fires], name, to=TensorProto.FLOAT)


def _phase(b: Builder, coding: Phase, image: str, name: str) -> str:
    levels = 2**coding.period
    scaled = b.op("Mul", [image, _number(b, f"{name}.levels", levels)], f"{name}/scaled")
    number = b.op("Floor", [scaled], f"{name}/floor")
    least, most = _number(b, f"{name}.zero", 0), _number(b, f"{name}.most", levels - 1)
    number = b.op("Clip", [number, least, most], f"{name}/number")
    phase = np.arange(coding.steps) % coding.period
    places = b.constant(f"{name}.places", _by_step(2.0 ** (coding.period - 1 - phase)))
    shifted = b.op("Div", [number, places], f"{name}/shifted")
    whole = b.op("Floor", [shifted], f"{name}/whole")
    return b.op("Mod", [whole, _number(b, f"{name}.two", 2)], name, fmod=1)


def _burst(b: Builder, coding: Burst, image: str, name: str) -> str:
    count = b.op("Mul", [image, _number(b, f"{name}.most", coding.most)], f"{name}/rate")
    count = b.op("Ceil", [count], f"{name}/count")
    shrink = _number(b, f"{name}.shrink", coding.shortest - coding.longest)
    longest = _number(b, f"{name}.longest", coding.longest)
    interval = b.op("Mul", [image, shrink], f"{name}/shorter")
    interval = b.op("Ceil", [b.op("Add", [interval, longest], f"{name}/gap")], f"{name}/interval")
    several = b.op("Greater", [count, _number(b, f"{name}.one", 1)], f"{name}/several")
    interval = b.op("Where", [several, interval, longest], f"{name}/intervals")
    steps = b.constant(f"{name}.steps", _by_step(np.arange(coding.steps)))
    before = b.op("Floor", [b.op("Div", [steps, interval], f"{name}/ratio")], f"{name}/before")
    at = b.op("Mul", [before, interval], f"{name}/at")
    on = b.op("Equal", [at, steps], f"{name}/on")
    left = b.op("Less", [before, count], f"{name}/left")
    fires = b.op("And", [on, left], f"{name}/fires")
    return b.op("Cast", [fires], name, to=TensorProto.FLOAT)


def _number(b: Builder, name: str, value: float) -> str:
    return b.constant(name, np.float32(value))


def _by_step(values: np.ndarray) -> np.ndarray:
    """Return values `[T]` of the steps as they broadcast against `[T, N, C, H, W]`."""
    return values.astype(np.float32).reshape(-1, 1, 1, 1, 1)


_ENCODERS: dict[type[Coding], Callable[[Builder, Any, str, str], str]] = {
    Direct: _direct,
    Temporal: _slots,
    Embedding: _slots,
    HybridTemporal: _hybrid,
    HybridEmbedding: _hybrid,
    Delta: _delta,
    Latency: _latency,
    Phase: _phase,
    Burst: _burst,
    Bins: _slots,
    Ttfs: _ttfs,
    Impulse: _impulse,
}
