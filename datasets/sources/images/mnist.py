"""MNIST and data sets in its format, in torchvision's folder layout."""

from pathlib import Path

import torch

from ....core.errors import DataError
from ...base import Source, Split
from .download import download as fetch
from .idx import corrupt, read_idx

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FILES = (*TRAIN, *TEST)

FASHION = [
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]


def load_mnist(*, dir: str = "data", download: bool = True) -> Source:
    """Return MNIST's 60,000 and 10,000 grey images `[N, 1, 28, 28]` from `<dir>/MNIST/raw`.

    Existing files are used without network; missing ones are downloaded, unless `download` is
    false.

    Raises:
        DataError: a file is truncated or corrupt, or missing and cannot be downloaded.
    """
    return _load("MNIST", dir, [str(digit) for digit in range(10)], download)


def load_fashion_mnist(*, dir: str = "data", download: bool = True) -> Source:
    """Return Fashion-MNIST, like MNIST, from `<dir>/FashionMNIST/raw`."""
    return _load("FashionMNIST", dir, FASHION, download)


def load_kmnist(*, dir: str = "data", download: bool = True) -> Source:
    """Return Kuzushiji-MNIST, like MNIST, from `<dir>/KMNIST/raw`."""
    return _load(
        "KMNIST", dir, ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"], download
    )


def load_idx_folder(folder: Path) -> Source:
    """Return the images of a folder such as `data/MNIST`, whose `raw` holds the four files.

    Raises:
        DataError: a file is missing, truncated or corrupt.
    """
    raw = folder / "raw"
    missing = next((file for file in FILES if _find(raw, file) is None), None)
    if missing is not None:
        raise DataError(
            f"there is no {missing} in {raw}",
            why=f"MNIST's layout is {', '.join(FILES)}, also as .gz",
            remedy="put the four files there",
        )
    return _of_folder(raw, list("0123456789"))


def _load(name: str, dir: str, classes: list[str], download: bool) -> Source:
    root = Path(dir).expanduser()
    folder = root / name / "raw"
    if any(_find(folder, file) is None for file in FILES):
        fetch(name, name, root, [f"{name}/raw/{file}.gz" for file in FILES], allowed=download)
    return _of_folder(folder, classes)


def _of_folder(folder: Path, classes: list[str]) -> Source:
    train = _split(folder, *TRAIN, classes)
    test = _split(folder, *TEST, classes)
    if train.inputs.shape[1:] != test.inputs.shape[1:]:
        raise DataError(
            f"the images in {folder} do not fit together",
            why=f"those for training are {tuple(train.inputs.shape[2:])}, "
            f"those for testing {tuple(test.inputs.shape[2:])}",
            remedy="put the four files of one data set there",
        )
    return Source(train, test, classes)


def _find(folder: Path, file: str) -> Path | None:
    candidates = (folder / file, folder / f"{file}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _split(folder: Path, images_file: str, labels_file: str, classes: list[str]) -> Split:
    images_path, labels_path = _find(folder, images_file), _find(folder, labels_file)
    assert images_path is not None and labels_path is not None
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise corrupt(labels_path, f"{len(labels)} labels for {len(images)} images")
    if images.size == 0:
        raise corrupt(images_path, "it holds no images")
    if labels.max() >= len(classes):
        raise corrupt(labels_path, f"label {labels.max()}, but there are {len(classes)} classes")
    return Split(
        # A copy, because the array is read-only and torch warns about that.
        torch.from_numpy(images.copy()).unsqueeze(1),
        torch.from_numpy(labels.astype("int64")),
    )
