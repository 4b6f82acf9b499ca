"""Images that the samples of a data set belong to, as their targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError
from .base import Source, Split
from .sources.array_names import PARTS, renamed
from .sources.images.mnist import load_idx_folder
from .sources.images.npz import images_of
from .sources.labelled_arrays import (
    bad,
    check_one_each,
    check_same_shape,
    class_labels,
    read_any_arrays,
)
from .sources.labels import one_each

SAVE = "save it with np.savez(path, images=..., sample_id=..., labels=...)"


@dataclass(frozen=True)
class TargetImages:
    """The images of a file.

    Attributes:
        path: of the file.
        pixels: uint8 or float32 `[M, C, H, W]`, the parts one after another.
        counts: number of images in each part.
        ids: the number of each image, int64 `[M]`; None if they are in the order of the samples.
        labels: the class of each, text `[M]`; None if the file has none.
    """

    path: str
    pixels: Tensor
    counts: dict[str, int]
    ids: np.ndarray | None
    labels: np.ndarray | None

    def of(self, split: Split) -> Split:
        """Return the samples of a split of `match` with their images, float32 in [0, 1]."""
        assert split.ids is not None, "match has found a row for each sample"
        chosen = self.pixels[split.ids]
        full_scale = 255 if chosen.dtype == torch.uint8 else 1
        return replace(split, targets=chosen.float() / full_scale)


def read_target_images(path: str) -> TargetImages:
    """Return the images of an .npz, of a folder of .npy files, or of a folder such as `MNIST`.

    Arrays are `images`, or `x_train`, `x_test` and `x_validation`, see `load_npz`. `sample_id`
    (`sample_id_test`, ...) numbers them, `labels` (`y_test`, ...) are their classes; both may be
    left out. A folder has MNIST's four files in `raw`: its images are numbered from 1, those for
    testing behind those for training, as N-MNIST counts them.

    Raises:
        DataError: there are no images, or arrays that do not fit together.
    """
    folder = Path(path).expanduser()
    if (folder / "raw").is_dir():
        source = load_idx_folder(folder)
        assert source.test is not None
        splits = (source.train, source.test)
        pixels = torch.cat([split.inputs for split in splits])  # type: ignore[misc]
        labels = torch.cat([split.targets for split in splits]).numpy().astype(str)
        counts = {"train": len(source.train), "test": len(source.test)}
        return TargetImages(path, pixels, counts, np.arange(1, len(pixels) + 1), labels)
    arrays, _ = renamed(path, read_any_arrays(path))
    return _of_arrays(path, {_with_part(name): array for name, array in arrays.items()})


def match(name: str, source: Source, images: TargetImages) -> Source:
    """Return the source with the row of its image, in `images.pixels`, as `ids` of each sample.

    Images that have numbers belong to the samples of the same numbers, others to the samples of the
    same part in their order. Where both have classes, each class of samples must be paired with one
    class of images.

    Raises:
        DataError: a sample without an image, another number of them, or images of other classes.
    """
    parts = {part: getattr(source, part) for part in PARTS if getattr(source, part) is not None}
    if images.ids is None:
        rows = _in_order(name, parts, images)
        how = "in their order"
    else:
        rows = {part: _by_id(name, part, split, images) for part, split in parts.items()}
        how = "by sample_id"
    compared = _check_classes(name, source, parts, rows, images)
    note = f"targets are the images of {images.path}, paired {how}"
    note += "; their classes fit" if compared else ""
    matched = {part: replace(split, ids=rows[part]) for part, split in parts.items()}
    return replace(source, classes=[], notes=(*source.notes, note), **matched)


def _with_part(name: str) -> str:
    return "sample_id_train" if name == "sample_id" else name


def _of_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> TargetImages:
    present = [part for part in PARTS if f"x_{part}" in arrays]
    if not present:
        raise bad(path, "has no images", f"found: {', '.join(arrays) or 'none'}", SAVE)
    notes: list[str] = []
    pixels = {part: images_of(path, f"x_{part}", arrays[f"x_{part}"], notes) for part in present}
    shape, dtype = pixels[present[0]].shape[1:], pixels[present[0]].dtype
    for part, each in pixels.items():
        check_same_shape(path, part, each.shape[1:], shape, "images", "[C, H, W]")
        if each.dtype != dtype:
            why = f"x_{present[0]} is {dtype}, x_{part} {each.dtype}"
            raise bad(path, "has images of two types", why, "save all of them as one type")
    ids = {part: arrays[f"sample_id_{part}"] for part in present if f"sample_id_{part}" in arrays}
    labels = {part: arrays[f"y_{part}"] for part in present if f"y_{part}" in arrays}
    for kind, found in (("sample_id", ids), ("labels", labels)):
        if found and len(found) < len(present):
            part = next(part for part in present if part not in found)
            why = f"those of the {part} part are missing"
            raise bad(path, f"has {kind} for a part of the images only", why, SAVE)
    counts = {part: len(each) for part, each in pixels.items()}
    return TargetImages(
        path,
        torch.cat([pixels[part] for part in present]),
        counts,
        _joined_ids(path, ids, pixels) if ids else None,
        _joined_labels(path, labels, pixels) if labels else None,
    )


def _joined_ids(
    path: str, ids: Mapping[str, np.ndarray], pixels: Mapping[str, Tensor]
) -> np.ndarray:
    """Return the numbers of all images, each of them once."""
    for part, each in ids.items():
        if each.dtype.kind not in "iu" or each.shape != (len(pixels[part]),):
            why = f"it is {each.dtype} {list(each.shape)}, for {len(pixels[part])} images"
            remedy = "save one integer for each image"
            raise bad(path, f"has no number for each image in sample_id_{part}", why, remedy)
    joined = np.concatenate(list(ids.values())).astype(np.int64)
    numbers, counts = np.unique(joined, return_counts=True)
    if (counts > 1).any():
        why = f"sample_id {numbers[counts > 1][0]} is there {counts[counts > 1][0]} times"
        raise bad(path, "has several images of one number", why, "number each image once")
    return joined


def _joined_labels(
    path: str, labels: Mapping[str, np.ndarray], pixels: Mapping[str, Tensor]
) -> np.ndarray:
    found = []
    for part, each in labels.items():
        check_one_each(path, part, pixels[part], each, "images")
        plain = one_each(path, f"y_{part}", each, "image", {})
        if plain.dtype.kind != "U":
            plain = class_labels(path, f"y_{part}", plain).numpy()
        found.append(plain.astype(str))
    return np.concatenate(found)


def _by_id(name: str, part: str, split: Split, images: TargetImages) -> Tensor:
    """Return the row of the image that has the number of each sample."""
    assert images.ids is not None
    if split.ids is None:
        raise DataError(
            f"the {part} samples of {name} have no numbers",
            why=f"the images of {images.path} are found by the sample_id of a sample",
            remedy="save an array sample_id with the samples too, or leave it out of the images to "
            "pair them in order",
        )
    order = np.argsort(images.ids)
    known, wanted = images.ids[order], split.ids.numpy()
    position = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    missing = known[position] != wanted
    if missing.any():
        raise DataError(
            f"{int(missing.sum()):,} of {len(wanted):,} {part} samples of {name} have no image in "
            f"{images.path}",
            why=f"the first is sample_id {wanted[missing][0]}, and the images are {known[0]} to "
            f"{known[-1]}",
            remedy="give an image for the sample_id of each sample",
        )
    return torch.from_numpy(order[position])


def _in_order(name: str, parts: Mapping[str, Split], images: TargetImages) -> dict[str, Tensor]:
    """Return the rows of the images of each part, one after another."""
    for part in images.counts.keys() - parts.keys():
        raise DataError(
            f"{images.path} has images for a {part} part, and {name} has no such part",
            why=f"images without sample_id belong to the samples of a part in order, and {name} "
            f"has {', '.join(parts)}",
            remedy=f"leave x_{part} out, or save sample_id with both",
        )
    rows, first = {}, 0
    for part, split in parts.items():
        count = images.counts.get(part, 0)
        if count != len(split):
            raise DataError(
                f"{images.path} has {count:,} images for {len(split):,} {part} samples of {name}",
                why="images without sample_id belong to the samples in order",
                remedy="give each sample its image, or save sample_id with both",
            )
        rows[part] = torch.arange(first, first + count)
        first += count
    return rows


def _check_classes(
    name: str,
    source: Source,
    parts: Mapping[str, Split],
    rows: Mapping[str, Tensor],
    images: TargetImages,
) -> bool:
    """Return whether both have classes, which then fit."""
    targets = [split.targets for split in parts.values()]
    if images.labels is None or any(
        each.dim() != 1 or each.is_floating_point() for each in targets
    ):
        return False
    numbers = torch.cat(targets).numpy()
    names = np.array(source.classes or range(int(numbers.max()) + 1), dtype=str)
    classes = names[numbers]
    labels = images.labels[torch.cat([rows[part] for part in parts]).numpy()]
    for these, others, pairs in (
        (classes, labels, "samples of the class {} with images of the labels {} and {}"),
        (labels, classes, "images of the label {} with samples of the classes {} and {}"),
    ):
        for value in np.unique(these):
            found = np.unique(others[these == value])
            if len(found) > 1:
                raise DataError(
                    f"the images of {images.path} do not belong to the samples of {name}",
                    why=f"that would pair {pairs.format(value, *found[:2])}",
                    remedy="check sample_id in both, or the order of the images",
                )
    return True
