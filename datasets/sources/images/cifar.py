"""CIFAR-10 and CIFAR-100 through torchvision, which checks each file before it unpickles it."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import torch

from ....core.errors import DataError
from ...base import Source, Split
from .download import FAILURES
from .download import download as fetch
from .torchvision_import import torchvision

MAX_UNPACKED = 512  # MiB of an archive that are read to tell why it is damaged; it has 186


def load_cifar10(*, dir: str = "data", download: bool = True) -> Source:
    """Return CIFAR-10, uint8 `[N, 3, 32, 32]`, from `<dir>/cifar-10-batches-py` or its archive.

    Existing files are used without network; missing ones are downloaded, unless `download` is
    false.

    Raises:
        DataError: the files are damaged, or missing and cannot be downloaded.
    """
    return _load("CIFAR10", "CIFAR-10", Path(dir).expanduser(), download)


def load_cifar100(*, dir: str = "data", download: bool = True) -> Source:
    """Return CIFAR-100 with its 100 fine classes, like CIFAR-10, from `<dir>/cifar-100-python`.

    Raises:
        DataError: the files are damaged, or missing and cannot be downloaded.
    """
    return _load("CIFAR100", "CIFAR-100", Path(dir).expanduser(), download)


def _load(class_name: str, title: str, root: Path, download: bool) -> Source:
    cls = getattr(torchvision().datasets, class_name)
    try:
        train = cls(root, train=True)
    except RuntimeError:
        # torchvision has one message for missing and damaged files; ours tells them apart.
        _unpack_or_download(cls, class_name, title, root, download)
        train = _open(cls, title, root, train=True)
    test = _open(cls, title, root, train=False)
    return Source(_split(train), _split(test), list(train.classes))


def _open(cls: Any, title: str, root: Path, **options: bool) -> Any:
    try:
        return cls(root, **options)
    except FAILURES as error:
        raise DataError(
            f"could not read {title} from {root / cls.base_folder}",
            why=" ".join(str(error).split()),
            remedy=f"delete {root / cls.base_folder} and run again",
        ) from error


def _unpack_or_download(cls: Any, class_name: str, title: str, root: Path, download: bool) -> None:
    archive, folder = root / cls.filename, root / cls.base_folder
    if archive.is_file():
        _check_archive(archive, title, cls.tgz_md5)
        # With a valid checksum torchvision unpacks it without network.
        _open(cls, title, root, train=True, download=True)
        return
    present = [path for path in _batch_files(cls, folder) if path.is_file()]
    if present and len(present) == len(_batch_files(cls, folder)):
        raise DataError(
            f"the files of {title} in {folder} are corrupt",
            why="no file is missing, but not all have their published checksum",
            remedy=f"delete {folder} and run again",
        )
    if present:
        raise DataError(
            f"{title} in {folder} is incomplete",
            why=f"{len(present)} files of {len(_batch_files(cls, folder))}; "
            "probably an interrupted extraction",
            remedy=f"delete {folder} and run again",
        )
    fetch(title, class_name, root, [cls.base_folder], allowed=download)


def _batch_files(cls: Any, folder: Path) -> list[Path]:
    names = [name for name, _ in cls.train_list + cls.test_list]
    return [folder / name for name in [*names, cls.meta["filename"]]]


def _check_archive(archive: Path, title: str, checksum: str) -> None:
    try:
        if torchvision().datasets.utils.check_integrity(archive, checksum):
            return
        # The gzip stream has its own length and checksum, which tell truncation from corruption.
        with gzip.open(archive) as stream:
            for _ in range(MAX_UNPACKED):
                if not stream.read(1 << 20):
                    break
        why = "its checksum is not the published one"
    except EOFError as error:
        raise DataError(
            f"{archive} ends too early",
            why="the gzip stream has no end; probably an interrupted download",
            remedy="delete it and run again",
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        why = str(error)
    except OSError as error:
        raise DataError(f"could not read {archive}", why=error.strerror or str(error)) from error
    raise DataError(
        f"{archive} is corrupt or not the archive of {title}",
        why=why,
        remedy="replace it with the original file, or delete it and run again to download it",
    )


def _split(data: Any) -> Split:
    images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.tensor(data.targets, dtype=torch.int64))
