"""Tables of files and labels: CSV, TSV or Parquet, a row for each sample."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...core.errors import ConfigError, DataError
from ...core.packages import require_package
from ...core.reading import read_regular, why_unreadable
from ...core.registry import nearest
from .array_names import SPELLED
from .layout import Layout, Part
from .store import FolderStore

SUFFIXES = (".csv", ".tsv", ".parquet")
MAX_BYTES = 2**26  # of a file: a million rows and more
MAX_UNPACKED = 2**29  # bytes that a Parquet file states
FEW_CLASSES = 10
"""With more classes than this, each has two samples or more in the mean."""
PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path")
PATHS += ("img", "img_path", "image_name", "recording", "audio", "wav")
LABELS = ("label", "class", "target", "category", "y", "label_name", "class_name", "name")
SPLITS = ("split", "part", "subset", "set")
Row = tuple[str, list[str]]
"""Where it is, such as `line 3`, and its cells."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table, upper and lower case alike; None: one of the common names.

    Attributes:
        path: files, relative to the folder of the table.
        label: names of classes.
        split: train, validation or test; the table need not have it.
    """

    path: str | None = None
    label: str | None = None
    split: str | None = None

    @staticmethod
    def of(options: Mapping[str, Any]) -> Columns:
        """Return the columns that the options of a data set name, such as `label_column`."""
        return Columns(*(options.get(f"{each}_column") for each in ("path", "label", "split")))


def is_table(path: str) -> bool:
    """Return whether a path is that of a table, by its suffix."""
    return Path(path).suffix.lower() in SUFFIXES


def read_table_layout(
    path: str, columns: Columns, *, suffixes: Collection[str], noun: str
) -> Layout:
    """Return the files that a table lists; classes in alphabetical order, or in that of numbers.

    Args:
        path: of the table.
        columns: their names.
        suffixes: of the files.
        noun: what a file holds, in messages: "image".

    Raises:
        ConfigError: there is no column of a given name.
        DataError: the table cannot be read, has no such columns, names files that are missing, of
            another kind or listed twice, has empty cells, unknown parts, or one class only.
    """
    header, rows = _read(Path(path).expanduser())
    if not rows:
        raise DataError(f"{path} has no rows", why="it needs a line for each file, below its names")
    at_path = _column(path, header, columns.path, PATHS, "path")
    at_label = _column(path, header, columns.label, LABELS, "label")
    at_split = _column(path, header, columns.split, SPLITS, "split", needed=False)
    assert at_path is not None and at_label is not None
    folder = Path(path).expanduser().parent
    files: dict[str, dict[str, str]] = {}  # by part, the label of each
    lines: dict[str, str] = {}
    for line, row in rows:
        name, label = (row[at].strip() if at < len(row) else "" for at in (at_path, at_label))
        if "\\" in name and not (folder / name).exists():
            name = name.replace("\\", "/")  # of a table that was written on Windows
        if not name or not label:
            lacking = header[at_label if name else at_path]
            raise _bad_row(path, line, f"has no {lacking}", "fill it in, or remove the line")
        if Path(name).suffix.lower() not in suffixes:
            why = f"{name} is no {noun} that is read: {', '.join(sorted(suffixes))}"
            raise _bad_row(path, line, f"names no {noun}", why)
        if name in lines:
            why = f"{name} is in {lines[name]} already"
            raise _bad_row(path, line, "names a file again", why)
        lines[name] = line
        part = "train" if at_split is None else _part(path, line, row, at_split)
        files.setdefault(part, {})[name] = label
    return _layout(path, files, lines, noun)


def listed_suffixes(path: str, columns: Columns) -> Counter[str]:
    """Return how many files of which suffix a table lists.

    Raises:
        ConfigError, DataError: as `read_table_layout`, for the table itself.
    """
    header, rows = _read(Path(path).expanduser())
    at = _column(path, header, columns.path, PATHS, "path")
    assert at is not None
    names = (row[at].strip() for _, row in rows if at < len(row))
    return Counter(Path(name).suffix.lower() for name in names)


def class_order(names: Collection[str]) -> list[str]:
    """Return names of classes in alphabetical order, or in that of their numbers.

    >>> class_order({"10", "9"}), class_order({"b", "a"})
    (['9', '10'], ['a', 'b'])
    """
    numbered = all(name.isdecimal() for name in names)
    return sorted(names, key=int) if numbered else sorted(names)


def _layout(
    path: str, files: dict[str, dict[str, str]], lines: dict[str, str], noun: str
) -> Layout:
    if "train" not in files:
        found = ", ".join(files)
        raise DataError(f"{path} has no rows of the part train", why=f"found: {found}")
    classes = class_order(set(files["train"].values()))
    if len(classes) < 2:
        raise DataError(
            f"{path} has only one class, {classes[0]}",
            why="classification needs two classes or more",
            remedy=f"give each {noun} its label",
        )
    if len(classes) > FEW_CLASSES and 2 * len(classes) > len(lines):
        raise DataError(
            f"the labels of {path} are no classes",
            why=f"there are {len(classes):,} different ones in {len(lines):,} rows, such as "
            f"{classes[0]}; a class has several samples",
            remedy="name the column of the classes with --set data.label_column=NAME; real values "
            "are learned from arrays (data.name=series-npz)",
        )
    index = {label: number for number, label in enumerate(classes)}
    store = FolderStore(Path(path).expanduser().parent, names=[*lines])
    for name, line in lines.items():
        if name not in store.sizes:
            raise _bad_row(
                path,
                line,
                "names a file that is not there",
                f"no file {store.display_name(name)}; paths are relative to the folder of the "
                "table",
            )
    parts = {}
    for part, labels in files.items():
        extra = sorted(set(labels.values()) - index.keys())
        if extra:
            raise DataError(
                f"{path} has a class without training samples",
                why=f"{extra[0]} is only in the part {part}",
                remedy="give each class a row of the part train",
            )
        names = sorted(labels, key=lambda name: (index[labels[name]], name))
        targets = torch.tensor([index[labels[name]] for name in names], dtype=torch.int64)
        parts[part] = Part(store, names, targets)
    return Layout(parts, classes)


def _column(
    path: str,
    header: Sequence[str],
    asked: str | None,
    common: Sequence[str],
    role: str,
    *,
    needed: bool = True,
) -> int | None:
    """Return the number of a column."""
    plain = [name.strip().lower() for name in header]
    for name in [asked.lower()] if asked is not None else common:
        if name in plain:
            return plain.index(name)
    shown = ", ".join(header) or "none"
    if asked is not None:
        near = nearest(asked, plain)
        raise ConfigError(
            f"{path} has no column {asked}",
            why=f"data.{role}_column names it; there are {shown}",
            remedy=f"did you mean {header[plain.index(near)]!r}?" if near else "",
        )
    if not needed:
        return None
    name = nearest(role, plain) or "NAME"
    raise DataError(
        f"{path} has no column with the {role} of each sample",
        why=f"its columns are {shown}; looked for {', '.join(common)}",
        remedy=f"name it with --set data.{role}_column={name}, or add a first line with the names "
        "of the columns",
    )


def _part(path: str, line: str, row: Sequence[str], at: int) -> str:
    name = row[at].strip() if at < len(row) else ""
    part = SPELLED.get(name.lower())
    if part is None:
        why = f"{name!r} is none of train, validation (val) and test"
        raise _bad_row(path, line, "has an unknown part", why)
    return part


def _read(path: Path) -> tuple[list[str], list[Row]]:
    """Return the names of the columns, and the rows."""
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    try:
        text = read_regular(path, max_size=MAX_BYTES).decode("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max("\t;,", key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [(f"line {reader.line_num}", row) for row in reader if row]
    except FileNotFoundError as error:
        raise _missing(path) from error
    except UnicodeDecodeError as error:
        what = f"{path} is not UTF-8"
        raise DataError(what, why=str(error), remedy="save it as UTF-8") from error
    except (OSError, ValueError, csv.Error) as error:
        why = str(error) if isinstance(error, csv.Error) else why_unreadable(error)
        raise DataError(f"{path} cannot be read", why=why) from error
    return (rows[0][1], rows[1:]) if rows else ([], [])


def _read_parquet(path: Path) -> tuple[list[str], list[Row]]:
    require_package("pyarrow", f"{path} is Parquet, which", otherwise="save the table as CSV")
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(read_regular(path, max_size=MAX_BYTES)))
        groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
        unpacked = sum(group.total_byte_size for group in groups)
        if unpacked > MAX_UNPACKED:
            raise ValueError(f"it unpacks to {unpacked:,} bytes; at most {MAX_UNPACKED:,} are read")
        table = file.read()
        columns = [table.column(name).to_pylist() for name in table.column_names]
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read", why=str(error).partition("\n")[0]) from error
    rows = [
        (f"row {number}", ["" if each is None else str(each) for each in row])
        for number, row in enumerate(zip(*columns, strict=True), start=1)
    ]
    return list(table.column_names), rows


def _missing(path: Path) -> DataError:
    return DataError(
        f"there is no {path}",
        why="data.path names a table of files and labels",
        remedy="check the path; it is relative to the folder in which the command runs",
    )


def _bad_row(path: str, line: str, what: str, why: str, remedy: str = "") -> DataError:
    return DataError(f"{line} of {path} {what}", why=why, remedy=remedy or "correct it")
