"""The memory that encoding takes, known before the work, and the batches that bound it."""

from __future__ import annotations

import math

from ...coding.base import Coding
from ...coding.samples import SampleSpec
from ...core.errors import ConfigError

MAX_BYTES = 4 * 2**30
"""Of what is encoded at once: the steps that are kept, and what computing a batch of them takes."""

BLOCK = 2**24
"""Values of a code that are computed at a time, if a sample has no more of them."""

MAX_BATCH = 512

PER_SPIKE = 16  # bytes of a real time and its address

PER_VALUE = 48  # bytes of the images that are decoded, and of their errors in float64

# Of a sample that is drawn, in bytes: its steps are float32, and decoded as int64.
DRAWN_STEP = 24
DRAWN_VALUE = 48


def batch_size(coding: Coding, spec: SampleSpec) -> int:
    """Return the number of samples whose code has at most 2²⁴ values: from 1 to 512.

    Of exact times of recordings it is 1: how often an address fires is known afterwards.
    """
    if coding.gives_times and spec.kind == "events":
        return 1
    values = coding.steps * math.prod(coding.step_shape(spec))
    return max(1, min(MAX_BATCH, BLOCK // values))


def needed_memory(coding: Coding, spec: SampleSpec, count: int, *, drawn: int = 0) -> int:
    """Return the bytes that encoding takes: for n values in a step, T steps, Ta of them analog,

        count n (4 Ta + (T - Ta)) + batch n (w T + 48) + 8 inputs + drawn n (24 T + 48)

    with w the `working_bytes` of the code. Equal analog steps count once. The batch of a
    `pointwise` code has at most 2²⁴ values over all steps. Of exact times each spike is kept in 16
    bytes, and one spike a value is expected.

    Args:
        coding: the code, bound to the samples.
        spec: of the samples.
        count: the number of samples that are kept.
        drawn: the number of codes that are drawn.
    """
    values = math.prod(coding.step_shape(spec))
    analog = 1 if coding.static else coding.analog_steps
    kept = count * values * (4 * analog + coding.steps - coding.analog_steps)
    if coding.gives_times:
        kept = count * values * PER_SPIKE
    batch = min(count, batch_size(coding, spec)) * values
    if coding.pointwise:
        batch = min(batch, max(1, BLOCK // coding.steps))
    inputs = min(count, batch_size(coding, spec)) * math.prod(spec.shape) * (spec.steps or 1)
    computed = batch * (coding.working_bytes * coding.steps + PER_VALUE)
    shown = drawn * values * (DRAWN_STEP * coding.steps + DRAWN_VALUE)
    return kept + computed + 8 * inputs + shown


def check_memory(coding: Coding, spec: SampleSpec, count: int, *, drawn: int = 0) -> None:
    """Refuse to encode what takes too much memory.

    Args:
        coding: the code, bound to the samples.
        spec: of the samples.
        count: the number of samples.
        drawn: the number of codes that are drawn.

    Raises:
        ConfigError: it takes more than 4 GiB.
    """
    needed = needed_memory(coding, spec, count, drawn=drawn)
    if needed <= MAX_BYTES:
        return
    shape = [coding.steps, count, *coding.step_shape(spec)]
    remedies = []
    if drawn and needed_memory(coding, spec, count) <= MAX_BYTES:
        remedies.append("draw no picture")
    if count > 1:
        remedies.append("encode fewer samples with --limit or --index")
    if coding.steps > 1:
        remedies.append("fewer steps")
    remedies.append("join pixels with downsample" if spec.kind == "events" else "smaller samples")
    raise ConfigError(
        f"a code of shape {shape} takes too much memory",
        why=f"its {math.prod(shape):,} values take {needed / 2**30:.1f} GiB to encode"
        f"{' and draw' if drawn else ''}, at most {MAX_BYTES / 2**30:g} GiB are used",
        remedy=", or ".join(remedies),
    )
