"""Files from elsewhere: what kind they are, by their first bytes, and whether to open them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from ..core.errors import DataError

MIB = 1 << 20
GIB = 1 << 30
LARGEST = 2 * GIB  # a protobuf file holds no more, and networks of this kind have far less
SHOWN = 160  # characters of a name, or of a reason, that somebody else wrote

HDF5 = b"\x89HDF\r\n\x1a\n"
NPY = b"\x93NUMPY"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
OTHERS = {
    b"\x1f\x8b": "it is compressed with gzip",
    b"BZh": "it is compressed with bzip2",
    b"\xfd7zXZ": "it is compressed with xz",
    b"(\xb5/\xfd": "it is compressed with zstd",
    b"7z\xbc\xaf": "it is a 7z archive",
    b"\x89PNG": "it is a picture",
    b"\xff\xd8\xff": "it is a picture",
    b"%PDF": "it is a PDF document",
}
SUFFIXES = {
    ".nir": "nir",
    ".h5": "nir",
    ".hdf5": "nir",
    ".onnx": "onnx",
    ".safetensors": "safetensors",
    ".npz": "npz",
    ".npy": "npy",
}


def check_file(path: Path | str, *, largest: int = LARGEST) -> int:
    """Return the size of a regular file that is worth opening; a pipe is never opened.

    Raises:
        DataError: it is missing, empty, too large, or not a regular file.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise DataError(
            f"there is no {clean(path)}" if missing else f"{clean(path)} cannot be read",
            why="" if missing else clean(getattr(error, "strerror", None) or error),
            remedy="give the path of a file, or of a run" if missing else "",
        ) from error
    if stat.S_ISDIR(found.st_mode):
        raise DataError(f"{clean(path)} is a folder", remedy="name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{clean(path)} is not a regular file")
    if not found.st_size:
        raise DataError(f"{clean(path)} is empty")
    if found.st_size > largest:
        raise DataError(
            f"{clean(path)} is too large",
            why=f"it has {found.st_size:,} bytes, at most {largest:,} are read",
        )
    return found.st_size


def read_bytes(path: Path | str, count: int = -1, *, largest: int = LARGEST) -> bytes:
    """Return the first `count` bytes of a regular file, or all.

    Raises:
        DataError: as `check_file`, or the operating system refuses.
    """
    check_file(path, largest=largest)
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError as error:
        raise DataError(
            f"{clean(path)} cannot be read", why=error.strerror or str(error)
        ) from error


def kind_of(path: Path | str) -> str:
    """Return `nir`, `onnx`, `safetensors`, `npz` or `npy`, by content first, then by suffix.

    Raises:
        DataError: the file cannot be read, holds a pickle, or is of no known kind.
    """
    head = read_bytes(path, 64)
    kind = _by_content(head)
    if kind is not None:
        return kind
    refuse_pickle(path, head)
    for magic, why in OTHERS.items():
        if head.startswith(magic):
            raise DataError(
                f"{clean(path)} is not a network or an array",
                why=why,
                remedy="unpack it first" if "compressed" in why or "archive" in why else "",
            )
    kind = SUFFIXES.get(Path(path).suffix.lower())
    if kind is not None:
        return kind
    if head[0] == 0x08:  # the first field of an ONNX file: its version
        return "onnx"
    raise DataError(
        f"{clean(path)} is of an unknown kind",
        remedy="files that can be read: .onnx, .nir, .safetensors, .npz, .npy, and runs",
    )


def _by_content(head: bytes) -> str | None:
    if head.startswith(HDF5):
        return "nir"
    if head.startswith(NPY):
        return "npy"
    if head.startswith(ZIP):
        return "npz"
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < GIB:
        return "safetensors"
    return None


def refuse_pickle(path: Path | str, head: bytes) -> None:
    """Refuse a file that begins as a pickle does.

    Raises:
        DataError: it does.
    """
    if len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5:
        raise is_pickle(path)


def is_pickle(path: Path | str) -> DataError:
    """Return the error for a pickle, or for an archive that holds one."""
    return DataError(
        f"{clean(path)} is a pickle",
        why="a pickle can run any code when it is loaded, so it is not opened",
        remedy="save the weights as safetensors: safetensors.torch.save_file(model.state_dict(), "
        '"weights.safetensors")',
    )


def damaged(path: Path | str, why: Any, *, what: str = "file") -> DataError:
    """Return the error for a file that is not what it should be, with its reason in one line."""
    return DataError(
        f"{clean(path)} is not a readable {what}",
        why=clean(why),
        remedy="make it again, or fetch it again",
    )


def clean(text: Any, most: int = SHOWN) -> str:
    """Return what somebody else wrote as one line without control characters."""
    kept = str(text)[: 4 * most]
    shown = "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in kept)
    shown = " ".join(shown.split())
    return shown if len(shown) <= most else shown[: most - 1] + "…"
