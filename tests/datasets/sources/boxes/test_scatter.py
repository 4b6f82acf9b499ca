"""Objects scattered on canvases: their boxes, their pixels or events, and where they come from."""

import numpy as np
import pytest
import torch

from asnn.core import ConfigError, DataError
from asnn.datasets.boxes import of_sample, present
from asnn.datasets.load import load_dataset
from asnn.learning import override, parse_override
from tests.support.pictures import class_folders, picture

PARTS = ("train", "validation", "test")
FEW = {"samples": 12, "validation_samples": 6, "test_samples": 6}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """60 images 8 × 8 with a rectangle each, of a grey value that no other image has."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    x = np.zeros((60, 8, 8), np.uint8)
    for n in range(60):
        x[n, n % 4 : 5 + n % 3, 1 : 4 + n % 4] = 100 + n
    np.savez(path, images=x, labels=np.arange(60) % 3)
    return {"name": "npz", "path": str(path)}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Recording n has its events at times n + 60 k, in a rectangle; one of them far outside."""
    path = tmp_path_factory.mktemp("events") / "events.npz"
    columns = {key: [] for key in "txyp"}
    random = np.random.default_rng(0)
    for n in range(60):
        x, y = random.integers(10, 16, 300), random.integers(8, 16 + n % 4, 300)
        x[0], y[0] = 0, 0
        for key, values in zip("txyp", (n + 60 * np.arange(300), x, y, x % 2), strict=True):
            columns[key].append(values)
    arrays = {key: np.concatenate(values) for key, values in columns.items()}
    np.savez(path, **arrays, offsets=np.arange(61) * 300, labels=np.arange(60) % 3)
    return {"name": "events-npz", "path": str(path), "size": 24}


def members(data, part):
    """The grey values of the objects of a part, which are those of their images."""
    inputs = data.split(part).inputs
    return {int(v) for v in inputs.unique() if v > 0}


@pytest.mark.parametrize("limit", [None, 0], ids=["in memory", "lazy"])
def test_an_error_of_the_objects_names_the_option_that_helps(tmp_path, limit):
    folder = class_folders(tmp_path / "a")
    picture(folder / "bee" / "large.png", size=(30, 20))
    of = {"name": "folder", "path": str(folder)} | ({} if limit is None else {"memory_limit": 0})
    with pytest.raises(DataError, match="the images differ in size") as caught:
        load_dataset("scatter", of=of, **{**FEW, "samples": 100})
    setting = "--set data.of.size=[10,12]"
    assert caught.value.remedy.startswith(f"resize them with {setting}")
    key, value = parse_override(setting.removeprefix("--set "))
    document, _ = override({"data": {"of": of}}, [(key, value)])  # what the remedy says can be set
    assert load_dataset("scatter", **document["data"], **FEW).target == "boxes"


def test_a_name_becomes_the_table_that_an_error_asks_for(tmp_path):
    with pytest.raises(ConfigError, match="data set folder needs path") as caught:
        load_dataset("scatter", of="folder")
    assert caught.value.remedy == """give --set 'data.of={name="folder", path=...}'"""
    with pytest.raises(ConfigError) as caught:
        load_dataset("scatter", of={"name": "folder", "path": "x"}, dir="y")
    assert caught.value.why == "they are at data.of.path and data.of.test_path"
    with pytest.raises(ConfigError) as caught:
        load_dataset("scatter", of="flow-nmnist", dir="y")
    both = """--set 'data.of={name="flow-nmnist", path=..., test_path=...}'"""
    assert caught.value.remedy == both
    with pytest.raises(ConfigError, match=r"data\.of has no name"):
        load_dataset("scatter", of={})


def test_a_file_called_data_keeps_its_name(tmp_path):
    file = tmp_path / "data.npz"
    file.write_bytes(b"no archive")
    with pytest.raises(DataError) as caught:
        load_dataset("scatter", of={"name": "npz", "path": str(file)})
    assert str(file) in caught.value.what


def test_a_box_is_the_pixels_of_its_object(images):
    data = load_dataset("scatter", of=images, size=[20, 30], objects=3, **FEW)
    assert data.target == "boxes"
    assert data.in_shape == (1, 20, 30)
    assert data.classes == ["0", "1", "2"]
    for part, count in zip(PARTS, FEW.values(), strict=True):
        split = data.split(part)
        assert split.inputs.shape == (count, 1, 20, 30)
        assert split.inputs.dtype == torch.uint8
        for image, rows in zip(split.inputs, split.targets, strict=True):
            boxes, classes = of_sample(rows)
            assert 1 <= len(boxes) <= 3
            left = image[0].clone()
            for (x1, y1, x2, y2), label in zip(boxes.int().tolist(), classes, strict=True):
                inside = left[y1:y2, x1:x2]
                assert (inside == inside[0, 0]).all()
                assert inside[0, 0] > 0
                assert (int(inside[0, 0]) - 100) % 3 == label
                inside.zero_()
            assert (left == 0).all()


