"""Class folders on disk and in zips, in memory and lazy, and invalid images."""

import multiprocessing
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from asnn.core.errors import ConfigError, DataError
from asnn.datasets import Batches, load_dataset
from asnn.datasets.sources.images.decode import LazyFiles
from asnn.datasets.sources.images.folder import load_folder


def packed(folder, path, inside=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{inside}{file.relative_to(folder).as_posix()}")
    return str(path)


def same(one, other):
    for a, b in ((one.train, other.train), (one.test, other.test)):
        a_images = torch.stack([a.inputs[i] for i in range(len(a))])
        b_images = torch.stack([b.inputs[i] for i in range(len(b))])
        assert torch.equal(a_images, b_images)
        assert torch.equal(a.targets, b.targets)
    assert one.classes == other.classes


def test_a_tree_with_parts(tree):
    root, pixels = tree
    source = load_folder(path=str(root))
    assert source.classes == ["ant", "bird"]
    assert source.train.inputs.shape == (12, 3, 5, 4)
    assert source.train.inputs.dtype == torch.uint8
    assert source.train.targets.tolist() == [0] * 6 + [1] * 6
    for index, name in ((0, "train/ant/0.png"), (11, "train/bird/5.png")):
        np.testing.assert_array_equal(source.train.inputs[index].permute(1, 2, 0), pixels[name])
    np.testing.assert_array_equal(source.test.inputs[2].permute(1, 2, 0), pixels["test/bird/0.png"])


def test_a_tree_without_parts_has_no_test_part(tree):
    root, _ = tree
    source = load_folder(path=str(root / "train"))
    assert source.test is None
    assert len(source.train) == 12
    data = load_dataset("folder", path=str(root / "train"), validation=0.25, test=0.2)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [8, 2, 2]


@pytest.mark.parametrize("inside", ["", "my-images/", "a/b/"])
def test_a_zip_equals_its_tree(tree, tmp_path, inside):
    root, _ = tree
    zipped = packed(root, tmp_path / "images.zip", inside)
    before = set(tmp_path.rglob("*"))
    same(load_folder(path=zipped), load_folder(path=str(root)))
    assert set(tmp_path.rglob("*")) == before, "nothing is unpacked to disk"


@pytest.mark.parametrize("test_inside", ["test/", "", "other/"])
def test_the_test_part_in_a_zip_of_its_own(tree, tmp_path, test_inside):
    root, _ = tree
    train = packed(root / "train", tmp_path / "train.zip", "train/")
    test = packed(root / "test", tmp_path / "test.zip", test_inside)
    same(load_folder(path=train, test_path=test), load_folder(path=str(root)))


def test_a_validation_part_is_used(tree):
    root, _ = tree
    shutil.copytree(root / "test", root / "val")
    data = load_dataset("folder", path=str(root))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [12, 4, 4]


def test_a_class_may_be_called_train(tmp_path):
    for label in ("train", "tram"):
        (tmp_path / label).mkdir()
        Image.new("L", (2, 2)).save(tmp_path / label / "a.png")
    assert load_folder(path=str(tmp_path)).classes == ["train", "tram"]


@pytest.mark.parametrize("zipped", [False, True])
def test_lazy_images_equal_those_in_memory(tree, tmp_path, zipped):
    root, _ = tree
    path = packed(root, tmp_path / "images.zip") if zipped else str(root)
    lazy = load_folder(path=path, memory_limit=0)
    assert isinstance(lazy.train.inputs, LazyFiles)
    assert lazy.train.inputs.shape == (12, 3, 5, 4)
    same(lazy, load_folder(path=path))
    copied = pickle.loads(pickle.dumps(lazy.train.inputs))
    assert torch.equal(copied[3], lazy.train.inputs[3])
    subset = load_dataset("folder", path=path, memory_limit=0).train.inputs
    copied = pickle.loads(pickle.dumps(subset))
    assert torch.equal(copied[3], subset[3])
    assert copied.identity(3) == subset.identity(3)


@pytest.mark.parametrize("workers", [0, 2])
def test_lazy_batches_equal_those_in_memory(tree, tmp_path, workers):
    root, _ = tree
    path = packed(root, tmp_path / "images.zip")
    made = []
    for limit in (0, 1.0):
        data = load_dataset("folder", path=path, memory_limit=limit)
        state = torch.get_rng_state()
        batches = Batches(
            data.train,
            batch_size=3,
            full_scale=data.full_scale,
            shuffle=True,
            generator=torch.Generator().manual_seed(5),
            workers=0 if limit else workers,
        )
        made.append(list(batches))
        assert torch.equal(torch.get_rng_state(), state), "the global generator is not used"
    assert len(made[0]) == len(made[1]) == 3
    for (x, targets), (other_x, other_targets) in zip(*made, strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(targets.first, other_targets.first)


def test_the_fingerprint_of_lazy_images_depends_on_their_files(tree):
    root, _ = tree
    before = load_dataset("folder", path=str(root), memory_limit=0)
    assert load_dataset("folder", path=str(root), memory_limit=0) is not before
    again = load_dataset("folder", path=str(root), memory_limit=0)
    assert again.fingerprint == before.fingerprint
    (root / "test/ant/0.png").rename(root / "test/ant/9.png")
    assert load_dataset("folder", path=str(root), memory_limit=0).fingerprint != before.fingerprint


def test_hidden_and_other_files_are_ignored(tree, tmp_path):
    root, _ = tree
    (root / "train/ant/.DS_Store").write_bytes(b"x")
    (root / "train/ant/._0.png").write_bytes(b"x")
    (root / "train/ant/notes.txt").write_bytes(b"x")
    (root / "preview.png").write_bytes(b"x")
    zipped = tmp_path / "images.zip"
    packed(root, zipped)
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("__MACOSX/train/ant/0.png", b"x")
    assert len(load_folder(path=str(root)).train) == 12
    assert len(load_folder(path=str(zipped)).train) == 12


@pytest.mark.parametrize("suffix", ["PNG", "jpg", "jpeg", "bmp", "webp"])
def test_formats(tmp_path, suffix):
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / label / f"0.{suffix}")
    source = load_folder(path=str(tmp_path))
    means = source.train.inputs.float().mean((0, 2, 3))
    assert means.tolist() == pytest.approx([200, 100, 50], abs=4)


def grey_tree(tmp_path, mode="L"):
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.new(mode, (3, 2), 1).save(tmp_path / label / "0.png")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("mode", "colour", "channels"),
    [("L", "auto", 1), ("1", "auto", 1), ("LA", "auto", 1), ("L", "rgb", 3), ("RGB", "grey", 1)],
)
def test_colour(tmp_path, mode, colour, channels):
    if mode in ("LA", "RGB"):
        for label in "ab":
            (tmp_path / label).mkdir()
            Image.new(mode, (3, 2)).save(tmp_path / label / "0.png")
    else:
        grey_tree(tmp_path, mode)
    assert load_folder(path=str(tmp_path), colour=colour).train.inputs.shape == (2, channels, 2, 3)


