"""Images with the annotations of Pascal VOC, in XML."""

import math
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from ....core.errors import DataError
from ....core.reading import MIB, read_regular, why_unreadable
from ....core.text import left_out
from ...base import Source
from .letterbox import Annotated, clipped
from .parts import DIFFICULT, WITHOUT_AREA, Colour, arranged, frame_of, source_of

MAX_LIST = 64 * MIB
LISTS = {"train": "train", "val": "validation", "test": "test"}
MAX_SIDE = 2**20


def load_voc(
    *, path: str, size: int | list[int] = 256, colour: Colour = "rgb", difficult: bool = False
) -> Source:
    """Return images with boxes, in frames of one size, uint8 `[N, C, H, W]`, decoded at access.

    The folder has `Annotations/NAME.xml`, `JPEGImages/` and perhaps `ImageSets/Main/` with
    `train.txt` (or `trainval.txt`), `val.txt` and `test.txt`, a name a line. Without a test part
    the val images are for testing, and some for training are for validation; without lists all
    images are for training, and the other parts are cut from them.

    Images keep their shape: they are scaled until they fit, and the rest is black. Pixels of VOC
    are counted from 1, both ends belong to a box. Classes are those of the training images, by
    name.

    Args:
        path: the folder, such as `VOCdevkit/VOC2012`.
        size: [height, width] of the frame; one number for both.
        colour: "rgb" or "grey".
        difficult: keep the objects that are marked as difficult.

    Raises:
        ConfigError: an option out of range.
        DataError: missing or damaged files.
    """
    frame, channels = frame_of(size, colour)
    root = Path(path).expanduser()
    lists, notes = arranged(_lists(path, root))
    ignored: Counter[tuple[str, str]] = Counter()
    found = {
        part: [_annotation(root, name, difficult, ignored) for name in names]
        for part, names in lists.items()
    }
    classes = sorted({name for image in found["train"] for name in image.objects})
    for part, images in found.items():
        unknown = {name for image in images for name in image.objects}.difference(classes)
        if unknown:
            raise DataError(
                f"the {part} images of {path} show the class {min(unknown)!r}",
                why="no training image shows it",
                remedy="correct the annotations, or the lists in ImageSets/Main",
            )
    parts = {
        part: (root / "JPEGImages", [image.numbered(classes) for image in images])
        for part, images in found.items()
    }
    notes += [left_out(count, *what) for what, count in ignored.items()]
    return source_of(parts, classes, frame, channels, notes)


class _Image(NamedTuple):
    """An image, its boxes, and the name of the class of each."""

    name: str
    size: tuple[int, int]
    boxes: list[list[float]]
    objects: list[str]

    def numbered(self, classes: list[str]) -> Annotated:
        boxes = np.array(self.boxes, float).reshape(-1, 4)
        numbers = [classes.index(name) for name in self.objects]
        return Annotated(self.name, self.size, boxes, np.array(numbers, np.int64))


def _lists(path: str, root: Path) -> dict[str, list[str]]:
    """Return the names of the images of each part."""
    folder = root / "ImageSets" / "Main"
    files = {part: folder / f"{each}.txt" for each, part in LISTS.items()}
    found = {part: _names(file) for part, file in files.items() if file.is_file()}
    if "train" not in found and (folder / "trainval.txt").is_file():
        found = {"train": _names(folder / "trainval.txt")} | {
            part: names for part, names in found.items() if part == "test"
        }
    if not folder.is_dir():
        found = {"train": sorted(file.stem for file in (root / "Annotations").glob("*.xml"))}
    if not found.get("train"):
        raise DataError(
            f"{path} has no annotations for training",
            why="they are Annotations/*.xml, and their names in ImageSets/Main/train.txt",
            remedy="check the path",
        )
    return {part: found[part] for part in ("train", "validation", "test") if found.get(part)}


def _names(file: Path) -> list[str]:
    try:
        lines = read_regular(file, max_size=MAX_LIST).decode().split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"could not read {file}", why=why_unreadable(error)) from error
    names = [line.split()[0] for line in lines if line.strip()]
    for name in names:
        if not re.fullmatch(r"[\w.-]+", name) or name in (".", ".."):
            raise DataError(f"{file} names the image {name!r}", why="it is not the name of a file")
    return names


def _annotation(
    root: Path, name: str, difficult: bool, ignored: Counter[tuple[str, str]]
) -> _Image:
    file = root / "Annotations" / f"{name}.xml"
    tree = _parsed(file)
    sides = tuple(_number(file, tree, f"size/{key}") for key in ("height", "width"))
    if not all(side == int(side) and 0 < side < MAX_SIDE for side in sides):
        raise _bad(file, f"states the size {sides[0]:g}x{sides[1]:g} (height x width)")
    size = int(sides[0]), int(sides[1])
    boxes, objects = [], []
    for each in tree.iterfind("object"):
        of = (each.findtext("name") or "").strip()
        if not of:
            raise _bad(file, "has an object without a name")
        if not difficult and (each.findtext("difficult") or "").strip() == "1":
            ignored[DIFFICULT] += 1
            continue
        keys = ("xmin", "ymin", "xmax", "ymax")
        x1, y1, x2, y2 = (_number(file, each, f"bndbox/{key}") for key in keys)
        box = clipped((x1 - 1, y1 - 1, x2, y2), size)
        if box is None:
            ignored[WITHOUT_AREA] += 1
            continue
        boxes.append(box)
        objects.append(of)
    image = (tree.findtext("filename") or "").strip() or f"{name}.jpg"
    return _Image(image, size, boxes, objects)


def _parsed(file: Path) -> ElementTree.Element:
    """Return the root of a file of XML without a document type, whose entities could grow.

    Raises:
        DataError: it is missing or damaged, or has a document type.
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(read_regular(file, max_size=MIB), True)
        return builder.close()
    except (OSError, ValueError) as error:
        why, cause = why_unreadable(error), error
    except (expat.ExpatError, LookupError) as error:  # LookupError: of an unknown encoding
        why, cause = str(error), error
    raise DataError(f"could not read {file}", why=why, remedy="get the annotation again") from cause


def _refuse_doctype(*found: object) -> None:
    raise ValueError("it has a document type, which annotations have not")


def _number(file: Path, of: ElementTree.Element, key: str) -> float:
    text = of.findtext(key)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not abs(value) < MAX_SIDE:
        raise _bad(file, f"has {key.replace('/', ' ')} {text!r}")
    return value


def _bad(file: Path, what: str) -> DataError:
    return DataError(f"{file} {what}", remedy="correct the annotation")