def test_the_parts_show_images_of_their_own(images):
    data = load_dataset("scatter", of=images, size=24, objects=4, **FEW | {"samples": 60})
    shown = [members(data, part) for part in PARTS]
    assert all(shown)
    assert not (shown[0] & shown[1] or shown[0] & shown[2] or shown[1] & shown[2])
    of = load_dataset(**images)
    for part, values in zip(PARTS, shown, strict=True):
        own = {int(image.max()) for image in of.split(part).inputs}
        assert values <= own


def test_canvases_are_those_of_their_seed_and_part(images):
    again = [load_dataset("scatter", of=images, size=24, seed=seed, **FEW) for seed in (1, 1, 2)]
    assert again[0].fingerprint == again[1].fingerprint != again[2].fingerprint
    longer = load_dataset("scatter", of=images, size=24, seed=1, **FEW | {"samples": 20})
    assert torch.equal(longer.test.inputs, again[0].test.inputs)


def test_sides_are_scaled(images):
    data = load_dataset("scatter", of=images, size=48, objects=1, scale=[2.0, 3.0], **FEW)
    rows = data.train.targets[present(data.train.targets)]
    sides = rows[:, 2:4] - rows[:, :2]
    assert sides.min() >= 2 * 2
    assert 3 * 6 >= sides.max() > 8
    for image, row in zip(data.train.inputs, data.train.targets[:, 0].int().tolist(), strict=True):
        x1, y1, x2, y2, _ = row
        ink = (image[0] > 51).nonzero()
        assert [*ink.amin(0).flip(0), *(ink.amax(0).flip(0) + 1)] == [x1, y1, x2, y2]


def test_objects_that_find_no_room_are_left_out(images):
    data = load_dataset("scatter", of=images, size=9, objects=9, **FEW)
    assert present(data.train.targets).sum(1).min() >= 1
    assert present(data.train.targets).sum(1).max() < 9


def test_events_are_moved_and_keep_their_times(recordings):
    data = load_dataset("scatter-events", of=recordings, size=[40, 60], objects=2, **FEW)
    assert data.target == "boxes"
    assert data.spec.shape == (2, 40, 60)
    of = load_dataset(**recordings)
    assert data.spec.duration == of.spec.duration
    shown = {}
    for part in PARTS:
        split = data.split(part)
        shown[part] = set()
        for n in range(len(split)):
            batch = split.inputs.batch(torch.tensor([n]))
            assert (batch.t.diff() >= 0).all()
            boxes, classes = of_sample(split.targets[n])
            numbers = (batch.t % 60).unique()
            shown[part] |= set(numbers.tolist())
            assert len(numbers) == len(boxes)
            found = set()
            for number in numbers.tolist():
                x, y = (values[batch.t % 60 == number] for values in (batch.x, batch.y))
                box = [*(v.double().quantile(0.01).floor() for v in (x, y))]
                box += [v.double().quantile(0.99).ceil() + 1 for v in (x, y)]
                found.add((*map(int, box), number % 3))
            assert found == {(*map(int, b), int(k)) for b, k in zip(boxes, classes, strict=True)}
    for part in PARTS:
        own = {
            int(of.split(part).inputs.batch(torch.tensor([n])).t[0])
            for n in range(len(of.split(part)))
        }
        assert shown[part] <= own
    assert not shown["train"] & (shown["test"] | shown["validation"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objects": 0}, "data.objects must be 1 or more, not 0"),
        ({"test_samples": 0}, "data.test_samples must be 1 or more, not 0"),
        ({"seed": -1}, "data.seed must be 0 or more"),
        ({"scale": [2.0, 1.0]}, "data.scale is"),
        ({"of": {"path": "x"}}, "data.of has no name"),
        ({"of": "noise-task"}, "data.of cannot be the data set noise-task"),
        ({"of": "nothing"}, "unknown dataset 'nothing'"),
        ({"size": 0}, "size is 0"),
    ],
)
def test_options_that_are_refused(options, message, images):
    with pytest.raises(ConfigError, match=message.replace("[", "\\[")):
        load_dataset("scatter", **{"of": images, "size": 20, **FEW, **options})


def test_an_object_larger_than_the_canvas_is_refused(images):
    with pytest.raises(DataError, match="the canvas has 4x4") as error:
        load_dataset("scatter", of=images, size=4, **FEW)
    assert "raise data.size" in error.value.remedy


def test_canvases_are_not_scattered_again(images):
    of = {"name": "scatter", "of": images, "size": 20, **FEW}
    with pytest.raises(ConfigError, match="data.of cannot be"):
        load_dataset("scatter", of=of, **FEW)
