"""The QT database of electrocardiograms as spikes, with a label for every time step."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....coding.samples import SampleSpec
from ....core.errors import DataError
from ....formats.arrays import MAX_RATIO, MAX_UNPACKED
from ....formats.errors import InvalidFile, sanitize
from ....formats.files import check_file
from ...base import Source, Split

CLASSES = ["P", "PQ", "QR", "RS", "ST", "TP"]
MAX_BYTES = 2**28
NUMBERS = {
    "double",
    "single",
    "logical",
    *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)),
}


def load_qtdb(*, path: str = "data/qtdb_ecg") -> Source:
    """Return the recordings as series of spikes `[N, T, 8]` with labels `[N, T]`, -1 for none.

    The four channels of the files (rises and falls of two leads) are -1, 0 or 1; each becomes two
    channels of spikes, positive and negative. The part that training and test share is the one of
    the published files.

    Args:
        path: the folder with QTDB_train.mat and QTDB_test.mat.

    Raises:
        DataError: a missing or damaged file.

    Source: Laguna et al., Computers in Cardiology 1997; the encoding of Yin, Corradi and Bohté,
    Nature Machine Intelligence 3 (2021).
    """
    folder = Path(path).expanduser()
    train, test = (_split(folder / f"QTDB_{part}.mat") for part in ("train", "test"))
    if train.inputs.shape[1:] != test.inputs.shape[1:]:
        raise DataError(
            f"the files in {path} do not belong together",
            why=f"their recordings have the shapes {tuple(train.inputs.shape[1:])} and "
            f"{tuple(test.inputs.shape[1:])}",
        )
    _, steps, channels = train.inputs.shape
    spec = SampleSpec("series", (channels,), steps=steps, binary=True)
    return Source(train, test, list(CLASSES), spec=spec)


def _split(path: Path) -> Split:
    if not path.exists():
        raise DataError(
            f"there is no {path}",
            why="data.path names the folder with QTDB_train.mat and QTDB_test.mat",
            remedy="get both from github.com/byin-cwi/Efficient-spiking-networks",
        )
    check_file(path, max_size=MAX_BYTES)
    from scipy.io import loadmat, whosmat

    try:
        # Headers alone: loadmat allocates and unpacks what they state.
        stated = [each for each in whosmat(path) if each[0] in ("x", "y")]
        other = next((kind for _, _, kind in stated if kind not in NUMBERS), None)
        if other is not None:
            raise InvalidFile(f"it holds a {other} in place of numbers")
        unpacked = 8 * sum(math.prod(shape) for _, shape, _ in stated)
        if unpacked > max(MAX_UNPACKED, MAX_RATIO * path.stat().st_size):
            raise InvalidFile(f"its arrays would take {unpacked:,} bytes")
        content: dict[str, Any] = loadmat(path, variable_names=["x", "y"])
        x, y = content["x"], content["y"]
    except KeyError as error:
        raise _bad(path, f"it has no array {error.args[0]}") from error
    except Exception as error:  # scipy documents no list of its exceptions
        raise _bad(path, sanitize(error) or type(error).__name__) from error
    if x.ndim != 3 or y.ndim != 3 or x.shape[:2] != y.shape[:2] or y.shape[2] != len(CLASSES):
        raise _bad(path, f"x has the shape {list(x.shape)}, y {list(y.shape)}")
    if x.size == 0 or x.dtype.kind not in "iuf" or not np.isin(x, (-1, 0, 1)).all():
        raise _bad(path, "x holds other values than -1, 0 and 1")
    if y.dtype.kind not in "biuf" or not np.isin(y, (0, 1)).all() or (y.sum(2) > 1).any():
        raise _bad(path, "a row of y is neither one-hot nor zero")
    spikes = np.concatenate([x > 0, x < 0], 2).astype(np.float32)
    labels = np.where(y.any(2), y.argmax(2), -1)
    return Split(torch.from_numpy(spikes), torch.from_numpy(labels.astype(np.int64)))


def _bad(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} is not a file of the QT database",
        why=why,
        remedy="get QTDB_train.mat and QTDB_test.mat again",
    )
