"""Which format a file of events has, and its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePath

from ...core.errors import DataError
from ..errors import InvalidFile, sanitize, unreadable
from ..files import check_file, read_bytes
from .percent_header import read_percent_header
from .recording import Recording, Recordings, single

HEAD = 1 << 17  # bytes that tell the format


@dataclass(frozen=True)
class EventFormat:
    """A format of event files.

    Attributes:
        name: as in messages.
        module: has `decode(content)`, and `read(path)` if it reads from disk.
        suffixes: of its files.
        matches: whether the first bytes of a file are of this format, and of no other; None where
            nothing tells, and the suffix decides.
        from_disk: whether a file is given to `read` as a path.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool] | None = None
    from_disk: bool = False


def _begins(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


def _prophesee(name: str | None) -> Callable[[bytes], bool]:
    def matches(head: bytes) -> bool:
        header = read_percent_header(head) if head.startswith(b"%") else None
        return header is not None and header.end > 0 and header.format == name

    return matches


FORMATS = (
    EventFormat("AEDAT 2", "aedat2", (".aedat", ".dat"), _begins(b"#!AER-DAT2")),
    EventFormat("AEDAT 4", "aedat4", (".aedat4",), _begins(b"#!AER-DAT4"), from_disk=True),
    EventFormat("EVT 2", "evt2", (".raw",), _prophesee("EVT2")),
    EventFormat("EVT 3", "evt3", (".raw",), _prophesee("EVT3")),
    EventFormat("Prophesee DAT", "dat", (".dat",), _prophesee(None)),
    EventFormat("Event Stream", "event_stream", (".es",), _begins(b"Event Stream")),
    EventFormat("HDF5", "hdf5", (".h5", ".hdf5"), _begins(b"\x89HDF\r\n\x1a\n"), from_disk=True),
    EventFormat("NPZ", "npz", (".npz",), _begins(b"PK\x03\x04", b"PK\x05\x06"), from_disk=True),
    EventFormat("N-MNIST", "nmnist", (".bin", ".bs2")),
)


def read_recording(path: Path | str) -> Recording:
    """Return the one recording of an event file; its content tells the format, else its suffix.

    Raises:
        DataError: the file is missing, larger than 2 GiB, in no format that is read, damaged, or
            holds several recordings.
    """
    return _one(path, _read(path))


def decode_recording(name: str, content: bytes) -> Recording:
    """Return the one recording in the bytes of a file, as of a member of an archive.

    Args:
        name: of the file: its suffix counts where the content does not tell the format.
        content: all its bytes.

    Raises:
        DataError: as `read_recording`.
    """
    return _one(name, _decode(name, content))


def read_recordings(path: Path | str) -> Recordings:
    """Return all recordings of a file of many (NPZ, SHD); any other file as one recording.

    Raises:
        DataError: the file is missing, larger than 2 GiB, in no format that is read, or damaged.
    """
    found = _read(path)
    return single(found) if isinstance(found, Recording) else found


def decode_recordings(name: str, content: bytes) -> Recordings:
    """Return all recordings in the bytes of a file, as of one on stdin.

    Args:
        name: of the file: its suffix counts where the content does not tell the format.
        content: all its bytes.

    Raises:
        DataError: as `read_recordings`.
    """
    found = _decode(name, content)
    return single(found) if isinstance(found, Recording) else found


def _one(name: Path | str, found: Recording | Recordings) -> Recording:
    if isinstance(found, Recording):
        return found
    if len(found) != 1:
        raise DataError(
            f"{sanitize(name)} holds {len(found):,} recordings, not one",
            remedy="read them with asnn.formats.events.read_recordings",
        )
    return found[0]


def _decode(name: str, content: bytes) -> Recording | Recordings:
    if not content:
        raise DataError(f"{sanitize(name)} is empty")
    return _call(choose_format(name, content[:HEAD]), "decode", content, name)


def _read(path: Path | str) -> Recording | Recordings:
    check_file(path)
    found = choose_format(path, read_bytes(path, HEAD))
    if found.from_disk:
        return _call(found, "read", path, path)
    return _call(found, "decode", read_bytes(path), path)


def _call(
    found: EventFormat, function: str, argument: Path | str | bytes, name: Path | str
) -> Recording | Recordings:
    reader = getattr(import_module(f".{found.module}", __package__), function)
    try:
        return reader(argument)
    except InvalidFile as error:
        raise unreadable(name, error, what=f"{found.name} file") from error
    except OSError as error:
        raise unreadable(name, error.strerror or error, what=f"{found.name} file") from error
    except MemoryError as error:
        why = "its events need more memory than there is"
        raise unreadable(name, why, what=f"{found.name} file") from error


def choose_format(name: Path | str, head: bytes) -> EventFormat:
    """Return the format by the first bytes of a file, else by its suffix.

    Raises:
        DataError: neither tells one, or the header is damaged.
    """
    try:
        for found in FORMATS:
            if found.matches and found.matches(head):
                return found
    except InvalidFile as error:
        raise unreadable(name, error, what="event file") from error
    suffix = PurePath(name).suffix.lower()
    for found in FORMATS:
        if suffix in found.suffixes and found.matches is None:
            return found
    raise DataError(
        f"{sanitize(name)} is in no format of events that is read",
        why=_why_unknown(suffix, head),
        remedy="give one of: "
        + ", ".join(f"{each.name} ({', '.join(each.suffixes)})" for each in FORMATS),
    )


def _why_unknown(suffix: str, head: bytes) -> str:
    """Return what the first bytes say, or lack."""
    if head.startswith(b"#!AER-DAT"):
        return f"it is AEDAT {sanitize(head[9:12].decode('ascii', 'replace'))}"
    if head.startswith(b"%") and read_percent_header(head).format:
        return f"its header states {sanitize(read_percent_header(head).format, 20)}"
    expected = [each.name for each in FORMATS if suffix in each.suffixes]
    if expected:
        return f"it does not begin as {' or '.join(expected)} does"
    return "neither its first bytes nor its suffix tell a format"
