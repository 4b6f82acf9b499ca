"""`asnn export --samples` and `--samples-from`: what a file is verified on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ....core.errors import ConfigError
from ...terminal import console

ALL = "all"
NOISE_SAMPLES = 64


def parse_samples(text: str | None) -> int | None:
    """Return the number of samples; None for the default.

    Raises:
        ConfigError: the text is neither a number from 1 nor `all`.
    """
    if text is None:
        return None
    if text == ALL:
        return sys.maxsize
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"--samples takes a number from 1, or {ALL}, not {text!r}")
    return int(text)


def samples_for(network: Any, number: int | None, *, noise: bool = False) -> int:
    """Return how many samples to verify a network with; a note says if it is less than usual.

    Args:
        network: the source of an export.
        number: that is asked for; None for the default, which bounds the time.
        noise: whether the samples are made up.

    Raises:
        ConfigError: all samples of noise, which has no end.
    """
    from ....exporters.verification.amount import MAX_SAMPLES, default_samples

    if number is not None:
        if noise and number == sys.maxsize:
            raise ConfigError(
                f"--samples {ALL} needs data",
                why="the network is verified on noise, which has no end",
                remedy="give --samples-from FILE, or a number",
            )
        return number
    usual = NOISE_SAMPLES if noise else MAX_SAMPLES
    found = min(usual, default_samples(network))
    if found < usual:
        more = "N" if noise else f"N or --samples {ALL}"
        console.note(
            f"note: at most {found} samples, as each takes the network long; --samples {more} "
            "verifies on more"
        )
    return found


def samples_from_file(network: Any, path: Path | None, number: int | None) -> Any:
    """Return samples of a file, or noise if there is none.

    Args:
        network: the source of an export, or a pair of files.
        path: of the file.
        number: as of `samples_for`.

    Raises:
        ConfigError: all samples of noise.
        DataError: the file cannot be read, or has samples of another shape.
    """
    from ....exporters import random_samples
    from ....exporters.samples import load_samples

    shape, many = network.sample_shape, samples_for(network, number, noise=path is None)
    return random_samples(shape, many) if path is None else load_samples(path, shape, many)
