"""Labels as people save them: what is taken, how it is named, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asnn.core.errors import DataError
from asnn.datasets.sources.array_names import canonical, renamed
from asnn.datasets.sources.labels import read_labels

CLASSES = np.array([0, 1, 2, 1, 0, 2])


def read(y_train, **more):
    return read_labels("mine.npz", {"y_train": np.asarray(y_train), **more}, "image")


TAKEN = {
    "from 0": (CLASSES, ["0", "1", "2"], None),
    "from 1": (CLASSES + 1, ["1", "2", "3"], "labels 1 to 3 are read as classes 0 to 2"),
    "floats": (CLASSES.astype(np.float32), ["0", "1", "2"], "labels are whole floats"),
    "a column": (CLASSES[:, None], ["0", "1", "2"], "labels of shape [N, 1] are read as [N]"),
    "one-hot": (np.eye(3)[CLASSES], ["0", "1", "2"], "labels are one-hot, of 3 classes"),
    "one-hot bool": (np.eye(3, dtype=bool)[CLASSES], ["0", "1", "2"], "one-hot"),
    "text": (np.array(["ant", "bee", "cat"])[CLASSES], ["ant", "bee", "cat"], "alphabetical"),
    "bytes": (np.array([b"ant", b"bee", b"cat"])[CLASSES], ["ant", "bee", "cat"], "text"),
    "numbers as text": (np.array(["2", "10", "11"])[CLASSES], ["2", "10", "11"], "their numbers"),
    "unsigned": (CLASSES.astype(np.uint8) + 1, ["1", "2", "3"], "labels 1 to 3"),
}


@pytest.mark.parametrize(("y", "names", "note"), TAKEN.values(), ids=TAKEN)
def test_labels_are_taken_and_named(y, names, note):
    found = read(y)
    assert found.parts["train"].tolist() == CLASSES.tolist()
    assert found.classes == names
    assert any(note in each for each in found.notes) if note else not found.notes


def test_false_and_true_are_two_classes():
    assert read(CLASSES == 1).parts["train"].tolist() == [0, 1, 0, 1, 0, 0]


def test_all_parts_are_numbered_alike():
    """A test part that lacks class 1 of 1..3 is still shifted by one."""
    found = read(CLASSES + 1, y_test=np.array([2, 3]))
    assert found.parts["test"].tolist() == [1, 2]
    found = read(np.array(["b", "a"]), y_test=np.array(["b"]), y_validation=np.array(["a"]))
    assert found.parts["test"].tolist() == [1] and found.parts["validation"].tolist() == [0]


def test_given_names_name_the_classes_in_their_order():
    names = np.array(["zebra", "ant", "moth"])
    assert read(CLASSES + 1, classes=names).classes == ["zebra", "ant", "moth"]
    assert read(names[CLASSES], classes=names).parts["train"].tolist() == CLASSES.tolist()


REFUSED = {
    "fractions": ({"y_train": CLASSES + 0.5}, "not whole numbers", "0.5 at index 0", "regression"),
    "NaN": ({"y_train": [0.0, np.nan]}, "not whole numbers", "nan at index 1", "int64"),
    "negative": ({"y_train": CLASSES - 1}, "out of range in y_train", "label -1 at", "0, 1, 2"),
    "gaps": ({"y_train": [1, 3, 3]}, "no training sample of class 0", "up to 3", "without gaps"),
    "0 in another part": (
        {"y_train": CLASSES + 1, "y_test": np.array([0])},
        "no training sample of class 0",
        "up to 3",
        "without gaps",
    ),
    "several classes": (
        {"y_train": [[1, 1, 0], [0, 1, 0]]},
        "y_train that is not one label per image",
        "no one-hot label",
        "y_train.argmax(1)",
    ),
    "scores": ({"y_train": [[0.2, 0.8], [0.6, 0.4]]}, "not whole", "0.2 at index 0", "int64"),
    "other kind": (
        {"y_train": CLASSES, "y_test": np.array(["a"])},
        "other labels in y_test than in y_train",
        "<U1 and int64",
        "or all as text",
    ),
    "unknown text": (
        {"y_train": ["a", "b"], "y_test": np.array(["c"])},
        "an unknown class in y_test: c",
        "the classes are a, b",
        "training sample",
    ),
    "one class": ({"y_train": ["a", "a"]}, "only one class", "always 'a'", "two"),
    "complex": ({"y_train": CLASSES.astype(complex)}, "of type complex128", "class", "int64"),
    "no sample of a name": (
        {"y_train": ["a", "b"], "classes": np.array(["a", "b", "c"])},
        "no training sample of class c",
        "classes names 3",
        "leave out",
    ),
}


@pytest.mark.parametrize(("arrays", "what", "why", "remedy"), REFUSED.values(), ids=REFUSED)
def test_other_labels_are_refused_with_what_to_do(arrays, what, why, remedy):
    with pytest.raises(DataError) as caught:
        read(**arrays)
    assert what in caught.value.what and "mine.npz" in caught.value.what
    assert why in caught.value.why
    assert remedy in caught.value.remedy


@given(st.permutations([0, 1, 2, 3] * 3), st.sampled_from(["u1", "i8", "f4", "f8"]), st.booleans())
def test_the_way_of_saving_does_not_change_the_classes(labels, dtype, column):
    array = np.array(labels, dtype)
    found = read(array[:, None] if column else array)
    assert found.parts["train"].tolist() == labels
    assert read(np.eye(4, dtype=dtype)[labels]).parts["train"].tolist() == labels


NAMES = {
    "X_train": "x_train",
    "train_images": "x_train",
    "images": "x_train",
    "data": "x_train",
    "target": "y_train",
    "labels": "y_train",
    "val_labels": "y_validation",
    "test-targets": "y_test",
    "x_train": "x_train",
    "classes": "classes",
    "weights": "weights",
    "x_y": "x_y",
}


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
def test_common_names_of_arrays(name, expected):
    assert canonical(name) == expected


def test_the_canonical_name_goes_first_and_two_others_are_refused():
    one, two = np.zeros(1), np.ones(1)
    found, notes = renamed("a.npz", {"data": one, "x_train": two, "target": one})
    assert found["x_train"] is two and found["y_train"] is one
    assert notes == ["reads target as y_train"]
    with pytest.raises(DataError, match="has two arrays for x_train") as caught:
        renamed("a.npz", {"images": one, "data": two})
    assert "both images and data" in caught.value.why
