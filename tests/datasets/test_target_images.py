"""Images as targets of the samples that they belong to."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError, DataError
from asnn.datasets import load_dataset
from asnn.datasets.base import Source, Split
from asnn.datasets.sources.images.mnist import load_mnist
from asnn.datasets.splits import take
from asnn.datasets.target_images import match, read_target_images
from asnn.learning import check_recipe
from tests.formats.events import encoders

N, SHAPE = 24, (3, 2)
CLASSES = np.arange(N) % 3
IDS = np.arange(N) * 7 + 5
# An image tells which sample it is of: its pixels are the position of the sample.
IMAGES = np.tile(np.arange(N, dtype=np.uint8)[:, None, None], (1, *SHAPE))


def recordings(path, *, order=None, **changes) -> str:
    """Save recordings that tell their position by the x of their single event."""
    order = np.arange(N) if order is None else np.asarray(order)
    arrays = {
        "t": np.full(len(order), 4),
        "x": order,
        "y": 0 * order,
        "p": 0 * order,
        "offsets": np.arange(len(order) + 1),
        "labels": CLASSES[order],
        "sample_id": IDS[order],
    }
    kept = {key: value for key, value in (arrays | changes).items() if value is not None}
    np.savez(path, **kept)
    return str(path)


def images(path, **arrays) -> str:
    np.savez(path, **arrays)
    return str(path)


def positions(split):
    """Return the position that each sample tells, and the one that its image tells."""
    events = split.inputs.batch(torch.arange(len(split)))
    assert split.targets.dtype == torch.float32 and split.targets.shape[1:] == (1, *SHAPE)
    assert (split.targets == split.targets[:, :, :1, :1]).all()
    return events.x.tolist(), (split.targets[:, 0, 0, 0] * 255).round().int().tolist()


def refused(text, load, *arguments, **options):
    with pytest.raises(DataError) as caught:
        load(*arguments, **options)
    error = caught.value
    assert text in f"{error}\n{error.why}\n{error.remedy}"
    return error


@given(st.permutations(range(N)), st.permutations(range(N)))
@settings(max_examples=8, deadline=None)
def test_pairs_have_the_same_number_whatever_the_order(tmp_path_factory, one, two):
    folder = tmp_path_factory.mktemp("pairs")
    path = recordings(folder / "events.npz", order=one)
    two = np.array(two)
    found = images(folder / "i.npz", images=IMAGES[two], sample_id=IDS[two], labels=CLASSES[two])
    data = load_dataset("events-npz", path=path, size=[1, N], target_images=found)
    seen = []
    for part in (data.train, data.validation, data.test):
        samples, shown = positions(part)
        assert samples == shown
        seen += samples
    assert sorted(seen) == list(range(N)) and data.classes == []
    assert data.notes == [
        f"targets are the images of {found}, paired by sample_id; their classes fit"
    ]


def test_the_splits_are_those_of_the_classes(tmp_path):
    path = recordings(tmp_path / "events.npz")
    found = images(tmp_path / "i.npz", images=IMAGES, sample_id=IDS)
    options = {"path": path, "size": [1, N], "limit": 7, "test": 0.3, "validation": 0.2}
    plain = load_dataset("events-npz", **options)
    paired = load_dataset("events-npz", target_images=found, **options)
    for part in ("train", "validation", "test"):
        expected = plain.split(part).inputs.batch(torch.arange(len(plain.split(part)))).x
        assert positions(paired.split(part))[0] == expected.tolist()
    assert paired.fingerprint != plain.fingerprint and len(paired.train) == 7


def test_images_without_numbers_are_in_the_order_of_the_samples_of_each_part(tmp_path):
    path = recordings(tmp_path / "a.npz", order=range(18))
    test = recordings(tmp_path / "b.npz", order=range(18, N), sample_id=None)
    found = images(tmp_path / "i.npz", x_train=IMAGES[:18], x_test=IMAGES[18:])
    options = {"path": path, "test_path": test, "size": [1, N], "target_images": found}
    data = load_dataset("events-npz", **options)
    for part in (data.train, data.validation, data.test):
        samples, shown = positions(part)
        assert samples == shown
    assert data.notes == [f"targets are the images of {found}, paired in their order"]
    assert positions(data.test)[0] == list(range(18, N))


def test_images_of_other_classes_are_refused(tmp_path):
    """The negative control: images in another order have another class somewhere."""
    path = recordings(tmp_path / "events.npz")
    moved = np.roll(np.arange(N), 1)
    moved[[0, 1]] = moved[[1, 0]]
    found = images(tmp_path / "i.npz", images=IMAGES[moved], labels=CLASSES[moved])
    options = {"path": path, "size": [1, N], "target_images": found}
    text = "that would pair samples of the class 0 with images of the labels 0 and 2"
    error = refused(text, load_dataset, "events-npz", **options)
    assert error.what == f"the images of {found} do not belong to the samples of events-npz"
    # The same pairs without classes to compare are taken as they are.
    unknown = images(tmp_path / "i.npz", images=IMAGES[moved])
    data = load_dataset("events-npz", **{**options, "target_images": unknown})
    samples, shown = positions(data.train)
    assert shown == moved[samples].tolist()


def test_classes_may_have_other_names(tmp_path):
    path = recordings(tmp_path / "events.npz", class_names=np.array(["ant", "bee", "cow"]))
    names = np.array(["x", "y", "z"])
    found = images(tmp_path / "i.npz", images=IMAGES, labels=names[CLASSES])
    data = load_dataset("events-npz", path=path, size=[1, N], target_images=found)
    assert data.notes[-1].endswith("paired in their order; their classes fit")
    one = images(tmp_path / "i.npz", images=IMAGES, labels=names[CLASSES // 2])
    text = "that would pair images of the label x with samples of the classes ant and bee"
    refused(text, load_dataset, "events-npz", path=path, target_images=one)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"images": IMAGES[:20], "sample_id": IDS[:20]}, "4 of 24 train samples of own have no"),
        ({"images": IMAGES[:20], "sample_id": IDS[:20]}, "sample_id 145, and the images are 5 to"),
        ({"images": IMAGES[:20]}, "has 20 images for 24 train samples of own"),
        ({"images": IMAGES, "x_test": IMAGES}, "has images for a test part, and own has no such"),
    ],
)
def test_pairs_that_are_incomplete(tmp_path, arrays, text):
    ids = torch.from_numpy(IDS)
    source = Source(Split(torch.zeros(N, 1), torch.from_numpy(CLASSES), ids), None, list("abc"))
    found = read_target_images(images(tmp_path / "i.npz", **arrays))
    refused(text, match, "own", source, found)


def test_samples_without_numbers(tmp_path):
    source = Source(Split(torch.zeros(N, 1), torch.from_numpy(CLASSES)), None, list("abc"))
    found = read_target_images(images(tmp_path / "i.npz", images=IMAGES, sample_id=IDS))
    refused("the train samples of own have no numbers", match, "own", source, found)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"labels": CLASSES}, "has no images"),
        ({"images": IMAGES[0, 0]}, "images are [N, H, W]"),
        ({"images": IMAGES * 2.0}, "has values outside [0, 1] in x_train"),
        ({"images": IMAGES, "sample_id": IDS[:3]}, "no number for each image in sample_id_train"),
        ({"images": IMAGES, "sample_id": IDS * 1.0}, "it is float64 [24], for 24 images"),
        ({"images": IMAGES, "sample_id": IDS * 0}, "sample_id 0 is there 24 times"),
        ({"images": IMAGES, "labels": CLASSES[:3]}, "24 images, 3 labels"),
        ({"images": IMAGES, "x_test": IMAGES[:, :1]}, "has images of another size in x_test"),
        ({"images": IMAGES, "x_test": IMAGES / 255}, "has images of two types"),
        ({"images": IMAGES, "x_test": IMAGES, "sample_id": IDS}, "those of the test part are"),
    ],
)
def test_invalid_files(tmp_path, arrays, text):
    refused(text, read_target_images, images(tmp_path / "i.npz", **arrays))


def test_a_folder_of_four_files_is_numbered_as_n_mnist(mnist_like, tmp_path):
    """Of `Train/<digit>/NNNNN.bin` and `Test/<digit>/NNNNN.bin`, from 1 each."""
    _, raw, arrays = mnist_like
    train, labels = arrays["train-images-idx3-ubyte"], arrays["train-labels-idx1-ubyte"]
    found = read_target_images(str(raw.parent))
    assert found.pixels.shape[0] == found.ids[-1] == sum(found.counts.values())
    assert found.labels[: len(labels)].tolist() == labels.astype(str).tolist()
    events = [(0, 1, 1, 1), (9, 2, 2, 0)]
    folder = tmp_path / "nmnist"
    for part, numbers in (("Train", range(1, len(train) + 1)), ("Test", range(1, 11))):
        for number in numbers:
            digit = labels[number - 1] if part == "Train" else number - 1
            file = folder / part / str(digit) / f"{number:05}.bin"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoders.nmnist(events))
    source = load_dataset("nmnist", path=str(folder))
    assert (take(source.test, torch.arange(3)).ids - 60_000).tolist() == [1, 2, 3]
    assert sorted(torch.cat([source.train.ids, source.validation.ids]).tolist()) == [
        *range(1, len(train) + 1)
    ]
    text = "10 of 10 test samples of nmnist have no image"  # this MNIST has fewer than 60,000
    refused(text, load_dataset, "nmnist", path=str(folder), target_images=str(raw.parent))
    (raw / "t10k-labels-idx1-ubyte").unlink(missing_ok=True)
    (raw / "t10k-labels-idx1-ubyte.gz").unlink(missing_ok=True)
    refused("there is no t10k-labels-idx1-ubyte in", read_target_images, str(raw.parent))


@pytest.mark.slow
def test_n_mnist_and_the_images_of_mnist(needs):
    root = needs("nmnist_small", "MNIST")
    folder = root / "nmnist_small"
    paths = {
        key: str(folder / f"nmnist_small_{part}.npz")
        for key, part in (("path", "train"), ("test_path", "test"))
    }
    plain = load_dataset("events-npz", **paths)
    paired = load_dataset("events-npz", **paths, target_images=str(root / "MNIST"))
    assert paired.notes[0].endswith("paired by sample_id; their classes fit")
    mnist = load_mnist(dir=str(root))
    for part, images in (("train", mnist.train), ("test", mnist.test)):
        split, labels = paired.split(part), plain.split(part).targets.tolist()
        assert split.targets.shape == (len(labels), 1, 28, 28)
        pairs = zip(images.inputs.numpy(), images.targets.tolist(), strict=True)
        known = {x.tobytes(): y for x, y in pairs}
        shown = [known[(y * 255).round().byte().numpy().tobytes()] for y in split.targets]
        assert shown == labels


@pytest.mark.parametrize(
    ("coding", "options", "moving"),
    [
        ("frames", {"shift": 2, "drop": 0.1}, "shift"),
        ("frames", {"flip": True, "shift": 1}, "flip, shift"),
        ("direct", {"rot90": True, "erasing": 0.1}, "rot90"),
        ("direct", {"transforms": ["RandomAffine"]}, "transforms"),
        ("frames", {"drop": 0.1, "polarity_flip": True}, ""),
    ],
)
def test_samples_are_not_moved_away_from_their_images(coding, options, moving):
    recipe = {"coding": {"name": coding, "steps": 4}, "augment": options}
    text = f"{moving} would move samples, and not the images"
    assert not text_of_faults(recipe).count("would move")
    recipe["data"] = {"name": "nmnist", "target_images": "a.npz"}
    found = text_of_faults(recipe)
    assert text in found if moving else "would move" not in found


def text_of_faults(recipe):
    try:
        check_recipe(recipe)
    except ConfigError as error:
        return str(error.why)
    return ""