def test_images_outside_the_parts(tree):
    root, _ = tree
    shutil.copytree(root / "train/ant", root / "docs/figures")
    with pytest.raises(DataError, match="has images outside its parts test, train: in docs"):
        load_folder(path=str(root))


def test_linked_class_folders_are_followed(tree, tmp_path):
    root, _ = tree
    (tmp_path / "linked").mkdir()
    for label in ("ant", "bird"):
        (tmp_path / "linked" / label).symlink_to(root / "train" / label)
    assert len(load_folder(path=str(tmp_path / "linked")).train) == 12


def test_one_coloured_image_makes_the_set_coloured(tmp_path):
    path = grey_tree(tmp_path)
    Image.new("RGB", (3, 2)).save(tmp_path / "b" / "1.png")
    assert load_folder(path=path).train.inputs.shape == (3, 3, 2, 3)


def test_16_bits_are_kept(tmp_path):
    values = np.array([[0, 255, 257], [32768, 65000, 65535]], np.uint16)
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.fromarray(values).save(tmp_path / label / "0.png")
    found = load_folder(path=str(tmp_path)).train.inputs
    assert found.shape == (2, 1, 2, 3)
    np.testing.assert_array_equal(found[0, 0], values.astype(np.float32) / np.float32(65535))
    lazy = load_folder(path=str(tmp_path), memory_limit=0).train.inputs
    np.testing.assert_array_equal(lazy[1], found[1])


def test_size_resizes_height_by_width(tree):
    root, _ = tree
    Image.new("RGB", (9, 9)).save(root / "train/ant/big.png")
    source = load_folder(path=str(root), size=[6, 8])
    assert source.train.inputs.shape == (13, 3, 6, 8)


