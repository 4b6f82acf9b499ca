"""Files of samples in a folder, or in a zip that is not unpacked to disk."""

import os
import stat
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from ...core.errors import DataError
from ...core.reading import read_regular, why_unreadable
from ...formats.arrays import read_member

MAX_BYTES = 2**28  # of one file
MAX_FOLDERS = 100_000
EXTENSIONS = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}


class Store(Protocol):
    """Files by their relative POSIX path; picklable.

    `others` counts the other files that are not hidden, by suffix.
    """

    sizes: dict[str, int]
    others: dict[str, int]

    def read(self, name: str) -> bytes: ...

    def display_name(self, name: str) -> str: ...


def open_store(path: str, suffixes: Collection[str] = EXTENSIONS) -> Store:
    """Return the files with one of the suffixes under a folder or in a zip, without hidden ones.

    Raises:
        DataError: `path` is missing, neither a folder nor a zip, or a damaged zip.
    """
    root = Path(path).expanduser()
    if root.is_dir():
        return FolderStore(root, suffixes)
    if root.is_file():
        return ZipStore(root, suffixes)
    if os.path.lexists(root):
        raise DataError(
            f"{path} is neither a folder nor a zip",
            why="it is a pipe, a device, or a link to one or to nothing, and is not opened",
            remedy="give a folder of class folders, or a zip of one",
        )
    raise DataError(
        f"there is no {path}",
        why="data.path names a folder of class folders, or a zip of one",
        remedy="check the path; it is relative to the folder in which the command runs",
    )


def visible_suffix(name: str) -> str | None:
    """Return the suffix of `name` in lower case; None if a part of it is hidden."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return None if hidden else path.suffix.lower()


class FolderStore:
    """The files under a folder: all with one of the suffixes, or those called `names`."""

    def __init__(
        self,
        root: Path,
        suffixes: Collection[str] = EXTENSIONS,
        *,
        names: Sequence[str] | None = None,
    ) -> None:
        self.root = root
        self.sizes: dict[str, int] = {}
        self.others: dict[str, int] = {}
        if names is not None:
            self.sizes = {name: _size(root / name) for name in names if (root / name).exists()}
            return
        others: Counter[str | None] = Counter()
        try:
            for folder, files in walk(root):
                for file in files:
                    path = Path(folder, file)
                    name = path.relative_to(root).as_posix()
                    suffix = visible_suffix(name)
                    if suffix in suffixes:
                        self.sizes[name] = _size(path)
                    else:
                        others[suffix] += 1
        except OSError as error:
            raise DataError(f"could not list {root}", why=str(error)) from error
        self.others = _visible(others)

    def display_name(self, name: str) -> str:
        """Return the name of a file in messages."""
        return str(self.root / name)

    def read(self, name: str) -> bytes:
        """Return the content of the file called `name`.

        Raises:
            DataError: it cannot be read.
        """
        _require_bounded(self, name)
        try:
            return read_regular(self.root / name, max_size=MAX_BYTES)
        except (OSError, ValueError) as error:
            raise DataError(
                f"could not read {self.display_name(name)}", why=why_unreadable(error)
            ) from error


class ZipStore:
    """The files in a zip, which each process opens separately."""

    def __init__(self, path: Path, suffixes: Collection[str] = EXTENSIONS) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        self.sizes: dict[str, int] = {}
        others: Counter[str | None] = Counter()
        for entry in self._zip().infolist():
            suffix = visible_suffix(entry.filename)
            if entry.is_dir():
                continue
            if suffix in suffixes:
                if entry.filename in self.sizes:
                    raise DataError(
                        f"{path} holds two files of the name {entry.filename}",
                        why="only one of them could be read",
                        remedy="create the zip again, with each file once",
                    )
                self.sizes[entry.filename] = entry.file_size
            else:
                others[suffix] += 1
        self.others = _visible(others)

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "sizes": self.sizes, "others": self.others}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._opened = None

    def display_name(self, name: str) -> str:
        """Return the name of a file in messages."""
        return f"{self.path}:{name}"

    def read(self, name: str) -> bytes:
        """Return the content of the file called `name`.

        Raises:
            DataError: it is damaged or cannot be unpacked.
        """
        _require_bounded(self, name)
        try:
            archive = self._zip()
            return read_member(archive, archive.getinfo(name))
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise DataError(
                f"{self.display_name(name)} is damaged",
                why=str(error),
                remedy=f"get {self.path} again",
            ) from error
        except (NotImplementedError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{self.display_name(name)} cannot be unpacked",
                why=str(error),
                remedy="create the zip again, stored or deflated and without a password",
            ) from error

    def _zip(self) -> zipfile.ZipFile:
        # A forked worker must not share its parent's file position.
        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():
                self._opened = (os.getpid(), _open_zip(self.path))
            return self._opened[1]


def _visible(counts: Counter[str | None]) -> dict[str, int]:
    return {suffix: count for suffix, count in counts.items() if suffix is not None}


def _require_bounded(store: Store, name: str) -> None:
    if store.sizes.get(name, 0) > MAX_BYTES:
        raise DataError(
            f"{store.display_name(name)} is too large for one sample",
            why=f"it has {store.sizes[name]:,} bytes; at most {MAX_BYTES:,} are read",
            remedy="remove it, or scale it down first",
        )


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        with open(path, "rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        if is_zip:
            raise DataError(
                f"{path} ends too early",
                why="the list of files at the end of the zip is missing; "
                "probably an interrupted download or copy",
                remedy="get it again",
            ) from error
        raise DataError(
            f"{path} is neither a folder nor a zip",
            why=str(error),
            remedy="give a folder of class folders, or a zip of one",
        ) from error
    except OSError as error:
        raise DataError(f"could not read {path}", why=error.strerror or str(error)) from error


def walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the folders below `root` and the names of their files, links followed.

    A link to a folder above it is left out, for its files are there.

    Raises:
        DataError: there are more than MAX_FOLDERS, as of links that lead to each other.
    """
    above = {os.fspath(root): {os.path.realpath(root)}}
    for count, (folder, folders, files) in enumerate(
        os.walk(root, onerror=_raise, followlinks=True)
    ):
        if count > MAX_FOLDERS:
            raise DataError(
                f"{root} has more than {MAX_FOLDERS:,} folders",
                why="links lead to the same folders again and again",
                remedy="remove the links, or name a folder without them",
            )
        seen = above.pop(folder)
        inside = {name: os.path.realpath(os.path.join(folder, name)) for name in sorted(folders)}
        folders[:] = [name for name, real in inside.items() if real not in seen]
        for name in folders:
            above[os.path.join(folder, name)] = seen | {inside[name]}
        yield folder, files


def _size(path: Path) -> int:
    """Return the size of a regular file.

    Raises:
        DataError: it is a pipe, a device or a link to one.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise DataError(
            f"{path} is not a regular file",
            why="it is a pipe, a device, or a link to one, and is not opened",
            remedy="remove it",
        )
    return found.st_size


def _raise(error: OSError) -> None:
    raise error
