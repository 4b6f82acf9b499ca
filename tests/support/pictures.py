"""Folders of small pictures whose classes differ in their channel."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, number: int = 0, *, size: tuple[int, int] = (10, 12)) -> Path:
    """Write a picture `[H, W, 3]` of noise, brighter in channel `number % 3`."""
    seed = int.from_bytes(path.as_posix().encode()[-8:], "little") % 2**32
    pixels = np.random.default_rng(seed).integers(0, 100, (*size, 3), dtype=np.uint8)
    pixels[..., number % 3] += 120
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def class_folders(
    root: Path, classes: tuple[str, ...] = ("ant", "bee"), count: int = 12, **options: object
) -> Path:
    """Write `<class>/<i>.png`, and return the folder."""
    for number, name in enumerate(classes):
        for index in range(count):
            picture(root / name / f"{index}.png", number, **options)  # type: ignore[arg-type]
    return root
