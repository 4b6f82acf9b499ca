"""Images in class folders, on disk or in a zip."""

from typing import Literal

from ....core.errors import ConfigError
from ...base import Source, Split
from ..class_folders import read_layout, relative_parts
from ..damaged import pointing_to_survey
from ..layout import Layout
from ..sizes import height_and_width
from ..store import EXTENSIONS, Store, open_store
from ..tables import Columns
from .decode import Decoder, LazyFiles, decode_all
from .opening import open_image

COLOUR_SAMPLES = 100
GIB = 2**30


def load_folder(
    *,
    path: str,
    test_path: str | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    size: int | list[int] | None = None,
    colour: Literal["auto", "grey", "rgb"] = "auto",
    memory_limit: float = 2.0,
) -> Source:
    """Return the images of class folders, `[N, C, H, W]`, classes in alphabetical order.

    They are uint8, or float32 in [0, 1] if one of 100 equally spaced images is a PNG of 16 bits.

    The layout is `<class>/image.png` or `train/<class>/image.png` (optionally with `test/` and
    `validation/` beside `train/`), in a folder or a zip, or a table (CSV, TSV, Parquet) of files
    and labels. Images are PNG, JPEG, BMP or WebP; other and hidden files are ignored.

    Args:
        path: the folder, zip or table.
        test_path: another folder or zip with the test part.
        path_column, label_column, split_column: of a table, if they have other names than path,
            label and split.
        size: [height, width] to resize every image to; one number for both.
        colour: "auto" is grey if 100 equally spaced images are.
        memory_limit: GiB of pixels that are kept in memory; larger sets are decoded at access.

    Raises:
        ConfigError: a size that is not two positive numbers, an unknown colour.
        DataError: no class folders, classes that differ between parts, images that cannot be
            decoded or differ in size.
    """
    fixed = height_and_width(size)
    if colour not in ("auto", "grey", "rgb"):
        raise ConfigError(f"colour is {colour!r}", why="choose from auto, grey, rgb")
    columns = Columns(path_column, label_column, split_column)
    layout = read_layout(path, test_path, suffixes=EXTENSIONS, noun="image", columns=columns)
    with pointing_to_survey(path):
        splits = _splits(layout, fixed, colour, memory_limit)
    return Source(
        splits["train"], splits.get("test"), layout.classes, validation=splits.get("validation")
    )


def unlabelled_images(
    path: str,
    *,
    size: int | list[int] | None = None,
    colour: Literal["auto", "grey", "rgb"] = "auto",
) -> LazyFiles | None:
    """Return the images that lie directly in a folder or a zip, in the order of their names.

    Args:
        path: the folder or zip.
        size: [height, width] to resize every image to; one number for both.
        colour: as in `load_folder`.

    Returns:
        The images `[N, C, H, W]`, decoded at access; None if there are none, or if some lie in
        folders, which are classes.

    Raises:
        ConfigError: a size that is not two positive numbers.
        DataError: an image cannot be decoded.
    """
    fixed = height_and_width(size)
    store = open_store(path)
    names = sorted(store.sizes)
    if not names or any(len(parts) > 1 for parts in relative_parts(store).values()):
        return None
    shape, example, deep = _shape(store, names, fixed, colour)
    return LazyFiles(Decoder(store, shape[0], shape[1:], fixed is not None, example, deep), names)


def _splits(
    layout: Layout, size: tuple[int, int] | None, colour: str, memory_limit: float
) -> dict[str, Split]:
    train = layout.train
    shape, example, deep = _shape(train.store, sorted(train.names), size, colour)
    count = sum(len(part.names) for part in layout.parts.values())
    values = count * shape[0] * shape[1] * shape[2]
    in_memory = values * (4 if deep else 1) <= memory_limit * GIB
    splits = {}
    for name, part in layout.parts.items():
        decoder = Decoder(part.store, shape[0], shape[1:], size is not None, example, deep)
        images = decode_all(decoder, part.names) if in_memory else LazyFiles(decoder, part.names)
        splits[name] = Split(images, part.targets)
    return splits


def _shape(
    store: Store, names: list[str], size: tuple[int, int] | None, colour: str
) -> tuple[tuple[int, int, int], str, bool]:
    """Return (channels, height, width), the name of the image that has that size, and whether one
    of the images has 16 bits."""
    # Equally spaced, since the first images are all of one class.
    count = min(COLOUR_SAMPLES, len(names))
    sample = [names[number * len(names) // count] for number in range(count)]
    first = open_image(store, sample[0])
    grey, deep = first.is_grey, first.is_deep
    for name in sample[1:]:
        opened = open_image(store, name)
        grey, deep = grey and opened.is_grey, deep or opened.is_deep
    if colour == "auto":
        colour = "grey" if grey else "rgb"
    height, width = size or first.size
    return (1 if colour == "grey" else 3, height, width), store.display_name(sample[0]), deep
