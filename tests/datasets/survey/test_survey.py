"""The survey of data: counts and parts as in training, sizes, ranges, copies, damaged files."""

import shutil
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from asnn.core.errors import ConfigError, DataError
from asnn.datasets import load_dataset
from asnn.datasets.survey.source import open_source
from asnn.datasets.survey.summary import MAX_THUMBNAILS, survey
from tests.support.annotated_images import annotation, write_coco
from tests.support.pictures import class_folders, picture


def look(source, thumbnails=False, **asked):
    found = open_source(str(source), asked)
    seen = survey(found.samples, found.classes, thumbnails=thumbnails)
    assert seen.samples == found.count
    return found, seen


@pytest.fixture
def pictures(tmp_path):
    return class_folders(tmp_path / "a")


def test_parts_are_those_that_a_training_cuts(pictures):
    found, seen = look(pictures)
    data = load_dataset("folder", path=str(pictures), test=0.2, validation=0.2)
    result = seen.result()
    assert found.cut == ["test", "validation"]
    assert result["parts"] == {
        part: len(data.split(part)) for part in ("train", "validation", "test")
    }
    for number, name in enumerate(data.classes):
        for part, count in result["classes"][name].items():
            assert count == int((data.split(part).targets == number).sum())


@pytest.mark.slow
def test_a_data_set_by_name_is_counted_as_it_is_loaded():
    found, seen = look("digits")
    result, data = seen.result(), load_dataset("digits")
    assert result["parts"] == {"train": 1293, "validation": 145, "test": 359}
    assert result["range"] == [0.0, 1.0] and result["channels"] == {"1": 1797}
    assert result["classes"]["3"]["test"] == int((data.test.targets == 3).sum())
    assert found.command == "asnn train digits"


@pytest.mark.parametrize("by_name", [False, True])
def test_annotated_pictures_have_their_own_sizes_and_damaged_ones_are_named(tmp_path, by_name):
    def change(name, document):
        if name.startswith("train"):
            document["annotations"].append(annotation(11, image_id=1, iscrowd=1))
            document["images"][4]["width"] += 1

    path = write_coco(tmp_path / "c", change=change)
    broken = tmp_path / "c" / "val2017" / "000000000002.png"
    broken.write_bytes(broken.read_bytes()[:60])
    source, asked = ("coco", {"path": path}) if by_name else (path, {})

    found, seen = look(source, thumbnails=True, **asked, validation=0.5)

    result = seen.result()
    assert result["sizes"] == {"smallest": [24, 12], "largest": [30, 30], "different": 5}
    assert result["parts"] == {"train": 3, "validation": 3, "test": 6}
    assert sum(sum(of.values()) for of in result["classes"].values()) == 12
    of_other_size = str(tmp_path / "c" / "train2017" / "000000000005.png")
    damaged = {each["file"]: each["why"] for each in result["damaged"]["files"]}
    assert result["damaged"]["count"] == 2 and set(damaged) == {str(broken), of_other_size}
    assert damaged[of_other_size].startswith("it has 24x12 pixels, the annotation 24x13")
    assert found.notes.count("1 crowd is left out") == 1
    assert (20, 40, 3) in {each.shape for each in seen.thumbnails[None]}  # not as its frame


def test_sizes_channels_and_ranges(tmp_path, pictures):
    picture(pictures / "ant" / "large.png", size=(30, 20))
    Image.new("L", (4, 6), 255).save(pictures / "bee" / "white.png")
    result = look(pictures)[1].result()
    assert result["sizes"] == {"smallest": [6, 4], "largest": [30, 20], "different": 3}
    assert result["channels"] == {"1": 1, "3": 25}
    assert result["constant"] == 1 and result["range"][1] == 1.0


def test_copies_within_and_between_parts_and_with_another_class(pictures):
    """Ten copies of one picture of ant, two of them in bee: they lie in several parts."""
    for index in range(8):
        shutil.copy(pictures / "ant" / "0.png", pictures / "ant" / f"copy{index}.png")
    for index in range(2):
        shutil.copy(pictures / "ant" / "0.png", pictures / "bee" / f"copy{index}.png")
    copies = look(pictures)[1].result()["copies"]
    assert copies["within"] + sum(copies["between"].values()) == 10
    assert copies["of_different_classes"] == 2
    assert len(copies["pairs"]) == 10 and copies["between"]
    assert set(copies["between"]) <= {"train-validation", "train-test", "validation-test"}


