"""The kind of a file, detected from its first bytes."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import DataError
from .errors import pickle_refused, sanitize
from .events.detect import SUFFIXES as SUFFIXES_OF_EVENTS
from .events.detect import has_event_header
from .events.read import HEAD
from .files import GIB, read_bytes

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
UNSUPPORTED = {
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
    **dict.fromkeys((".aedat", ".aedat4", ".es", ".raw", ".bin", ".bs2"), "events"),
}


def detect_kind(path: Path | str) -> str:
    """Return `nir`, `onnx`, `safetensors`, `npz`, `npy` or `events`, by content, then by suffix.

    HDF5 files and NumPy archives are `nir` and `npz` also if they hold events.

    Raises:
        DataError: the file cannot be read, holds a pickle, or is of an unknown kind.
    """
    head = read_bytes(path, HEAD)
    kind = _kind_by_content(head)
    if kind is not None:
        return kind
    refuse_pickle(path, head)
    for magic, why in UNSUPPORTED.items():
        if head.startswith(magic):
            raise DataError(
                f"{sanitize(path)} is not a network or an array",
                why=why,
                remedy="unpack it first" if "compressed" in why or "archive" in why else "",
            )
    kind = SUFFIXES.get(Path(path).suffix.lower())
    if kind is not None:
        return kind
    if head[0] == 0x08:  # the first field of an ONNX file: its version
        return "onnx"
    raise DataError(
        f"{sanitize(path)} is of an unknown kind",
        remedy="files that can be read: .onnx, .nir, .safetensors, .npz, .npy, recordings of "
        f"events ({', '.join(sorted(SUFFIXES_OF_EVENTS))}), and runs",
    )


def _kind_by_content(head: bytes) -> str | None:
    if head.startswith(HDF5_MAGIC):
        return "nir"
    if head.startswith(NPY_MAGIC):
        return "npy"
    if head.startswith(ZIP_MAGIC):
        return "npz"
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < GIB:
        return "safetensors"
    if has_event_header(head):
        return "events"
    return None


def refuse_pickle(path: Path | str, head: bytes) -> None:
    """Refuse a file whose first bytes are those of a pickle.

    Raises:
        DataError: it is a pickle.
    """
    if len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5:
        raise pickle_refused(path)