@pytest.mark.parametrize("memory_limit", [0, 1.0])
def test_different_sizes(tree, memory_limit):
    root, _ = tree
    Image.new("RGB", (9, 7)).save(root / "train/bird/big.png")
    source = None
    with pytest.raises(DataError, match="the images differ in size") as caught:
        source = load_folder(path=str(root), memory_limit=memory_limit)
        list(Batches(source.train, batch_size=4, full_scale=255, workers=0))
    assert "0.png has 5x4" in caught.value.why
    assert "big.png has 7x9" in caught.value.why
    assert caught.value.remedy == "resize them with --set data.size=[5,4]"


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_that_is_not_an_image(tree, tmp_path, zipped):
    root, _ = tree
    (root / "train/bird/3.png").write_bytes(b"<html>not found</html>")
    path = packed(root, tmp_path / "images.zip") if zipped else str(root)
    with pytest.raises(DataError, match=r"could not decode .*train/bird/3\.png") as caught:
        load_folder(path=path)
    assert caught.value.why == "it is text"
    assert "a failed download" in caught.value.remedy


def test_a_truncated_image(tree):
    root, _ = tree
    valid = (root / "train/bird/3.png").read_bytes()
    (root / "train/bird/3.png").write_bytes(valid[:70])
    with pytest.raises(DataError, match=r"could not decode .*3\.png"):
        load_folder(path=str(root))


def test_an_error_in_a_worker_keeps_its_fields_and_ends_the_worker(tree):
    before = multiprocessing.active_children()
    root, _ = tree
    source = load_folder(path=str(root), memory_limit=0)
    (root / "train/bird/3.png").unlink()
    with pytest.raises(DataError, match=r"could not read .*train/bird/3\.png") as caught:
        list(Batches(source.train, batch_size=4, full_scale=255, workers=1))
    assert caught.value.why == "No such file or directory"
    assert multiprocessing.active_children() == before


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("pixels", [15, 5])  # over the limit, and over twice the limit
def test_a_too_large_image(tree, monkeypatch, pixels):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    with pytest.raises(DataError, match="is too large"):
        load_folder(path=str(tree[0]))


def test_different_classes(tree):
    root, _ = tree
    (root / "test/ant").rename(root / "test/cat")
    with pytest.raises(DataError, match="train and test have different classes") as caught:
        load_folder(path=str(root))
    assert caught.value.why == "test lacks ant; train lacks cat"


def test_invalid_layouts(tree, tmp_path):
    root, _ = tree
    with pytest.raises(DataError, match="has no folder train: found: test"):
        shutil.copytree(root / "test", tmp_path / "only" / "test")
        load_folder(path=str(tmp_path / "only"))
    with pytest.raises(DataError, match="has no class folders with images"):
        load_folder(path=str(root / "train" / "ant"))
    shutil.copytree(root / "train" / "ant", tmp_path / "single" / "ant")
    with pytest.raises(DataError, match="has only one class, ant"):
        load_folder(path=str(tmp_path / "single"))
    with pytest.raises(DataError, match=r"there is no .*missing"):
        load_folder(path=str(tmp_path / "missing"))
    shutil.copytree(root / "train", tmp_path / "two" / "train")
    shutil.copytree(root / "train", tmp_path / "two" / "val")
    with pytest.raises(DataError, match="has no folder test: found: train, validation"):
        load_folder(path=str(root), test_path=str(tmp_path / "two"))


