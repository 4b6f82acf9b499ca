"""Folders in the layouts of COCO and of Pascal VOC."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError, DataError
from asnn.datasets.batches import Batches
from asnn.datasets.boxes import of_sample, present
from asnn.datasets.load import load_dataset
from asnn.datasets.sources.boxes.letterbox import Fit, fit
from tests.support.annotated_images import (
    CATEGORIES,
    annotation,
    picture,
    write_coco,
    write_voc,
)

CHOICES = list(b'0159-.eN<>/&"{}[]:, \x00\xff')


def test_an_image_lies_in_the_middle_of_its_frame():
    assert fit((20, 40), (32, 32)) == Fit(16, 32, 0, 8)
    assert fit((40, 20), (32, 64)) == Fit(32, 16, 24, 0)
    assert fit((1, 1000), (32, 32)) == Fit(1, 32, 0, 15)


def check_boxes(split, classes):
    """The box of each image is where its pixels are white."""
    for index in range(len(split)):
        image = split.inputs[index]
        assert image.dtype == torch.uint8
        boxes, _ = of_sample(split.targets[index])
        assert len(boxes) == 1
        y, x = (image[0] > 127).nonzero().T
        found = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1])
        assert (boxes[0] - found).abs().max() <= 1
    assert sorted({classes[int(k)] for k in split.targets[..., 4].unique() if k == k})


@pytest.mark.parametrize("frame", [40, [64, 48]])
def test_coco(tmp_path, frame):
    path = write_coco(tmp_path)
    data = load_dataset("coco", path=path, size=frame, validation=0.5)
    height, width = (frame, frame) if isinstance(frame, int) else frame
    assert data.in_shape == (3, height, width)
    assert data.classes == ["dog", "cat"]  # by the ids 7 and 90
    assert data.target == "boxes"
    assert (len(data.train), len(data.validation), len(data.test)) == (3, 3, 6)
    assert "the validation images are the test part: there is no other" in data.notes
    assert data.test.targets[:, 0, 4].tolist() == [1, 0, 1, 0, 1, 0]
    check_boxes(data.test, data.classes)
    grey = load_dataset("coco", path=path, size=frame, colour="grey")
    assert grey.in_shape == (1, height, width)
    batches = Batches(data.train, batch_size=2, full_scale=data.full_scale)
    assert [len(x) for x, _ in batches] == [2, 1]
    assert len(data.moments()[0]) == 3


def test_folders_with_their_own_annotations(tmp_path):
    write_coco(tmp_path / "all", parts=("train",))
    for part in ("train", "valid", "test"):
        (tmp_path / "own" / part).mkdir(parents=True)
        for file in (tmp_path / "all" / "train").iterdir():
            (tmp_path / "own" / part / file.name).write_bytes(file.read_bytes())
        text = (tmp_path / "all" / "annotations" / "instances_train.json").read_text()
        (tmp_path / "own" / part / "_annotations.coco.json").write_text(text)
    data = load_dataset("coco", path=str(tmp_path / "own"), size=32)
    assert (len(data.train), len(data.validation), len(data.test)) == (6, 6, 6)
    check_boxes(data.validation, data.classes)


def test_crowds_and_boxes_without_area_are_left_out_and_said(tmp_path):
    def change(name, document):
        if name.startswith("train"):
            document["annotations"] += [
                annotation(11, image_id=1, iscrowd=1, bbox=[0, 0, 5, 5]),
                annotation(12, image_id=1, bbox=[3, 3, 0, 4]),
                annotation(13, image_id=1, bbox=[100, 3, 4, 4]),
                annotation(14, image_id=1, bbox=[35, 15, 100, 100]),
            ]
            document["annotations"] = [a for a in document["annotations"] if a["image_id"] != 2]

    data = load_dataset("coco", path=write_coco(tmp_path, change=change), size=40, validation=0.1)
    assert "1 crowd is left out" in data.notes
    assert "2 boxes without area are left out" in data.notes
    rows = torch.cat([data.train.targets, data.validation.targets])
    assert sorted(present(rows).sum(1).tolist()) == [0, 1, 1, 1, 1, 2]
    # 35..40 × 15..20 is what lies within the image, moved down by 10 in the frame.
    assert [35, 25, 40, 30, 0] in rows.flatten(0, 1).tolist() or [
        35, 25, 40, 30, 1] in rows.flatten(0, 1).tolist()  # fmt: skip


def test_voc(tmp_path):
    data = load_dataset("voc", path=write_voc(tmp_path), size=40, validation=0.25)
    assert data.classes == ["cat", "dog"]
    assert (len(data.train), len(data.validation), len(data.test)) == (3, 1, 4)
    check_boxes(data.test, data.classes)
    # Pixels from 1, both ends inside: 5..12 of 40 wide is 4..12.
    at = data.test.targets[0, 0].tolist()
    assert at == pytest.approx([4, 12, 12, 22, 1])


def test_voc_without_lists_is_cut(tmp_path):
    path = write_voc(tmp_path, lists=())
    (tmp_path / "ImageSets" / "Main").rmdir()
    data = load_dataset("voc", path=path, size=32, validation=0.2, test=0.34)
    assert (len(data.train), len(data.validation), len(data.test)) == (3, 1, 2)


def test_difficult_objects(tmp_path):
    def change(text):
        return text.replace("<difficult>0", "<difficult>1") if "dog" in text else text

    path = write_voc(tmp_path, change=change)
    kept = load_dataset("voc", path=path, size=32, difficult=True)
    left = load_dataset("voc", path=path, size=32)
    assert kept.classes == ["cat", "dog"]
    assert left.classes == ["cat"]
    assert any("difficult objects are left out" in note for note in left.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("images"), "is not the annotations of COCO"),
        (
            lambda d: d["images"].append(dict(d["images"][0])),
            "images without an id of their own: 1",
        ),
        (lambda d: d["images"][0].pop("width"), "image 1 without file_name, height or width"),
        (lambda d: d["annotations"][0].update(image_id=99), "of the image 99"),
        (lambda d: d["annotations"][0].update(category_id=8), "of the category 8"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), "with the box"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3, float("nan")]), "with the box"),
        (lambda d: d["categories"][0].pop("name"), "a category without a name"),
        (lambda d: d["images"][0].update(file_name="../../x.png"), "an annotation names the image"),
        (lambda d: d["images"][0].update(file_name="gone.png"), "1 of 6 annotated images are miss"),
        (lambda d: d["images"][0].update(file_name="x" * 5000), "could not look for the images"),
        (lambda d: d["images"][0].update(file_name="x\0.png"), "1 of 6 annotated images are miss"),
        (lambda d: d["images"][0].update(file_name=""), "is not a regular file"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3, 10**400]), "with the box"),
        (lambda d: d.update(annotations=[]), "the training images have no boxes"),
    ],
)
def test_damaged_annotations_of_coco(tmp_path, change, message):
    path = write_coco(tmp_path, parts=("train",), change=lambda _, document: change(document))
    with pytest.raises(DataError) as error:
        load_dataset("coco", path=path, size=32)
    assert message in str(error.value)
    assert error.value.remedy


def test_categories_of_the_test_part_only(tmp_path):
    def change(name, document):
        if name.startswith("val"):
            document["categories"] = [*CATEGORIES, {"id": 91, "name": "cow"}]

    with pytest.raises(DataError, match="has the category 'cow', which the training images"):
        load_dataset("coco", path=write_coco(tmp_path, change=change), size=32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:80], "could not read"),
        (lambda text: "<!DOCTYPE a [<!ENTITY b 'c'>]>" + text, "it has a document type"),
        (
            lambda text: text.replace("<width>", "<w>").replace("</width>", "</w>"),
            "size width None",
        ),
        (lambda text: "<?xml version='1.0' encoding='nothing'?>" + text, "could not read"),
        (lambda text: text.replace("<xmin>5", "<xmin>nan"), "bndbox xmin 'nan'"),
        (lambda text: text.replace("<name>dog", "<name> "), "an object without a name"),
        (lambda text: text.replace("im_0.png", "../im_0.png"), "an annotation names the image"),
    ],
)
def test_damaged_annotations_of_voc(tmp_path, change, message):
    path = write_voc(tmp_path, change=change)
    with pytest.raises(DataError) as error:
        load_dataset("voc", path=path, size=32)
    assert message in str(error.value)


def test_images_that_are_not_those_of_their_annotation(tmp_path):
    path = write_coco(tmp_path)
    picture(tmp_path / "val2017" / "000000000001.png", (21, 40))
    (tmp_path / "val2017" / "000000000002.png").write_bytes(b"no image")
    data = load_dataset("coco", path=path, size=32)
    with pytest.raises(DataError, match="is not the image of its annotation"):
        data.test.inputs[0]
    with pytest.raises(DataError, match="could not decode"):
        data.test.inputs[1]


def test_nothing_there(tmp_path):
    for name in ("coco", "voc"):
        with pytest.raises(DataError, match="has no annotations for training"):
            load_dataset(name, path=str(tmp_path))
        with pytest.raises(ConfigError, match="colour is 'red'"):
            load_dataset(name, path=str(tmp_path), colour="red")


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1), edits=st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_changed_bytes_end_in_images_or_in_a_refusal(seed, edits):
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "coco").mkdir()
        (root / "voc").mkdir()
        write_coco(root / "coco", parts=("train",))
        write_voc(root / "voc")
        for name, file in (
            ("coco", root / "coco" / "annotations" / "instances_train.json"),
            ("voc", root / "voc" / "Annotations" / "im_0.xml"),
        ):
            content = bytearray(file.read_bytes())
            for _ in range(edits):
                content[random.integers(len(content))] = random.choice(CHOICES)
            file.write_bytes(content)
            with contextlib.suppress(DataError):
                data = load_dataset(name, path=str(root / name), size=16)
                assert present(data.train.targets).any()
