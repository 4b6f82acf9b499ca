"""Pictures as a network takes them: the pixels are those of the data set of the training."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from asnn.coding.samples import SampleSpec
from asnn.core import DataError
from asnn.datasets.sources.boxes.letterbox import LetterboxImages, fit
from asnn.datasets.sources.images.folder import load_folder
from asnn.datasets.sources.store import FolderStore
from asnn.measure.prediction.inputs.images import ImageReader
from asnn.measure.prediction.inputs.reader import read_all
from asnn.measure.prediction.inputs.sample import Source, Unreadable

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (9, 12, 3), dtype=np.uint8)


def reader(shape=(1, 6, 8)):
    return ImageReader(SampleSpec("image", shape), ["a", "b"])


def content(image, format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def read(data, shape=(1, 6, 8), name="x.png"):
    (found,) = reader(shape).open(Source(name, lambda: data))
    return found


@pytest.mark.parametrize("shape", [(1, 6, 8), (3, 6, 8), (3, 1, 1), (1, 9, 12), (3, 20, 30)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "I;16"])
def test_pixels_are_those_of_a_data_set_that_is_resized(tmp_path, shape, mode):
    image = Image.fromarray(COLOUR)
    if mode == "I;16":
        image = Image.fromarray(RNG.integers(0, 65536, (9, 12), dtype=np.uint16))
    else:
        image = image.quantize(8) if mode == "P" else image.convert(mode)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(3):
            image.save(tmp_path / label / f"{number}.png")
    colour = "grey" if shape[0] == 1 else "rgb"
    data = load_folder(path=str(tmp_path), size=list(shape[1:]), colour=colour)
    found = read((tmp_path / "a/0.png").read_bytes(), shape)
    assert torch.equal(found.value, data.train.inputs[0])
    assert tuple(found.value.shape) == shape


def test_changes_are_named():
    image = Image.fromarray(COLOUR)
    assert read(content(image), (3, 9, 12)).changes == ()
    assert read(content(image), (3, 18, 24)).changes == ("resized to 18x24",)
    assert read(content(image.convert("L")), (3, 9, 12)).changes == ("made colour",)
    assert read(content(image), (1, 9, 9)).changes == (
        "resized to 9x9",
        "stretched to other proportions",
        "made grey",
    )
    assert read(content(image.convert("RGBA")), (3, 9, 12)).changes == (
        "taken without transparency",
    )


@pytest.mark.parametrize(("size", "stretched"), [((26, 64), False), ((24, 64), True)])
def test_rounding_to_whole_pixels_is_no_stretching(size, stretched):
    wide = Image.new("L", (300, 120))  # in proportions 64 x 25.6
    changes = read(content(wide), (1, *size)).changes
    assert ("stretched to other proportions" in changes) is stretched


def test_a_picture_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees
    turned = read(content(Image.fromarray(COLOUR), exif=exif), (3, 12, 9))
    assert turned.changes == ("turned upright",)
    assert torch.equal(
        turned.value, torch.from_numpy(np.rot90(COLOUR, 3).transpose(2, 0, 1).copy())
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "x.png is empty"),
        (b"some text", "could not decode x.png"),
        (content(Image.fromarray(COLOUR))[:60], "could not decode x.png"),
        (content(Image.fromarray(COLOUR), "GIF"), "could not decode x.png"),
    ],
)
def test_what_is_no_picture_is_refused(data, says):
    with pytest.raises(DataError, match=says):
        read(data)


def test_pictures_have_one_or_three_channels():
    with pytest.raises(DataError, match="x.png does not fit the network") as caught:
        read(content(Image.fromarray(COLOUR)), (2, 6, 8))
    assert caught.value.remedy == "give arrays [N, 2, 6, 8]"


@pytest.mark.parametrize("noise", [False, True])  # large files are decoded by threads
def test_a_damaged_file_does_not_lose_the_others(tmp_path, noise):
    size = (90, 120, 3) if noise else (9, 12, 3)
    sources = []
    for number in range(70):
        values = RNG.integers(0, 256, size, dtype=np.uint8)
        data = content(Image.fromarray(values))
        path = tmp_path / f"{number}.png"
        path.write_bytes(data[: len(data) // 2] if number == 40 else data)
        sources.append(Source(str(path), path.read_bytes, path))
    found = list(read_all(reader(), sources))
    assert [each.source for each in found] == [each.name for each in sources]
    assert [i for i, each in enumerate(found) if isinstance(each, Unreadable)] == [40]


@pytest.mark.parametrize("size", [(9, 12), (20, 7), (6, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_with_boxes_keep_their_proportions_as_in_the_training(tmp_path, size, channels):
    pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    spec = SampleSpec("image", (channels, 6, 8))
    source = Source("x.png", (tmp_path / "x.png").read_bytes)
    (found,) = ImageReader(spec, [], letterbox=True).open(source)
    store = FolderStore(tmp_path, names=["x.png"])
    trained = LetterboxImages(store, [("x.png", size)], (6, 8), channels)[0]
    assert torch.equal(found.value, trained)
    assert not any("stretched" in change for change in found.changes)
    whole = (0.0, 0.0, float(size[1]), float(size[0]))
    if size == (6, 8):
        assert found.placement is None
    else:
        at = fit(size, (6, 8))
        corners = (at.left, at.top, at.left + at.width, at.top + at.height)
        assert found.placement.to_sample(whole) == pytest.approx(corners)
        assert found.placement.to_picture(corners) == pytest.approx(whole)


def test_a_file_of_another_kind_gets_no_advice_for_a_training():
    source = Source("x.mp3", lambda: b"ID3" + bytes(40))
    (found,) = read_all(reader(), [source])
    assert isinstance(found, Unreadable)
    assert "audio" in found.error.why and found.error.remedy == "give an image"
