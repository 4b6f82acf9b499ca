"""Which annotated images are for training, validation and testing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from ....core.errors import ConfigError, DataError
from ...base import Source
from ..sizes import height_and_width
from .letterbox import Annotated, letterboxed

T = TypeVar("T")
Colour = Literal["rgb", "grey"]
CROWDS = ("crowd", "crowds")
DIFFICULT = ("difficult object", "difficult objects")
WITHOUT_AREA = ("box without area", "boxes without area")
"""What is left out, one and many."""
BEGINNINGS = {"train": "train", "val": "validation", "test": "test"}


def frame_of(size: int | list[int], colour: str) -> tuple[tuple[int, int], int]:
    """Return (height, width) of the images, and their channels.

    Raises:
        ConfigError: an option out of range.
    """
    if colour not in ("rgb", "grey"):
        raise ConfigError(f"colour is {colour!r}", why="choose from rgb, grey")
    frame = height_and_width(size)
    assert frame is not None
    return frame, 3 if colour == "rgb" else 1


def part_of(name: str) -> str | None:
    """Return the part that a name such as `train2017` or `val` begins with; None of others."""
    return next((part for each, part in BEGINNINGS.items() if name.lower().startswith(each)), None)


def arranged(found: Mapping[str, T]) -> tuple[dict[str, T], list[str]]:
    """Return the parts, that for training first; a `validation` part alone is the test part.

    Published results are those on it, so that it must not choose the best epoch.
    """
    if "validation" in found and "test" not in found:
        note = "the validation images are the test part: there is no other"
        return {"train": found["train"], "test": found["validation"]}, [note]
    return {part: found[part] for part in BEGINNINGS.values() if part in found}, []


def source_of(
    parts: Mapping[str, tuple[Path, list[Annotated]]],
    classes: list[str],
    frame: tuple[int, int],
    channels: int,
    notes: list[str],
) -> Source:
    """Return the parts as a source of boxes.

    Args:
        parts: folder of the images and the annotated ones, by part.
        classes: their names.
        frame: (height, width) of the images.
        channels: of the images.
        notes: how the files were read.

    Raises:
        DataError: no boxes for training, or files that are missing.
    """
    if not any(len(image.boxes) for image in parts["train"][1]):
        raise DataError(
            "the training images have no boxes",
            why=f"{len(parts['train'][1]):,} images, none with an annotated object",
            remedy="check the annotations",
        )
    splits = {
        part: letterboxed(folder, images, frame, channels)
        for part, (folder, images) in parts.items()
    }
    return Source(
        splits["train"],
        splits.get("test"),
        classes,
        validation=splits.get("validation"),
        notes=notes,
        target="boxes",
    )
