"""The files that paths name: files, and those in folders and zips, in order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

from ....core.errors import AsnnError, DataError
from ....core.reading import read_regular, why_unreadable
from ....core.text import shell
from ....datasets.sources.file_kinds import describe_suffixes
from ....datasets.sources.store import MAX_BYTES, open_store, visible_suffix, walk
from ....datasets.sources.tables import is_table
from .sample import Source, Unreadable


class Finder:
    """Finds the files of a kind that paths name.

    Folders are looked through with all folders in them, each in alphabetical order; hidden files
    are left out. A folder is listed when its turn comes, so that memory holds one list.

    Args:
        suffixes: of the files in folders and zips; a file that is named itself may have any.
        noun: what they hold, in messages: "image".

    Attributes:
        others: the files in folders that are not read, by suffix.
    """

    def __init__(self, suffixes: Collection[str], noun: str) -> None:
        self._suffixes = frozenset(suffixes)
        self._noun = noun
        self._many = noun if noun.endswith("s") else f"{noun}s"
        self.others: Counter[str] = Counter()

    def find(self, paths: Iterable[Path | str]) -> Iterator[Source | Unreadable]:
        """Yield the files, and what cannot be read in their place."""
        for path in map(Path, paths):
            try:
                yield from self._in(path)
            except AsnnError as error:
                yield Unreadable(str(path), error)

    def described_others(self) -> str:
        """Return the files that were not read as text; empty if there are none."""
        return describe_suffixes(self.others, self._noun)[0]

    def _in(self, path: Path) -> Iterator[Source | Unreadable]:
        if path.is_dir():
            found = self._in_folder(path)
        elif path.suffix.lower() == ".zip" and path.is_file():
            found = self._in_zip(path)
        elif is_table(str(path)) and path.is_file():
            raise DataError(
                f"{path} is a table, and {self._many} are answered",
                remedy=f"name its folder or the files: asnn predict RUN {shell(path.parent)}; the "
                "accuracy on a table's part test: asnn eval RUN",
            )
        else:
            yield file_source(path)
            return
        count = 0
        before = self.others.copy()
        for count, each in enumerate(found, start=1):  # noqa: B007
            yield each
        if not count:
            there, _ = describe_suffixes(self.others - before, self._noun)
            raise DataError(
                f"{path} holds no {self._many}",
                why=f"not read: {there}" if there else "it is empty",
                remedy=f"the network takes {self._many}: name a folder with "
                f"{', '.join(sorted(self._suffixes))} files",
            )

    def _in_folder(self, root: Path) -> Iterator[Source]:
        try:
            for folder, files in walk(root):
                inside = Path(folder).relative_to(root).as_posix()
                if inside != "." and visible_suffix(inside) is None:
                    continue
                for name in sorted(files):
                    if self._is_read(name):
                        yield file_source(Path(folder, name))
        except OSError as error:
            raise DataError(f"could not list {root}", why=str(error)) from error

    def _in_zip(self, path: Path) -> Iterator[Source]:
        store = open_store(str(path), self._suffixes)
        self.others.update(store.others)
        for name in sorted(store.sizes):
            yield Source(f"{path}/{name}", partial(store.read, name))

    def _is_read(self, name: str) -> bool:
        suffix = visible_suffix(name)
        if suffix is None or suffix in self._suffixes:
            return suffix is not None
        self.others[suffix] += 1
        return False


def file_source(path: Path) -> Source:
    """Return a file as a source; whether it can be read is known when it is."""
    return Source(str(path), partial(_read, path), path)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, max_size=MAX_BYTES)
    except FileNotFoundError as error:
        missing = "leads nowhere" if os.path.lexists(path) else "is missing"
        raise DataError(f"{path} {missing}", remedy="check the path") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read", why=why_unreadable(error)) from error
