"""Street View House Numbers (cropped digits) through torchvision."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....core.errors import DataError
from ...base import Source, Split
from .download import FAILURES
from .download import download as fetch
from .torchvision_import import torchvision

MAT_HEADER = 128


def load_svhn(*, dir: str = "data", download: bool = True) -> Source:
    """Return SVHN, uint8 `[N, 3, 32, 32]`, from `<dir>/train_32x32.mat` and `test_32x32.mat`.

    Existing files are used without network; missing ones are downloaded, unless `download` is
    false.

    Raises:
        DataError: the files are damaged, or missing and cannot be downloaded.
    """
    root = Path(dir).expanduser()
    train, test = (_split(root, part, download) for part in ("train", "test"))
    return Source(train, test, classes=[str(digit) for digit in range(10)])


def _split(root: Path, part: str, download: bool) -> Split:
    cls: Any = torchvision().datasets.SVHN
    path = root / f"{part}_32x32.mat"
    if not path.is_file():
        fetch(f"SVHN ({part})", "SVHN", root, [path.name], split=part, allowed=download)
    try:
        data = cls(root, split=part)
    except FAILURES as error:
        if path.is_file() and _is_truncated(path):
            raise DataError(
                f"{path} ends too early",
                why="its last array is cut off; probably an interrupted download",
                remedy="delete it and run again",
            ) from error
        raise DataError(
            f"{path} is corrupt or not the file of SVHN",
            why=" ".join(str(error).split()),
            remedy="replace it with the original file, or delete it and run again to download it",
        ) from error
    images = torch.from_numpy(np.ascontiguousarray(data.data))
    return Split(images, torch.from_numpy(np.asarray(data.labels, dtype=np.int64)))


def _is_truncated(path: Path) -> bool:
    """Return whether the arrays of a MATLAB 5 file end beyond the end of the file.

    The file is a header and a sequence of elements, each beginning with its type and length.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        header = file.read(MAT_HEADER)
        if not b"MATLAB 5.0 MAT-file".startswith(header[:19]):
            return False
        offset = MAT_HEADER
        while offset + 8 <= size:
            file.seek(offset)
            offset += 8 + struct.unpack("<II", file.read(8))[1]
    return offset != size