def test_data_without_copies_have_none(pictures):
    """The negative control of the test above."""
    copies = look(pictures)[1].result()["copies"]
    assert copies == {"between": {}, "within": 0, "of_different_classes": 0, "pairs": []}


def test_damaged_files_are_listed_with_the_reason(pictures):
    (pictures / "ant" / "3.png").write_bytes(b"")
    content = (pictures / "bee" / "5.png").read_bytes()
    (pictures / "bee" / "5.png").write_bytes(content[:-40])
    (pictures / "bee" / "6.png").write_text("<html>")
    seen = look(pictures)[1]
    damaged = seen.result()["damaged"]
    why = {each["file"].rpartition("/")[2]: each["why"] for each in damaged["files"]}
    assert damaged["count"] == 3 and why["3.png"] == "is empty" and why["6.png"] == "it is text"
    assert "truncated" in why["5.png"] and seen.readable == 21


def test_thumbnails_are_the_first_of_each_class(pictures):
    seen = look(pictures, thumbnails=True)[1]
    assert {number: len(each) for number, each in seen.thumbnails.items()} == {
        0: MAX_THUMBNAILS,
        1: MAX_THUMBNAILS,
    }
    first = seen.thumbnails[0][0]
    assert first.dtype == np.uint8 and first.shape == (10, 12, 3)


def test_recordings_and_their_durations(tmp_path):
    t = np.array([0, 1_000, 2_500, 0, 40_000])
    x, y, p = np.array([0, 1, 2, 3, 4]), np.array([0, 1, 2, 3, 5]), np.ones(5, int)
    labels, offsets = np.array([0, 1, 0, 1, 0, 1]), np.array([0, 3, 5, 5, 5, 5, 5])
    np.savez(tmp_path / "e.npz", t=t, x=x, y=y, p=p, offsets=offsets, labels=labels)
    found, seen = look(tmp_path / "e.npz", thumbnails=True)
    result = seen.result()
    assert found.many == "recordings" and result["sizes"]["largest"] == [6, 5]
    assert result["duration_ms"] == {"smallest": 0.0, "median": 0.0, "largest": 40.0}
    assert result["events"] == {"smallest": 0, "median": 0.0, "largest": 3}
    # Three of the four that hold no event are copies of the first.
    assert result["copies"]["within"] + sum(result["copies"]["between"].values()) == 3


def test_series_with_real_values_have_no_classes(tmp_path):
    np.savez(
        tmp_path / "s.npz", x=np.random.default_rng(0).normal(size=(9, 5, 2)), y=np.ones(9) / 3
    )
    found, seen = look(tmp_path / "s.npz", thumbnails=True)
    result = seen.result()
    assert found.classes == [] and result["classes"] == {} and result["imbalance"] is None
    assert result["sizes"]["smallest"] == [5, 2] and sum(result["parts"].values()) == 9


def test_a_source_that_is_neither_a_name_nor_a_path(tmp_path):
    with pytest.raises(DataError, match="digitz is neither a path nor a data set") as caught:
        open_source("digitz", {})
    assert "did you mean 'digits'?" in caught.value.remedy
    with pytest.raises(DataError, match="there is no file or folder"):
        open_source(str(tmp_path / "none"), {})


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pixels(tmp_path):
    """Sixteen pictures of 3 MB each are looked at in less than the memory of six."""
    folder = class_folders(tmp_path / "a", count=8)
    for path in folder.rglob("*.png"):
        Image.new("RGB", (1000, 1000), "red").save(path)
    found = open_source(str(folder), {})
    tracemalloc.start()
    survey(found.samples, found.classes, thumbnails=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 3_000_000


def test_images_as_targets_are_paired(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (20, 4, 4), dtype=np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "noisy.npz", x_train=x, y_train=y)
    np.savez(tmp_path / "clean.npz", images=x, labels=y)
    path, images = str(tmp_path / "noisy.npz"), str(tmp_path / "clean.npz")
    for source, asked in ((path, {}), ("npz", {"path": path})):
        found, seen = look(source, target_images=images, **asked)
        assert seen.samples == 20 and found.classes == []
        assert found.notes[-1] == (
            f"targets are the images of {images}, paired in their order; their classes fit"
        )
        assert found.command == (
            f"asnn train {path} --set data.target_images={images} --set task.name=reconstruction"
        )


def test_images_as_targets_of_a_folder_are_left_to_a_training(pictures):
    with pytest.raises(ConfigError, match="are not compared with the files of a folder") as caught:
        open_source(str(pictures), {"target_images": "i.npz"})
    assert caught.value.remedy == "leave data.target_images out; a training pairs them"
