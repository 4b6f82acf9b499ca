"""One image, or one recording of events, in several codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...coding import Coding, create_coding
from ...coding.draws import drawing, sample_keys
from ...coding.samples import EventBatch
from .images import EncodedImage, code_of
from .samples import EncodedSample


def encode_with_each(
    image: Tensor,
    options: Mapping[str, Mapping[str, Any]],
    *,
    steps: int,
    seed: int,
    index: int = 0,
) -> dict[str, EncodedImage]:
    """Return an image encoded with several codes, by their names.

    Args:
        image: `[C, H, W]` in [0, 1].
        options: of each code, by its name.
        steps: T, the same for all codes.
        seed: of random codes.
        index: of the image in its split.

    Raises:
        ConfigError: a code cannot have these options or this number of steps.
    """
    encoded = {}
    for name, own in options.items():
        torch.manual_seed(seed)
        with drawing(sample_keys(torch.tensor([index]), seed)):
            encoded[name] = code_of(create_coding(name, steps=steps, **own), image)
    return encoded


def encode_recording_with_each(
    recording: EventBatch, codes: Mapping[str, Coding], *, seed: int, index: int = 0
) -> dict[str, EncodedSample]:
    """Return a recording encoded with several codes, by their names.

    Args:
        recording: a batch of one.
        codes: bound to the recordings.
        seed: of random codes.
        index: of the recording in its split.
    """
    encoded = {}
    for name, code in codes.items():
        torch.manual_seed(seed)
        with drawing(sample_keys(torch.tensor([index]), seed)):
            steps = code.encode(recording)[:, 0]  # type: ignore[arg-type]
        encoded[name] = EncodedSample(code, recording, steps)
    return encoded
