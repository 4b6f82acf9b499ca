"""Images in class folders, on disk or in a zip."""

from pathlib import PurePosixPath
from typing import Literal

import torch

from ....core.errors import ConfigError, DataError
from ...base import Source, Split
from ..store import EXTENSIONS, Store, open_store
from .decode import Decoder, LazyFiles, are_grey, decode_all, open_image

PARTS = {"train": "train", "test": "test", "validation": "validation", "val": "validation"}
COLOUR_SAMPLES = 100
GIB = 2**30


def load_folder(
    *,
    path: str,
    test_path: str | None = None,
    size: list[int] | None = None,
    colour: Literal["auto", "grey", "rgb"] = "auto",
    memory_limit: float = 2.0,
) -> Source:
    """Return the images of class folders, uint8 `[N, C, H, W]`, classes in alphabetical order.

    The layout is `<class>/image.png` or `train/<class>/image.png` (optionally with `test/` and
    `validation/` beside `train/`), in a folder or a zip. Images are PNG, JPEG, BMP or WebP; other
    and hidden files are ignored.

    Args:
        path: the folder or zip.
        test_path: another folder or zip with the test part.
        size: [height, width] to resize every image to.
        colour: "auto" is grey if 100 equally spaced images are.
        memory_limit: GiB of pixels that are kept in memory; larger sets are decoded at access.

    Raises:
        ConfigError: a size that is not two positive numbers, an unknown colour.
        DataError: no class folders, classes that differ between parts, images that cannot be
            decoded or differ in size.
    """
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ConfigError(f"size is {size}", why="it is [height, width], both positive")
    if colour not in ("auto", "grey", "rgb"):
        raise ConfigError(f"colour is {colour!r}", why="choose from auto, grey, rgb")
    store = open_store(path)
    parts = _parts(store, path)
    if "train" not in parts:
        raise DataError(
            f"{path} has no folder train",
            why=f"found: {', '.join(parts)}",
            remedy="add it, or give that path as data.test_path and the training images as "
            "data.path",
        )
    stores = dict.fromkeys(parts, store)
    if test_path is not None:
        stores["test"] = open_store(test_path)
        parts["test"] = _test_part(_parts(stores["test"], test_path), test_path)
    classes = _classes(parts, path)

    train_names = [name for names in parts["train"].values() for name in names]
    shape, example = _shape(store, train_names, size, colour)
    count = sum(len(names) for part in parts.values() for names in part.values())
    in_memory = count * shape[0] * shape[1] * shape[2] <= memory_limit * GIB
    splits = {}
    for part, by_class in parts.items():
        decoder = Decoder(stores[part], shape[0], shape[1:], size is not None, example)
        names = [name for label in classes for name in by_class[label]]
        labels = [index for index, label in enumerate(classes) for _ in by_class[label]]
        images = decode_all(decoder, names) if in_memory else LazyFiles(decoder, names)
        splits[part] = Split(images, torch.tensor(labels, dtype=torch.int64))
    return Source(splits["train"], splits.get("test"), classes, validation=splits.get("validation"))


def _parts(store: Store, path: str) -> dict[str, dict[str, list[str]]]:
    """Return part -> class -> sorted image names; without part folders all images are `train`."""
    names = {name: PurePosixPath(name).parts for name in sorted(store.sizes)}
    # Many archives have a single top folder with their own name.
    while len(tops := {parts[0] for parts in names.values()}) == 1 and not tops & PARTS.keys():
        if any(len(parts) < 3 for parts in names.values()):
            break
        names = {name: parts[1:] for name, parts in names.items()}
    inside = {name: parts for name, parts in names.items() if len(parts) > 1}
    tops = {parts[0] for parts in inside.values()}
    # A class may be called train or test; then its images are directly in it.
    deep = {parts[0] for parts in inside.values() if len(parts) > 2}
    flat = {parts[0] for parts in inside.values() if len(parts) == 2}
    in_parts = bool(tops & deep & PARTS.keys()) and not tops & flat & PARTS.keys()
    if in_parts and tops - PARTS.keys():
        raise DataError(
            f"{path} has images outside its parts {', '.join(sorted(tops & PARTS.keys()))}",
            why=f"in {', '.join(sorted(tops - PARTS.keys()))}",
            remedy="move them elsewhere, or give the folder of the training images as data.path",
        )
    found: dict[str, dict[str, list[str]]] = {}
    for name, parts in inside.items():
        part = PARTS[parts[0]] if in_parts else "train"
        label = parts[1] if in_parts else parts[0]
        found.setdefault(part, {}).setdefault(label, []).append(name)
    if not found:
        raise DataError(
            f"{path} has no class folders with images",
            why=f"looked for <class>/<image> with {', '.join(sorted(EXTENSIONS))}",
            remedy="put the images of each class into a folder named after it",
        )
    return found


def _test_part(parts: dict[str, dict[str, list[str]]], path: str) -> dict[str, list[str]]:
    if "test" in parts:
        return parts["test"]
    if len(parts) == 1:
        return next(iter(parts.values()))
    raise DataError(
        f"{path} has no folder test",
        why=f"found: {', '.join(parts)}",
        remedy="give the folder of the test images itself as data.test_path",
    )


def _classes(parts: dict[str, dict[str, list[str]]], path: str) -> list[str]:
    classes = sorted(parts["train"])
    if len(classes) < 2:
        raise DataError(
            f"{path} has only one class, {classes[0]}",
            why="classification needs two classes or more",
            remedy="put the images of each class into a folder named after it",
        )
    for part, by_class in parts.items():
        lacking, extra = set(classes) - set(by_class), set(by_class) - set(classes)
        if lacking or extra:
            differences = [f"{part} lacks {', '.join(sorted(lacking))}"] * bool(lacking)
            differences += [f"train lacks {', '.join(sorted(extra))}"] * bool(extra)
            raise DataError(
                f"train and {part} have different classes",
                why="; ".join(differences),
                remedy="give both the same class folders",
            )
    return classes


def _shape(
    store: Store, names: list[str], size: list[int] | None, colour: str
) -> tuple[tuple[int, int, int], str]:
    """Return (channels, height, width), and the name of the image that has that size."""
    # Equally spaced, since the first images are all of one class.
    count = min(COLOUR_SAMPLES, len(names))
    sample = [names[number * len(names) // count] for number in range(count)]
    if colour == "auto":
        colour = "grey" if all(are_grey(store, sample)) else "rgb"
    channels = 1 if colour == "grey" else 3
    first = open_image(store, sample[0])
    height, width = size or (first.height, first.width)
    return (channels, height, width), store.display_name(sample[0])
