"""Parts and classes of a data set, by the folders of its files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

import torch

from ...core.errors import ConfigError, DataError
from .array_names import SPELLED
from .file_kinds import describe_suffixes
from .layout import Layout, Part
from .store import Store, open_store
from .tables import Columns, is_table, read_table_layout

ByClass = dict[str, list[str]]


def read_layout(
    path: str,
    test_path: str | None,
    *,
    suffixes: Collection[str],
    noun: str,
    columns: Columns | None = None,
) -> Layout:
    """Return the files of class folders, classes in alphabetical order, or those of a table.

    The layout is `<class>/<file>` or `train/<class>/<file>` (optionally with `test/` and
    `validation/` beside `train/`), in a folder or a zip; or a table of files and labels.

    Args:
        path: the folder, zip or table.
        test_path: another folder or zip with the test part; not with a table, which has a column.
        suffixes: of the files; others are ignored.
        noun: what a file holds, in messages: "image".
        columns: of a table.

    Raises:
        ConfigError: columns without a table, a table with `test_path`, no column of a given name.
        DataError: no class folders, one class only, classes that differ between parts, or an
            invalid table.
    """
    if is_table(path):
        if test_path is not None:
            raise ConfigError(
                "data.test_path goes with folders, and data.path is a table",
                remedy="mark the rows in a column split: train, validation, test",
            )
        return read_table_layout(path, columns or Columns(), suffixes=suffixes, noun=noun)
    if columns is not None and columns != Columns():
        raise ConfigError(
            "columns are of a table, and data.path is none",
            why=f"{path} is no .csv, .tsv or .parquet",
            remedy="leave out data.path_column, data.label_column and data.split_column",
        )
    store = open_store(path, suffixes)
    found = _parts(store, path, suffixes, noun)
    if "train" not in found:
        raise DataError(
            f"{path} has no folder train",
            why=f"found: {', '.join(found)}",
            remedy=f"add it, or give that path as data.test_path and the training {noun}s as "
            "data.path",
        )
    stores = dict.fromkeys(found, store)
    if test_path is not None:
        stores["test"] = open_store(test_path, suffixes)
        found["test"] = _test_part(
            _parts(stores["test"], test_path, suffixes, noun), test_path, noun
        )
    classes = _classes(found, path, noun, _others(store, noun)[0])
    parts = {}
    for part, by_class in found.items():
        names = [name for label in classes for name in by_class[label]]
        targets = [index for index, label in enumerate(classes) for _ in by_class[label]]
        parts[part] = Part(stores[part], names, torch.tensor(targets, dtype=torch.int64))
    return Layout(parts, classes)


def has_parts(store: Store) -> bool:
    """Return whether the top folders are parts, such as `train` and `test`."""
    tops = {parts[0] for parts in relative_parts(store).values() if len(parts) > 2}
    return bool(tops) and tops == parts_of(tops)


def relative_parts(store: Store) -> dict[str, tuple[str, ...]]:
    """Return the folders and the name of each file, without a top folder that holds all."""
    names = {name: PurePosixPath(name).parts for name in sorted(store.sizes)}
    # Many archives have a single top folder with their own name.
    while len(tops := {parts[0] for parts in names.values()}) == 1 and not parts_of(tops):
        if any(len(parts) < 3 for parts in names.values()):
            break
        names = {name: parts[1:] for name, parts in names.items()}
    return names


def _parts(store: Store, path: str, suffixes: Collection[str], noun: str) -> dict[str, ByClass]:
    """Return part -> class -> sorted file names; without part folders all files are `train`."""
    names = relative_parts(store)
    inside = {name: parts for name, parts in names.items() if len(parts) > 1}
    tops = {parts[0] for parts in inside.values()}
    # A class may be called train or test; then its files are directly in it.
    deep = {parts[0] for parts in inside.values() if len(parts) > 2}
    flat = {parts[0] for parts in inside.values() if len(parts) == 2}
    in_parts = bool(parts_of(tops & deep)) and not parts_of(tops & flat)
    if in_parts and tops != parts_of(tops):
        raise DataError(
            f"{path} has {noun}s outside its parts {', '.join(sorted(parts_of(tops)))}",
            why=f"in {', '.join(sorted(tops - parts_of(tops)))}",
            remedy=f"move them elsewhere, or give the folder of the training {noun}s as data.path",
        )
    found: dict[str, ByClass] = {}
    for name, parts in inside.items():
        part = SPELLED[parts[0].lower()] if in_parts else "train"
        label = parts[1] if in_parts else parts[0]
        found.setdefault(part, {}).setdefault(label, []).append(name)
    if not found:
        there, remedy = _others(store, noun)
        outside = f"; {len(names):,} {noun}s lie in no folder" if names else ""
        raise DataError(
            f"{path} has no class folders with {noun}s",
            why=f"looked for <class>/<{noun}> with {', '.join(sorted(suffixes))}{outside}{there}",
            remedy=remedy * (not names)
            or f"put the {noun}s of each class into a folder named after it",
        )
    return found


def parts_of(folders: set[str]) -> set[str]:
    """Return the folders that are parts by their names, such as `train`, `Test` and `val`."""
    return {name for name in folders if name.lower() in SPELLED}


def _others(store: Store, noun: str) -> tuple[str, str]:
    """Return the rest of a sentence on the files that are not read, and a remedy."""
    there, remedy = describe_suffixes(store.others, noun)
    return (f"; not read: {there}" if there else ""), remedy


def _test_part(parts: dict[str, ByClass], path: str, noun: str) -> ByClass:
    if "test" in parts:
        return parts["test"]
    if len(parts) == 1:
        return next(iter(parts.values()))
    raise DataError(
        f"{path} has no folder test",
        why=f"found: {', '.join(parts)}",
        remedy=f"give the folder of the test {noun}s itself as data.test_path",
    )


def _classes(parts: dict[str, ByClass], path: str, noun: str, others: str) -> list[str]:
    classes = sorted(parts["train"])
    if len(classes) < 2:
        raise DataError(
            f"{path} has only one class, {classes[0]}",
            why=f"classification needs two classes or more{others}",
            remedy=f"put the {noun}s of each class into a folder named after it",
        )
    for part, by_class in parts.items():
        lacking, extra = set(classes) - set(by_class), set(by_class) - set(classes)
        if lacking or extra:
            differences = [f"{part} lacks {', '.join(sorted(lacking))}"] * bool(lacking)
            differences += [f"train lacks {', '.join(sorted(extra))}"] * bool(extra)
            raise DataError(
                f"train and {part} have different classes",
                why="; ".join(differences) + others,
                remedy="give both the same class folders",
            )
    return classes
