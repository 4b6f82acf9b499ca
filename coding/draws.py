"""Random numbers of a sample, which do not depend on the batch that it is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b

import torch
from torch import Tensor

from ..core.errors import ConfigError

GOLDEN = 0x9E3779B97F4A7C15
FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Of SplitMix64."""
UNIT_BITS = 24
"""Of a uniform number: float32 holds them exactly."""

BLOCK = 2**16
"""Numbers that are drawn at a time."""

_keys: ContextVar[Tensor | None] = ContextVar("keys", default=None)


def sample_keys(samples: Tensor, *parts: int) -> Tensor:
    """Return the key of each sample, int64 `[B]`: of its index and `parts`.

        h = 0;  h ← mix(h + GOLDEN + part) for (len(parts), *parts)
        key = mix(h + (index + 1) GOLDEN), modulo 2^64

    Training gives the seed and the epoch as `parts`, an evaluation the number of the draw (0 for
    the first), and `asnn encode` its seed.

    Args:
        samples: indices in the split, `[B]`.
        parts: integers.

    Source of mix: Steele, Lea and Flood, OOPSLA 2014 (SplitMix64).
    """
    state = 0
    for part in (len(parts), *parts):
        start = torch.tensor(_signed(state + GOLDEN + part))
        state = int(_mix(start)) % 2**64
    return _mix((samples.to(torch.int64) + 1) * _signed(GOLDEN) + _signed(state))


def content_keys(x: Tensor, seed: int) -> Tensor:
    """Return the key of each sample, int64 `[B]`: of its values and `seed`.

    Args:
        x: samples `[B, ...]`.
        seed: from 0 to 2^63 - 1.
    """
    key = seed.to_bytes(8)
    digests = [
        blake2b(
            sample.flatten().view(torch.uint8).numpy().data if sample.numel() else b"",
            digest_size=8,
            key=key,
        ).digest()
        for sample in x.detach().cpu().contiguous()
    ]
    keys = [int.from_bytes(digest, signed=True) for digest in digests]
    return torch.tensor(keys, dtype=torch.int64)


@contextmanager
def drawing(keys: Tensor) -> Iterator[None]:
    """Let codes and neurons that draw use these keys for the samples of a batch, in a block.

    Args:
        keys: of `sample_keys`, `[B]`.
    """
    token = _keys.set(keys)
    try:
        yield
    finally:
        _keys.reset(token)


def current_keys(samples: int) -> Tensor | None:
    """Return the keys of the batch of `samples` samples, int64 `[B]`; None outside of `drawing`.

    Raises:
        ConfigError: the keys are those of another number of samples.
    """
    keys = _keys.get()
    if keys is not None and len(keys) != samples:
        raise ConfigError(
            f"{samples} samples draw, the batch has {len(keys)}",
            why="what is drawn for a sample depends on its index in the split",
            remedy="give drawing(...) the key of each sample that is encoded",
        )
    return keys


def uniforms(
    keys: Tensor,
    steps: int,
    shape: tuple[int, ...],
    *,
    device: torch.device,
    stream: int = 0,
    first: int = 0,
) -> Tensor:
    """Return uniform numbers in [0, 1) for each step and sample, float32 `[T, B, *shape]`.

    A number is a function of the key, the step and its place in the sample: the first 24 bits of

        mix(key + (stream 2^48 + step n + place + 1) GOLDEN)

    for samples of n values, steps and places from 0. All devices give the same numbers.

    Args:
        keys: int64 `[B]`.
        steps: T.
        shape: of a step of one sample.
        device: of the result.
        stream: another number for each neuron layer; a code has 0.
        first: the step from 0 with which they begin.
    """
    size = torch.Size(shape).numel()
    keys = keys.to(device)[:, None]
    places = torch.arange(1, size + 1, device=device) * _signed(GOLDEN)
    drawn = torch.empty(steps, len(keys), size, device=device)
    block = max(1, BLOCK // max(size, 1))  # so that the words stay in a processor's cache
    for step in range(steps):
        offset = _signed((stream * 2**48 + (first + step) * size) * GOLDEN)
        counters = places + offset
        for begin in range(0, len(keys), block):
            words = _mix(keys[begin : begin + block] + counters)
            drawn[step, begin : begin + block] = _shift_(words, 64 - UNIT_BITS)
    return drawn.mul_(2.0**-UNIT_BITS).reshape(steps, len(keys), *shape)


def _mix(z: Tensor) -> Tensor:
    """Return the output function of SplitMix64, of int64 as 64 bits without sign."""
    z = z.clone()
    z.bitwise_xor_(_shift_(z.clone(), 30)).mul_(_signed(FACTORS[0]))
    z.bitwise_xor_(_shift_(z.clone(), 27)).mul_(_signed(FACTORS[1]))
    return z.bitwise_xor_(_shift_(z.clone(), 31))


def _shift_(z: Tensor, bits: int) -> Tensor:
    """Shift int64 right in place, filled with zeros, and return it."""
    return z.bitwise_right_shift_(bits).bitwise_and_((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """Return the number from -2^63 to 2^63 - 1 that is equal modulo 2^64."""
    return (value + 2**63) % 2**64 - 2**63
