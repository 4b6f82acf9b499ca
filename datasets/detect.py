"""Which data set reads what lies at a path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..core.errors import ConfigError, DataError
from ..core.text import left_out, shell
from ..formats.events.npz import COLUMNS
from .sources.array_names import renamed
from .sources.boxes.coco import IN_FOLDER, INSTANCES
from .sources.class_folders import has_parts, parts_of, relative_parts
from .sources.events.folder import SUFFIXES as EVENTS
from .sources.file_kinds import describe_suffixes
from .sources.labelled_arrays import read_any_arrays
from .sources.store import EXTENSIONS, Store, open_store
from .sources.tables import SUFFIXES as TABLES
from .sources.tables import Columns, is_table, listed_suffixes

WAV = ".wav"
DATASETS = {"image": "folder", "recording": "events-folder", "WAV file": "wav-folder"}
PUBLISHED = {
    "MNIST/raw": "mnist --data-dir {}",
    "FashionMNIST/raw": "fashion-mnist --data-dir {}",
    "KMNIST/raw": "digits --set data.name=kmnist --data-dir {}",
    "cifar-10-batches-py": "cifar10 --data-dir {}",
    "cifar-100-python": "cifar100 --data-dir {}",
    "shd_train.h5": "shd --set data.path={}",
    "QTDB_train.mat": "ecg --set data.path={}",
}
"""What a folder of a published data set holds, and how it is trained."""

KINDS = (
    "class folders of images, recordings of events or WAV files (or a zip of them), a table (.csv, "
    ".tsv, .parquet) of files and labels, or arrays (.npz, a folder of .npy)"
)


@dataclass(frozen=True)
class Detected:
    """A data set that reads a path.

    Attributes:
        name: of the data set.
        options: those that it needs, `path` among them.
        notes: what was found where there was a choice, a line each.
    """

    name: str
    options: dict[str, Any]
    notes: tuple[str, ...] = ()


def detect(path: str, asked: Mapping[str, Any] | None = None) -> Detected:
    """Return the data set for a folder, a zip, a table or an array file.

    Args:
        path: what the user named.
        asked: options of the data set that the user gave, such as `label_column`.

    Raises:
        ConfigError: it is a run, a recipe or a published data set, with the command for it.
        DataError: there is nothing, or it holds no samples with classes.
    """
    root, asked = Path(path).expanduser(), asked or {}
    if root.is_dir():
        _refuse_other_folders(path, root)
        boxes = _with_boxes(path, root)
        if boxes is not None:
            return boxes
        return _from_store(path, open_store(path, _all_suffixes()), asked)
    suffix = root.suffix.lower()
    if is_table(path):
        return _from_table(path, asked)
    if suffix in (".npz", ".npy"):
        return _from_arrays(path)
    if suffix == ".zip":
        return _from_store(path, open_store(path, _all_suffixes()), asked)
    if not root.exists():
        raise DataError(
            f"there is no file or folder {path}",
            why="nothing has this name in the folder in which the command runs",
            remedy="check the path",
        )
    raise _one_file(path, suffix)


def shares_to_cut(counts: Mapping[str, int]) -> dict[str, float]:
    """Return the shares of the training samples for parts that own data lack.

    Few samples give more of them to validation: 24 of 300 would measure steps of 4 %.

    Args:
        counts: samples by part, `train` among them.
    """
    shares = {"test": 0.2, "validation": 0.2 if counts["train"] < 1_000 else 0.1}
    return {part: share for part, share in shares.items() if part not in counts}


def _all_suffixes() -> set[str]:
    return {*EXTENSIONS, *EVENTS, WAV, ".npy", *TABLES}


def _refuse_other_folders(path: str, root: Path) -> None:
    if (root / "config.toml").is_file() and (root / "metrics.jsonl").is_file():
        raise ConfigError(
            f"{path} is a run, not data",
            remedy=f"to train it again: asnn train {shell(root / 'config.toml')}; to resume it: "
            f"asnn train --resume {shell(path)}",
        )
    runs = [each.parent for each in root.glob("*/metrics.jsonl")]
    if any((each / "config.toml").is_file() for each in runs):
        raise ConfigError(
            f"{path} is a folder of runs, not data",
            remedy=f"to list them: asnn runs list {shell(path)}; to train one again: asnn train "
            f"{shell(min(runs) / 'config.toml')}",
        )
    for inside, command in PUBLISHED.items():
        if (root / inside).exists():
            raise ConfigError(
                f"{path} holds a published data set, {inside}",
                why="it has a recipe of its own",
                remedy=f"asnn train {command.format(shell(path))}",
            )


def _with_boxes(path: str, root: Path) -> Detected | None:
    """Return the data set of images with boxes in a published layout; None of other folders."""
    if (root / "Annotations").is_dir() and (root / "JPEGImages").is_dir():
        return Detected("voc", {"path": path}, ("boxes of Pascal VOC in Annotations",))
    if any(root.glob(f"annotations/{INSTANCES}*.json")) or any(root.glob(f"*/{IN_FOLDER}")):
        return Detected("coco", {"path": path}, ("boxes in the annotations of COCO",))
    return None


def _from_store(path: str, store: Store, asked: Mapping[str, Any]) -> Detected:
    files = relative_parts(store)
    by_noun: dict[str, list[str]] = {noun: [] for noun in DATASETS}
    for name in files:
        noun = _noun(PurePosixPath(name).suffix.lower())
        if noun is not None:
            by_noun[noun].append(name)
    noun = max(by_noun, key=lambda each: len(by_noun[each]))
    names = by_noun[noun]
    tables = [name for name in files if PurePosixPath(name).suffix.lower() in TABLES]
    arrays = [name for name in files if PurePosixPath(name).suffix.lower() in (".npz", ".npy")]
    on_disk = Path(path).expanduser().is_dir()
    classes = {files[name][0] for name in names if len(files[name]) > 1}
    # Folders called train and test with files directly in them are parts without classes.
    labelled = has_parts(store) or bool(classes - parts_of(classes))
    if on_disk and len(tables) == 1 and (not labelled or len(classes) < 2):
        table = str(Path(path) / tables[0])
        found = _from_table(table, asked)
        return Detected(found.name, found.options, (f"{table} lists the files and their labels",))
    if on_disk and arrays and len(arrays) >= len(names) and all(len(files[a]) == 1 for a in arrays):
        npz = [name for name in arrays if name.endswith(".npz")]
        if len(npz) == len(arrays) == 1:
            found = _from_arrays(str(Path(path) / npz[0]))
            return Detected(found.name, found.options, (f"{npz[0]} is the only file of arrays",))
        if not npz:
            return _from_arrays(path)
    if not names:
        raise _nothing(path, store)
    others = {each: len(found) for each, found in by_noun.items() if found and each != noun}
    notes = tuple(left_out(count, each, f"{each}s") for each, count in others.items())
    if noun == "WAV file" and len(classes) < 2 and _has_prefixes(names):
        note = "the class is the name of a file up to the first `_`: there are no class folders"
        return Detected("wav-folder", {"path": path, "labels": "prefix"}, (*notes, note))
    if not labelled:
        raise _unlabelled(path, noun, len(names))
    _refuse_parts_without_classes(path, noun, [files[name] for name in names])
    notes += tuple(_nested(path, store, [files[name] for name in names]))
    return Detected(DATASETS[noun], {"path": path}, notes)


def _noun(suffix: str) -> str | None:
    if suffix in EXTENSIONS:
        return "image"
    if suffix == WAV:
        return "WAV file"
    return "recording" if suffix in EVENTS else None


def _has_prefixes(names: list[str]) -> bool:
    """Return whether the parts before the first `_` are labels: two or more, each used twice."""
    counts = Counter(PurePosixPath(name).name.partition("_")[0] for name in names if "_" in name)
    return len(counts) > 1 and sum(counts.values()) == len(names) and min(counts.values()) > 1


def _refuse_parts_without_classes(path: str, noun: str, files: list[tuple[str, ...]]) -> None:
    """Refuse a folder of parts of which one has classes and another has none."""
    deep = parts_of({parts[0] for parts in files if len(parts) > 2})
    flat = parts_of({parts[0] for parts in files if len(parts) == 2})
    if deep and flat:
        part, other = min(deep), min(flat)
        raise DataError(
            f"the {noun}s in {Path(path) / other} have no classes",
            why=f"those in {Path(path) / part} lie in class folders",
            remedy=f"train on {shell(Path(path) / part)} alone; what the network says of the "
            f"others: asnn predict RUN {shell(Path(path) / other)}",
        )


def _nested(path: str, store: Store, files: list[tuple[str, ...]]) -> list[str]:
    """Return a note if files lie in folders of class folders; refuse the same ones in each."""
    if has_parts(store):
        files = [parts[1:] for parts in files]
    deep = [parts for parts in files if len(parts) > 2]
    if len(deep) < len(files) or not deep:
        return []
    inside: dict[str, set[str]] = {}
    for parts in deep:
        inside.setdefault(parts[0], set()).add(parts[1])
    first = next(iter(inside))
    alike = all(names == inside[first] for names in inside.values())
    if len(inside) > 1 and len(inside[first]) > 1 and alike:
        raise DataError(
            f"the class folders of {path} lie one level too deep",
            why=f"{', '.join(sorted(inside)[:4])} hold the same folders "
            f"{', '.join(sorted(inside[first])[:4])}",
            remedy=f"give one of them, such as {shell(Path(path) / first)}, or call them train, "
            "validation and test",
        )
    return [f"classes are the folders directly in {path}; deeper folders are not told apart"]


def _from_table(path: str, asked: Mapping[str, Any]) -> Detected:
    columns = Columns.of(asked)
    counts: Counter[str] = Counter()
    for suffix, count in listed_suffixes(path, columns).items():
        noun = _noun(suffix)
        if noun is not None:
            counts[noun] += count
    if not counts:
        raise DataError(
            f"{path} lists no files that are read",
            why="the column with the paths names no images, recordings or WAV files",
            remedy="write paths with their suffix, such as cat/1.png, relative to the table",
        )
    return Detected(DATASETS[counts.most_common(1)[0][0]], {"path": path})


def _from_arrays(path: str) -> Detected:
    arrays = read_any_arrays(path)
    if set(COLUMNS) <= arrays.keys():
        return Detected("events-npz", {"path": path})
    x = renamed(path, arrays)[0].get("x_train")
    if x is None or x.ndim < 3:
        return Detected("npz", {"path": path}) if x is None else _refuse_flat(path, x)
    is_image = x.ndim == 4 or (x.ndim == 3 and (x.dtype.kind == "u" or _holds_pixels(x)))
    if not is_image:
        return Detected("series-npz", {"path": path})
    note = ()
    if x.ndim == 3 and x.dtype.kind == "f":
        note = (
            f"{list(x.shape)} in [0, 1] are read as images; for series: --set data.name=series-npz",
        )
    return Detected("npz", {"path": path}, note)


def _holds_pixels(x: np.ndarray) -> bool:
    """Return whether floats are in [0, 1], or whole numbers up to 255: a series seldom is."""
    if x.dtype.kind != "f" or x.size == 0 or not x.min() >= 0:
        return False
    return x.max() <= 1 or bool(x.max() <= 255 and (x == np.floor(x)).all())


def _refuse_flat(path: str, x: np.ndarray) -> Detected:
    side = int(x.shape[-1] ** 0.5) if x.ndim == 2 else 0
    square = side > 1 and side * side == x.shape[-1]
    raise DataError(
        f"{path} has samples of shape {list(x.shape[1:])}",
        why="images are [N, H, W] or [N, C, H, W], series [N, T, F]",
        remedy=f"for images of {side}x{side}: x.reshape(-1, {side}, {side})"
        if square
        else "reshape them; a row of features is a series of one step: x[:, None]",
    )


def _nothing(path: str, store: Store) -> DataError:
    there, remedy = describe_suffixes(store.others, "image")
    recipes = [name for name in store.others if name == ".toml"]
    if recipes:
        remedy = f"to train a recipe in it, name the file: asnn train {shell(path)}/NAME.toml"
    return DataError(
        f"{path} holds no samples that are read",
        why=f"found {there}" if there else "it is empty, or all in it is hidden",
        remedy=remedy or f"data are {KINDS}",
    )


def _unlabelled(path: str, noun: str, count: int) -> DataError:
    folder = Path(path).expanduser().resolve()
    siblings = [each for each in folder.parent.iterdir() if each.is_dir() and each != folder]
    of_parent = f"if {folder.name} is one class of several, give {shell(Path(path).parent)}; "
    return DataError(
        f"the {count:,} {noun}s in {path} have no classes",
        why="they lie in no class folders, and no table lists their labels",
        remedy=(of_parent if folder.is_dir() and siblings else "")
        + f"put the {noun}s of each class into a folder named after it, or write a labels.csv "
        "beside them with the columns path and label; what a trained network says of them: "
        f"asnn predict RUN {shell(path)}",
    )


def _one_file(path: str, suffix: str) -> DataError:
    noun = _noun(suffix)
    if noun is not None:
        return DataError(
            f"{path} is one {noun}",
            why="a network is trained on many, of two classes or more",
            remedy=f"give the folder with its class folders; for one {noun}: asnn predict RUN "
            f"{shell(path)}",
        )
    there, remedy = describe_suffixes({suffix: 1}, "image")
    return DataError(
        f"{path} is neither a recipe nor data", why=there, remedy=remedy or f"data are {KINDS}"
    )