def test_invalid_zips(tree, tmp_path):
    root, _ = tree
    path = tmp_path / "images.zip"
    packed(root, path)
    valid = path.read_bytes()
    path.write_bytes(valid[: len(valid) // 2])
    with pytest.raises(DataError, match=r"images\.zip ends too early") as caught:
        load_folder(path=str(path))
    assert "interrupted download" in caught.value.why
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        load_folder(path=str(path))
    damaged = bytearray(valid)
    damaged[valid.index(b"IDAT") + 6] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"images\.zip:.*png is damaged"):
        load_folder(path=str(path))


def test_an_encrypted_zip(tree, tmp_path):
    root, _ = tree
    path = tmp_path / "images.zip"
    packed(root, path)
    content = bytearray(path.read_bytes())
    entry = content.find(b"PK\x01\x02")
    while entry >= 0:  # the encryption flag in each entry of the central directory
        content[entry + 8] |= 1
        entry = content.find(b"PK\x01\x02", entry + 1)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be unpacked"):
        load_folder(path=str(path))


@pytest.mark.parametrize("options", [{"size": [3]}, {"size": [0, 3]}, {"colour": "red"}])
def test_wrong_options(tree, options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} is"):
        load_folder(path=str(tree[0]), **options)


@pytest.mark.slow
def test_cifar_as_jpeg_lazy(needs):
    root = needs("cifar10/cifar10_jpeg_train.zip")
    source = load_folder(path=str(root / "cifar10/cifar10_jpeg_train.zip"), memory_limit=0)
    assert source.train.inputs.shape == (50_000, 3, 32, 32)
    assert source.train.targets.bincount().tolist() == [5000] * 10
    assert source.classes[0] == "airplane" and source.classes[9] == "truck"
    assert source.test is None


def one_of_each_class(path, target):
    """Copy one image of each class of a zip to a smaller one."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(target, "w") as smaller:
        files = [name for name in archive.namelist() if not name.endswith("/")]
        for name in {name.rpartition("/")[0]: name for name in files}.values():
            smaller.writestr(name, archive.read(name))
    return str(target)


@pytest.mark.slow
def test_cifar_as_jpeg_in_memory(needs, tmp_path):
    root = needs("cifar10/cifar10_jpeg_test.zip")
    # Ten training images: to decode all 50,000 takes 15 s.
    train = one_of_each_class(root / "cifar10/cifar10_jpeg_train.zip", tmp_path / "train.zip")
    test = str(root / "cifar10/cifar10_jpeg_test.zip")
    lazy = load_folder(path=train, test_path=test, memory_limit=0)
    source = load_folder(path=train, test_path=test)
    assert source.train.inputs.shape == (10, 3, 32, 32)
    assert source.test.inputs.shape == (10_000, 3, 32, 32)
    assert source.train.inputs.dtype == torch.uint8
    for index in (0, 1_234, 9_999):
        assert torch.equal(source.test.inputs[index], lazy.test.inputs[index])


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("suffix", "kind", "remedy"),
    [
        ("gif", "a GIF image", "convert it, e.g. to PNG"),
        ("TIFF", "a TIFF image", "convert it, e.g. to PNG"),
        ("wav", "audio", "data.name=wav-folder"),
        ("aedat", "a recording of events", "data.name=events-folder"),
    ],
)
def test_what_lies_in_the_folders_is_named(tmp_path, suffix, kind, remedy, zipped):
    root = tmp_path / "files"
    for label in "ab":
        (root / label).mkdir(parents=True)
        (root / label / f"0.{suffix}").write_bytes(b"content")
        (root / label / ".hidden.mp3").write_bytes(b"content")
    path = packed(root, tmp_path / "files.zip") if zipped else str(root)
    with pytest.raises(DataError, match="has no class folders with images") as caught:
        load_folder(path=path)
    assert caught.value.why.endswith(f"; not read: 2 .{suffix.lower()} ({kind})")
    assert remedy in caught.value.remedy


def test_a_class_of_other_files_is_named(tree):
    root, _ = tree
    for image in (root / "train" / "bird").iterdir():
        image.rename(image.with_suffix(".gif"))
    with pytest.raises(DataError, match="only one class, ant") as caught:
        load_folder(path=str(root / "train"))
    assert caught.value.why.endswith("; not read: 6 .gif (a GIF image)")


def test_images_outside_of_class_folders_are_counted(tmp_path):
    for number in range(3):
        Image.new("L", (2, 2)).save(tmp_path / f"{number}.png")
    with pytest.raises(DataError, match="has no class folders") as caught:
        load_folder(path=str(tmp_path))
    assert "; 3 images lie in no folder" in caught.value.why
    assert caught.value.remedy == "put the images of each class into a folder named after it"


def test_one_number_is_height_and_width(tree):
    path = str(tree[0])
    one, two = load_folder(path=path, size=8), load_folder(path=path, size=[8, 8])
    assert torch.equal(one.train.inputs, two.train.inputs)
    for size in (0, [8], [8, 0]):
        with pytest.raises(ConfigError, match="size is") as caught:
            load_folder(path=path, size=size)
        assert "or one number for both" in caught.value.why


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "testing"), ("TRAIN", "val")])
def test_parts_by_other_common_names(tree, tmp_path, names):
    root = tmp_path / "other"
    root.mkdir()
    for old, new in zip(("train", "test"), names, strict=True):
        shutil.copytree(tree[0] / old, root / new)
    source = load_folder(path=str(root))
    other = source.validation if "val" in names else source.test
    assert len(source.train) == 12 and other is not None and len(other) == 4
