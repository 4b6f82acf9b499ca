"""Classes that files state, in each form that a training takes."""

import numpy as np
import pytest

from asnn.coding.samples import SampleSpec
from asnn.datasets.sources.labels import read_labels
from asnn.measure.prediction.inputs.given import samples_given
from asnn.measure.prediction.inputs.reader import reader_of
from asnn.measure.prediction.inputs.stated import stated_classes

FROM_ONE = np.array([3, 1, 2, 2, 1])
FORMS = {
    "from 0": FROM_ONE - 1,
    "from 1": FROM_ONE,
    "floats": FROM_ONE.astype(np.float64),
    "column": FROM_ONE[:, None],
    "one-hot": np.eye(3, dtype=np.uint8)[FROM_ONE - 1],
    "text": np.array(["b", "d", "a"])[FROM_ONE - 1],
    "bytes": np.array([b"b", b"d", b"a"])[FROM_ONE - 1],
    "numbers as text": np.array(["10", "9", "2"])[FROM_ONE - 1],
    "false and true": FROM_ONE > 1,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_file_states_the_classes_of_a_training_on_it(form):
    trained = read_labels("a.npz", {"y_train": FORMS[form]}, "image")
    expected = [trained.classes[number] for number in trained.parts["train"]]
    assert stated_classes(FORMS[form], trained.classes) == expected


@pytest.mark.parametrize("first", [0, 1])
def test_names_in_the_file_go_before_the_order_of_the_network(first):
    names = ["b", "d", "a"]
    trained = read_labels(
        "a.npz", {"y_train": FROM_ONE - 1 + first, "classes": np.array(names)}, "image"
    )
    expected = [trained.classes[number] for number in trained.parts["train"]]
    assert expected == ["a", "b", "d", "d", "b"]
    assert stated_classes(FROM_ONE - 1 + first, ["a", "b", "d"], names) == expected


def test_what_the_network_does_not_know_is_none():
    assert stated_classes(np.array(["a", "z"]), ["a", "b"]) == ["a", None]
    assert stated_classes(np.array([0, 1, 2, -1]), ["a", "b"]) == ["a", "b", None, None]
    assert stated_classes(np.array([0, 1, 3]), ["1", "2", "3"]) == [None, "1", "3"]
    assert stated_classes(np.array([0.5, 1]), ["a", "b"]) == [None, None]
    assert stated_classes(np.zeros((2, 3)), ["a", "b"]) == [None, None]
    assert stated_classes(np.zeros(0, int), ["a", "b"], ["b"]) == []


def test_all_parts_of_a_file_are_answered(tmp_path):
    path = tmp_path / "x.npz"
    x = np.random.default_rng(0).integers(0, 256, (5, 4, 5), dtype=np.uint8)
    np.savez(path, X_test=x[:2], y_test=FROM_ONE[:2], X_train=x, y_train=FROM_ONE)
    reader = reader_of(SampleSpec("image", (1, 4, 5)), ["1", "2", "3"])
    found = list(samples_given(reader, path))
    parts = {"x_train": [3, 1, 2, 2, 1], "x_test": [3, 1]}
    names = [f"{path}:{part}[{i}]" for part, y in parts.items() for i in range(len(y))]
    assert [each.source for each in found] == names
    assert [each.expected for each in found] == [str(y) for part in parts.values() for y in part]
    assert np.array_equal(found[6].value[0].numpy(), x[1])


def test_recordings_with_labels_from_one(tmp_path):
    path = tmp_path / "r.npz"
    columns = {name: np.array([1, 2]) for name in "txy"}
    np.savez(path, **columns, p=np.array([0, 1]), offsets=[0, 1, 2], labels=[1, 2])
    reader = reader_of(SampleSpec("events", (2, 4, 5), duration=9), ["1", "2"])
    assert [each.expected for each in samples_given(reader, path)] == ["1", "2"]
