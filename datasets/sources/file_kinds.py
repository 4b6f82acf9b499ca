"""What a file is that is not read as a sample, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from ...formats.events.detect import SUFFIXES as EVENT_SUFFIXES
from ...formats.events.detect import has_event_header

READ = "PNG, JPEG, BMP or WebP"


class FileKind(NamedTuple):
    """A kind of file: `noun` with an article, and a `remedy`."""

    noun: str
    remedy: str


def _picture(name: str) -> FileKind:
    return FileKind(name, f"images are {READ}: convert it, e.g. to PNG")


GIF = _picture("a GIF image")
TIFF = _picture("a TIFF image")
AVIF = _picture("an AVIF or HEIF image")
OTHER_PICTURE = _picture("an image of another format")
AUDIO = FileKind("audio", "use data.name=wav-folder, with WAV files")
EVENTS = FileKind("a recording of events", "use data.name=events-folder")
HDF5 = FileKind("an HDF5 file", "use data.name=events-folder if it holds events")
NUMPY = FileKind("a NumPy array", "use data.name=npz, with x_train and y_train")
VIDEO = FileKind("a video", f"save its frames as {READ}")
ARCHIVE = FileKind("an archive", "unpack it")
DOCUMENT = FileKind("a document", "remove it")
TEXT = FileKind("text", "replace or remove it; an HTML page comes from a failed download")
IMAGE = FileKind("an image", "use data.name=folder")
EMPTY = FileKind("empty", "replace or remove it")

MAGIC = {
    b"GIF8": GIF,
    b"II*\0": TIFF,
    b"MM\0*": TIFF,
    b"fLaC": AUDIO,
    b"OggS": AUDIO,
    b"ID3": AUDIO,
    b"\x89HDF\r\n\x1a\n": HDF5,
    b"\x93NUMPY": NUMPY,
    b"PK\x03\x04": ARCHIVE,
    b"\x1f\x8b": ARCHIVE,
    b"%PDF": DOCUMENT,
}
SUFFIXES = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".webp"), IMAGE),
    ".gif": GIF,
    **dict.fromkeys((".tif", ".tiff"), TIFF),
    **dict.fromkeys((".avif", ".heic", ".heif"), AVIF),
    **dict.fromkeys((".jp2", ".svg", ".ppm", ".pgm", ".tga", ".psd", ".exr"), OTHER_PICTURE),
    **dict.fromkeys((".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aiff"), AUDIO),
    **dict.fromkeys(EVENT_SUFFIXES, EVENTS),
    **dict.fromkeys((".h5", ".hdf5"), HDF5),
    **dict.fromkeys((".npy", ".npz"), NUMPY),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm"), VIDEO),
    **dict.fromkeys((".zip", ".tar", ".gz", ".7z"), ARCHIVE),
}
MAX_NAMED = 4


def kind_of(content: bytes, name: str) -> FileKind | None:
    """Return what a file is by its first bytes, then by its suffix; None if nothing is known."""
    if not content:
        return EMPTY
    if content.startswith(b"RIFF") and content[8:12] == b"WAVE":
        return AUDIO
    if content[4:8] == b"ftyp":
        return AVIF if content[8:12] in (b"avif", b"avis", b"heic", b"heix", b"mif1") else VIDEO
    for magic, kind in MAGIC.items():
        if content.startswith(magic):
            return kind
    if has_event_header(content):
        return EVENTS
    known = SUFFIXES.get(PurePosixPath(name).suffix.lower())
    known = None if known == IMAGE else known  # by its name alone
    return known or (TEXT if _is_text(content[:512]) else None)


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\t\r\n" for c in text)


def describe_suffixes(counts: Mapping[str, int], noun: str) -> tuple[str, str]:
    """Return what there is instead of samples, such as `3 .gif (a GIF image)`, and a remedy.

    The remedy is that of the most frequent known kind; empty if none is known.

    Args:
        counts: files by suffix, in lower case; empty for files without.
        noun: what was looked for: "image".
    """
    parts, remedy = [], ""
    for suffix, count in Counter(counts).most_common(MAX_NAMED):
        kind = SUFFIXES.get(suffix)
        parts.append(
            f"{count:,} {suffix or 'without suffix'}" + (f" ({kind.noun})" if kind else "")
        )
        if kind is not None and (noun == "image" or kind in (IMAGE, AUDIO)):
            remedy = remedy or kind.remedy
    more = len(counts) - len(parts)
    return ", ".join(parts) + (f" and {more} other suffixes" if more else ""), remedy
