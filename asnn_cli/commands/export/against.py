"""`asnn export --check FILE --against FILE`: two files compared with each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...terminal import console
from .amount import samples_from_file
from .check import show_check


def check_against(
    file: Any,
    against: Any,
    *,
    steps: int | None,
    in_shape: tuple[int, ...] | None,
    samples_from: Path | None,
    number: int | None,
    as_json: bool,
) -> None:
    """Compare a file with another one.

    Args:
        file, against: `exporters.others.pair.NamedFile`.
        steps: T; None for what a file states.
        in_shape: of one frame, of two ONNX files whose inputs do not say it.
        samples_from: a file of samples; None for noise.
        number: of samples; None for the default.
        as_json: print the report as JSON.

    Raises:
        ConfigError: it is the same file twice, or the number of steps or their length is missing.
        DataError: a file cannot be read, or they take or give other values.
        VerificationError: they compute something else.
    """
    from ....core.errors import VerificationError
    from ....exporters.others.pair import FilePair

    pair = FilePair(file, against, steps=steps, in_shape=in_shape)
    samples = samples_from_file(pair, samples_from, number)
    console.note(f"comparing {file.path} with {against.path} on {samples.name}")
    report = pair.compare(samples)
    show_check(report, as_json, file=str(file.path), against=str(against.path))
    if report.fault is not None:
        raise VerificationError(
            f"{file.path} does not compute what {against.path} does", why=report.fault
        )
