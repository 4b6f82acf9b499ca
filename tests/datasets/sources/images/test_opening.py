"""Images of 16 bits, with EXIF orientation, with frames, and files that are none."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from asnn.core.errors import DataError
from asnn.datasets.sources.images import png16 as png16_files
from asnn.datasets.sources.images.folder import load_folder
from asnn.datasets.sources.images.single import read_images

RANDOM = np.random.default_rng(0)
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def paeth(a: int, b: int, c: int) -> int:
    p = a + b - c
    distances = {"a": abs(p - a), "b": abs(p - b), "c": abs(p - c)}
    return {"a": a, "b": b, "c": c}[min(distances, key=distances.get)]


def filtered(row: list[int], above: list[int], kind: int, pixel: int) -> list[int]:
    """The filters of the PNG specification, section 9.2, byte by byte."""
    out = []
    for i, x in enumerate(row):
        a = row[i - pixel] if i >= pixel else 0
        b = above[i]
        c = above[i - pixel] if i >= pixel else 0
        out.append((x - [0, a, b, (a + b) // 2, paeth(a, b, c)][kind]) % 256)
    return out


def png16(values: np.ndarray, colour: int, interlace: int = 0) -> bytes:
    """A PNG of 16 bits a value `[H, W, channels]`; each row has another filter."""
    height, width, channels = values.shape
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8).tolist()
    above, data = [0] * (width * channels * 2), b""
    for number, row in enumerate(rows):
        kind = number % 5
        data += bytes([kind, *filtered(row, above, kind, channels * 2)])
        above = row
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, interlace)
    parts = zlib.compress(data)
    middle = len(parts) // 2
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", parts[:middle])
        + chunk(b"IDAT", parts[middle:])
        + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("strip", [1, 45, 200, 2**22], ids=lambda strip: f"strip-{strip}")
@pytest.mark.parametrize("colour", CHANNELS)
def test_16_bits_are_read_whole(colour, strip, monkeypatch):
    """In strips of one row, several rows, and all of them."""
    monkeypatch.setattr(png16_files, "STRIP", strip)
    values = RANDOM.integers(0, 65536, (11, 7, CHANNELS[colour]))
    content = png16(values, colour)
    found = read_images(content, "a.png")
    shown = 3 if colour in (2, 6) else 1
    expected = np.moveaxis(values[:, :, :shown], 2, 0).astype(np.float32) / np.float32(65535)
    np.testing.assert_array_equal(found[0], expected)
    if shown == 3:  # what PIL reads has lost the low bytes
        eight = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) / 255
        assert np.abs(np.moveaxis(eight, 2, 0) - expected).max() > 1e-3


def test_all_levels_of_a_grey_png():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    content = io.BytesIO()
    Image.fromarray(levels).save(content, "PNG")
    found = read_images(content.getvalue(), "a.png").numpy()
    np.testing.assert_array_equal(np.round(found[0, 0].astype(np.float64) * 65535), levels)


def test_damaged_and_interlaced_colours_of_16_bits_are_refused():
    content = png16(RANDOM.integers(0, 65536, (6, 5, 3)), 2)
    with pytest.raises(DataError) as caught:
        read_images(png16(RANDOM.integers(0, 65536, (6, 5, 3)), 2, interlace=1), "a.png")
    assert "interlaced, with 16 bits" in caught.value.why
    for cut in range(40, len(content) - 12, 7):
        with pytest.raises(DataError, match=r"could not decode a\.png"):
            read_images(content[:cut], "a.png")
    flipped = bytearray(content)
    flipped[60] ^= 1
    with pytest.raises(DataError, match=r"could not decode a\.png"):
        read_images(bytes(flipped), "a.png")


def test_folders_of_16_bits_in_colour_and_a_mixture(tmp_path):
    values = RANDOM.integers(0, 65536, (4, 6, 3))
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "0.png").write_bytes(png16(values, 2))
    pixels = RANDOM.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "b" / "1.png")
    found = load_folder(path=str(tmp_path)).train.inputs
    np.testing.assert_array_equal(
        found[0], np.moveaxis(values, 2, 0).astype("f4") / np.float32(65535)
    )
    np.testing.assert_array_equal(
        found[2], np.moveaxis(pixels, 2, 0).astype("f4") / np.float32(255)
    )
    grey = load_folder(path=str(tmp_path), colour="grey").train.inputs[0, 0].numpy()
    np.testing.assert_allclose(grey, values @ [0.299, 0.587, 0.114] / 65535, atol=1e-6)
    assert load_folder(path=str(tmp_path), size=[2, 3]).train.inputs.shape == (3, 3, 2, 3)


def test_one_image_of_16_bits_among_others_is_not_cut_to_8(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(150):
            Image.new("L", (2, 2)).save(tmp_path / label / f"{number:03}.png")
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "a" / "001.png")
    with pytest.raises(DataError, match="differ in depth") as caught:
        load_folder(path=str(tmp_path))
    assert "001.png has 16 bits a value" in caught.value.why


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    image = Image.fromarray(RANDOM.integers(0, 256, (6, 4, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f"a.{suffix}"
    image.save(path, exif=exif, quality=95)
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    found = read_images(path.read_bytes(), "a")[0].numpy()
    expected = np.asarray(upright).transpose(2, 0, 1).astype("f4") / np.float32(255)
    np.testing.assert_array_equal(found, expected)
    as_stored = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
    same = found.shape == as_stored.shape and np.allclose(found, as_stored / 255)
    assert same == (orientation == 1)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_animated_images_are_refused(suffix):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "green")]
    content = io.BytesIO()
    frames[0].save(content, suffix, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError) as caught:
        read_images(content.getvalue(), "a")
    assert caught.value.what == "a is animated"
    assert caught.value.why == "it has 3 frames, and a sample is one image"


def saved(kind: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, kind)
    return content.getvalue()


KINDS = [
    (saved("GIF"), "a.gif", "it is a GIF image", "convert it, e.g. to PNG"),
    (saved("GIF"), "a.png", "it is a GIF image", "convert it, e.g. to PNG"),
    (saved("TIFF"), "a.png", "it is a TIFF image", "convert it, e.g. to PNG"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "a.png", "it is audio", "data.name=wav-folder"),
    (b"#!AER-DAT2.0\r\n", "a.png", "it is a recording of events", "data.name=events-folder"),
    (b"\x89HDF\r\n\x1a\n....", "a.png", "it is an HDF5 file", "events-folder"),
    (b"%PDF-1.4", "a.png", "it is a document", "remove it"),
    (b"hello", "a.png", "it is text", "replace or remove it"),
    (b"\x00\x01\x02\xff\xfe", "a.png", "its content is not a supported image", "replace or"),
]


@pytest.mark.parametrize(("content", "name", "why", "remedy"), KINDS, ids=[k[2] for k in KINDS])
def test_a_file_that_is_no_image_is_named(content, name, why, remedy):
    with pytest.raises(DataError) as caught:
        read_images(content, name)
    assert caught.value.why == why
    assert remedy in caught.value.remedy


@pytest.mark.filterwarnings("error")
def test_an_image_of_8_bits_is_read_without_a_warning():
    content = io.BytesIO()
    Image.new("RGB", (3, 2), (255, 0, 51)).save(content, "PNG")
    found = read_images(content.getvalue(), "a.png")
    assert found[0, :, 0, 0].tolist() == pytest.approx([1, 0, 0.2])
