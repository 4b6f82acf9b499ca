"""Images with the annotations of COCO, in JSON."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ....core.errors import DataError
from ....core.reading import read_regular, why_unreadable
from ....core.text import left_out
from ...base import Source
from .letterbox import Annotated, clipped
from .parts import CROWDS, WITHOUT_AREA, Colour, arranged, frame_of, part_of, source_of

MAX_JSON = 2**30
INSTANCES = "instances_"
IN_FOLDER = "_annotations.coco.json"
MAX_SIDE = 2**20


def load_coco(*, path: str, size: int | list[int] = 256, colour: Colour = "rgb") -> Source:
    """Return images with boxes, in frames of one size, uint8 `[N, C, H, W]`, decoded at access.

    The annotations are `annotations/instances_NAME.json` with the images in `NAME` or
    `images/NAME`, where NAME begins with train, val or test; or `_annotations.coco.json` in each of
    the folders `train`, `valid` and `test`. Without a test part the val images are for testing, and
    some for training are for validation.

    Images keep their shape: they are scaled until they fit, and the rest is black. Crowds
    (`iscrowd`) are left out, and so are boxes without area. Classes are the categories in the
    order of their ids, which may have gaps.

    Args:
        path: the folder.
        size: [height, width] of the frame; one number for both.
        colour: "rgb" or "grey".

    Raises:
        ConfigError: an option out of range.
        DataError: missing or damaged files.
    """
    frame, channels = frame_of(size, colour)
    files, notes = arranged(annotation_files(path))
    ignored: Counter[tuple[str, str]] = Counter()
    parts: dict[str, tuple[Path, list[Annotated]]] = {}
    classes: list[str] = []
    for part, (file, folder) in files.items():
        document = _read(file)
        names = _categories(file, document)
        if part == "train":
            classes = list(names.values())
        unknown = [name for name in names.values() if name not in classes]
        if unknown:
            raise _bad(
                file,
                f"has the category {unknown[0]!r}, which the training images have not",
                "give all parts the same categories",
            )
        numbers = {key: classes.index(name) for key, name in names.items()}
        parts[part] = folder, _images(file, document, numbers, ignored)
    notes += [left_out(count, *what) for what, count in ignored.items()]
    return source_of(parts, classes, frame, channels, notes)


def annotation_files(path: str) -> dict[str, tuple[Path, Path]]:
    """Return the file of annotations and the folder of images of each part.

    Raises:
        DataError: there are none for training.
    """
    root = Path(path).expanduser()
    found: dict[str, tuple[Path, Path]] = {}
    files = sorted((root / "annotations").glob("*.json"))
    instances = [file for file in files if file.name.startswith(INSTANCES)]
    for file in instances or files:
        name = file.stem.removeprefix(INSTANCES)
        part = part_of(name)
        if part is not None and part not in found:
            folders = (root / name, root / "images" / name, root / "images")
            found[part] = file, next((each for each in folders if each.is_dir()), root)
    for file in sorted(root.glob(f"*/{IN_FOLDER}")):
        part = part_of(file.parent.name)
        if part is not None:
            found.setdefault(part, (file, file.parent))
    if "train" not in found:
        raise DataError(
            f"{path} has no annotations for training",
            why="they are annotations/instances_train*.json, or train/_annotations.coco.json",
            remedy="check the path",
        )
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_regular(file, max_size=MAX_JSON))
    except (OSError, ValueError, RecursionError) as error:
        why = why_unreadable(error) if not isinstance(error, RecursionError) else "too deep"
        raise DataError(
            f"could not read {file}", why=why, remedy="get the annotations again"
        ) from error
    keys = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key), list)
        and all(isinstance(each, dict) for each in document[key])
        for key in keys
    ):
        raise _bad(file, f"is not the annotations of COCO: it needs the lists {', '.join(keys)}")
    return document


def _categories(file: Path, document: dict[str, Any]) -> dict[int, str]:
    """Return the name of each category by its id, in the order of the ids."""
    found = _by_id(file, "category", document["categories"])
    names = {key: each.get("name") for key, each in sorted(found.items())}
    for name, count in Counter(map(str, names.values())).items():
        if count > 1:
            raise _bad(file, f"has {count} categories called {name!r}")
    if not names or not all(isinstance(name, str) for name in names.values()):
        raise _bad(file, "has a category without a name" if names else "has no categories")
    return names  # type: ignore[return-value]


def _images(
    file: Path,
    document: dict[str, Any],
    numbers: dict[int, int],
    ignored: Counter[tuple[str, str]],
) -> list[Annotated]:
    images = _by_id(file, "image", document["images"])
    for key, image in images.items():
        sides = image.get("height"), image.get("width")
        if not isinstance(image.get("file_name"), str) or not all(
            type(side) is int and 0 < side < MAX_SIDE for side in sides
        ):
            raise _bad(file, f"has the image {key} without file_name, height or width")
    boxes, classes = defaultdict(list), defaultdict(list)
    for annotation in document["annotations"]:
        image = annotation.get("image_id")
        if not _is_number(image) or image not in images:
            raise _bad(file, f"has an annotation of the image {image}, which it does not list")
        category = annotation.get("category_id")
        if not _is_number(category) or category not in numbers:
            raise _bad(file, f"has an annotation of the category {category}, which it has not")
        box = annotation.get("bbox")
        if (
            not isinstance(box, list)
            or len(box) != 4
            or not all(type(v) in (int, float) and abs(v) < MAX_SIDE for v in box)
        ):
            raise _bad(file, f"has an annotation of the image {image} with the box {box}")
        if annotation.get("iscrowd"):
            ignored[CROWDS] += 1
            continue
        x, y, width, height = map(float, box)
        of = images[image]
        found = clipped((x, y, x + width, y + height), (of["height"], of["width"]))
        if found is None or not all(map(math.isfinite, found)):
            ignored[WITHOUT_AREA] += 1
            continue
        boxes[image].append(found)
        classes[image].append(numbers[category])
    return [
        Annotated(
            each["file_name"],
            (each["height"], each["width"]),
            np.array(boxes[key], float).reshape(-1, 4),
            np.array(classes[key], np.int64),
        )
        for key, each in images.items()
    ]


def _by_id(file: Path, what: str, rows: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        key = row.get("id")
        if not _is_number(key) or key in found:
            raise _bad(file, f"has {what}s without an id of their own: {key}")
        found[key] = row  # type: ignore[index]
    return found


def _is_number(value: Any) -> bool:
    return type(value) is int


def _bad(file: Path, what: str, remedy: str = "correct the annotations") -> DataError:
    return DataError(f"{file} {what}", remedy=remedy)
