"""What a loader returns is a source of samples with targets, or is refused with the reason."""

from dataclasses import replace

import pytest
import torch

from asnn.core.errors import DataError
from asnn.datasets.base import Source, Split
from asnn.datasets.check import check_source
from asnn.datasets.load import dataset_registry, load_dataset

IMAGES, CLASSES = torch.rand(6, 1, 4, 4), torch.arange(6) % 2
GOOD = Source(Split(IMAGES, CLASSES), None, ["a", "b"])


def with_train(inputs, targets):
    return replace(GOOD, train=Split(inputs, targets))


def test_a_source_is_taken():
    found = check_source("x", GOOD)
    assert found == GOOD and found.train.inputs is IMAGES
    for train in (
        Split((IMAGES * 255).to(torch.uint8), CLASSES),
        Split(IMAGES, torch.rand(6, 2)),  # real values
        Split(IMAGES, torch.full((6, 3), -1)),  # steps without a class
    ):
        check_source("x", replace(GOOD, train=train))


def test_what_means_the_same_is_converted():
    rounded = IMAGES.clone()
    rounded[0, 0, 0, 0] = 1 + 1.2e-7
    for inputs in (IMAGES.double(), rounded):
        found = check_source("x", with_train(inputs, CLASSES.to(torch.uint8)))
        assert found.train.inputs.dtype == torch.float32 and found.train.inputs.max() <= 1
        torch.testing.assert_close(found.train.inputs, inputs.float())
        assert torch.equal(found.train.targets, CLASSES)
    assert check_source("x", replace(GOOD, classes=("a", "b"))).classes == ["a", "b"]
    assert rounded.max() > 1  # the loader's own tensor stays


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "returns NoneType, not a Source"),
        ((IMAGES, CLASSES), "returns tuple, not a Source"),
        (replace(GOOD, train=None), "train part is NoneType, not a Split"),
        (replace(GOOD, test=(IMAGES, CLASSES)), "test part is tuple, not a Split"),
        (with_train(IMAGES.numpy(), CLASSES), "inputs of ndarray, not a tensor"),
        (with_train(IMAGES, CLASSES.tolist()), "targets of list"),
        (with_train(IMAGES, CLASSES + 1j), "targets of type torch.complex64, not of int64"),
        (with_train(IMAGES, CLASSES[:5]), "has 6 inputs and 5 targets"),
        (with_train(IMAGES, CLASSES[0]), "has 6 inputs and one targets"),
        (with_train(IMAGES[:0], CLASSES[:0]), "train part is empty"),
        (with_train(IMAGES[:, 0], CLASSES), "images of shape [6, 4, 4], not [N, C, H, W]"),
        (with_train(IMAGES.int(), CLASSES), "images of type torch.int32"),
        (with_train(IMAGES * 2 - 1, CLASSES), "not from 0 to 1"),
        (with_train(IMAGES * 255, CLASSES), "not from 0 to 1"),
        (with_train(IMAGES * float("nan"), CLASSES), "values that are not a number"),
        (with_train(IMAGES, CLASSES + 1), "classes from 1 to 2, and 2 names of classes"),
        (with_train(IMAGES, CLASSES - 1), "classes from -1 to 0"),
        (replace(GOOD, classes="ab"), "classes are not a list of text"),
        (replace(GOOD, classes=[0, 1]), "classes are not a list of text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_anything_else_is_refused(found, why):
    with pytest.raises(DataError, match="the data set x cannot be used") as caught:
        check_source("x", found)
    assert why in caught.value.why and "loader" in caught.value.remedy


def test_a_loader_of_another_package_is_checked(monkeypatch):
    monkeypatch.setattr(dataset_registry, "get", lambda name: lambda **options: (IMAGES, CLASSES))
    with pytest.raises(DataError, match="the data set theirs cannot be used"):
        load_dataset("theirs")
