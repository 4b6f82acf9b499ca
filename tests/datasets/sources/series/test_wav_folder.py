"""WAV files of classes: labels, parts, options, and files that cannot be read."""

import shutil
import zipfile

import numpy as np
import pytest
import torch

from asnn.core import ConfigError, DataError
from asnn.datasets import load_dataset
from asnn.datasets.sources.series.log_mel import LogMel
from asnn.datasets.sources.series.wav_folder import load_wav_folder
from tests.datasets.sources.series.test_wav import saved

OPTIONS = {"steps": 4, "rate": 8_000, "bands": 8}


def sound(seed: int, length: int = 900) -> np.ndarray:
    return np.random.default_rng(seed).integers(-(2**14), 2**14, length).astype(np.int16)


@pytest.fixture
def digits(tmp_path):
    """Recordings `<word>_<speaker>_<number>.wav` in a folder of each word."""
    root = tmp_path / "digits"
    for w, word in enumerate(("two", "one")):
        (root / word).mkdir(parents=True)
        for s, speaker in enumerate("ab"):
            for number in range(3):
                content = saved(sound(100 * w + 10 * s + number))
                (root / word / f"{word}_{speaker}_{number}.wav").write_bytes(content)
    return root


def test_classes_by_folder_are_in_order(digits):
    source = load_wav_folder(path=str(digits), **OPTIONS)
    assert source.classes == ["one", "two"] and source.test is None
    assert source.train.targets.tolist() == [0] * 6 + [1] * 6
    assert source.train.inputs.shape == (12, 4, 8)
    assert source.train.inputs.dtype == torch.float32
    document = {"kind": "series", "shape": [8], "steps": 4}
    assert source.spec.document() == document
    expected = LogMel(8_000, 8)(sound(112) / 2**15, 8_000, 4, stretch=False)
    np.testing.assert_array_equal(source.train.inputs[5].numpy(), expected)  # one_b_2


def test_options_of_the_frames(digits):
    options = {**OPTIONS, "fit": "stretch", "rate": 4_000, "window": 40.0, "hop": 5.0}
    source = load_wav_folder(path=str(digits), **options)
    expected = LogMel(4_000, 8, 40.0, 5.0)(sound(112) / 2**15, 8_000, 4, stretch=True)
    np.testing.assert_array_equal(source.train.inputs[5].numpy(), expected)


def test_classes_by_prefix_and_a_zip(digits, tmp_path):
    """All files in one folder of a zip, with others that are ignored."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted(digits.rglob("*.wav")):
            archive.write(file, f"recordings/{file.name}")
        archive.writestr("recordings/nothing.wav", b"not read")
        archive.writestr("recordings/_x.wav", b"not read")
        archive.writestr("recordings/.two_hidden.wav", b"not read")
        archive.writestr("recordings/one_notes.txt", b"not read")
    zipped = load_wav_folder(path=str(tmp_path / "a.zip"), labels="prefix", **OPTIONS)
    source = load_wav_folder(path=str(digits), **OPTIONS)
    assert zipped.classes == source.classes
    assert torch.equal(zipped.train.inputs, source.train.inputs)
    assert torch.equal(zipped.train.targets, source.train.targets)


def test_the_test_part_has_the_files_that_the_expression_finds(digits):
    whole = load_wav_folder(path=str(digits), **OPTIONS).train.inputs
    source = load_wav_folder(path=str(digits), test_names=r"_a_[12]\.wav$", **OPTIONS)
    assert source.test.targets.tolist() == [0, 0, 1, 1]
    assert torch.equal(source.test.inputs, whole[[1, 2, 7, 8]])
    assert torch.equal(source.train.inputs, whole[[0, 3, 4, 5, 6, 9, 10, 11]])
    data = load_dataset("wav-folder", path=str(digits), validation=0.5, **OPTIONS)
    assert [len(each) for each in (data.train, data.validation, data.test)] == [4, 6, 2]


def test_the_class_is_the_folder_of_the_file(digits, tmp_path):
    """Not a folder further out, as in train/<class>/<file>."""
    for part in ("train", "test"):
        shutil.copytree(digits, tmp_path / "parts" / part)
    path = str(tmp_path / "parts")
    source = load_wav_folder(path=path, test_names="^test/", **OPTIONS)
    assert source.classes == ["one", "two"]
    assert torch.equal(source.train.inputs, source.test.inputs)
    assert source.test.targets.tolist() == [0] * 6 + [1] * 6


def test_files_of_other_kinds_are_the_same_sound(digits):
    """Eight bits, 32 bits, floats, stereo and twice the rate, each in place of one_a_0."""
    path = digits / "one/one_a_0.wav"
    tone = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(900) / 8_000)
    fine = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(1_800) / 16_000)
    kinds = {
        "16 bits": saved((tone * 2**15).astype(np.int16)),
        "8 bits": saved(np.rint(128 + tone * 128).astype(np.uint8)),
        "32 bits": saved((tone * 2**31).astype(np.int32)),
        "floats": saved(tone.astype(np.float32)),
        "stereo": saved(np.stack([2 * tone, 0 * tone], 1).astype(np.float32)),
        "16 kHz": saved(fine.astype(np.float32), 16_000),
    }
    found = {}
    for kind, content in kinds.items():
        path.write_bytes(content)
        found[kind] = load_wav_folder(path=str(digits), **OPTIONS).train.inputs[0]
    band = found["16 bits"][1].argmax()
    for kind, frames in found.items():
        assert frames[1:].argmax(1).tolist() == [band] * 3, kind
        assert frames[1:, band].tolist() == pytest.approx(
            found["16 bits"][1:, band].tolist(), abs=0.05
        ), kind


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it begins with"),
        (saved(sound(0))[:-10], "ends too early"),
        (saved(sound(0, 0)), "it holds no samples"),
        (saved(np.full(10, np.nan)), "not finite"),
    ],
)
def test_an_invalid_file_is_refused_by_name(digits, content, why):
    (digits / "two/two_b_1.wav").write_bytes(content)
    with pytest.raises(DataError, match=r"two/two_b_1\.wav cannot be read") as caught:
        load_wav_folder(path=str(digits), **OPTIONS)
    assert why in caught.value.why and "uncompressed WAV" in caught.value.remedy


@pytest.mark.parametrize(
    ("options", "what", "why"),
    [
        ({"test_names": "three"}, "finds 0 of the 12 files", "both training and test"),
        ({"test_names": "wav"}, "finds 12 of the 12 files", "both training and test"),
        ({"test_names": "two_"}, "no training file of the class two", "finds all of them"),
    ],
)
def test_parts_that_cannot_be(digits, options, what, why):
    with pytest.raises(DataError, match=what) as caught:
        load_wav_folder(path=str(digits), **OPTIONS, **options)
    assert why in caught.value.why


def test_one_class_or_none(digits, tmp_path):
    with pytest.raises(DataError, match="WAV files of 0 classes") as caught:
        load_wav_folder(path=str(digits / "two"), **OPTIONS)
    assert caught.value.why == "6 files; the class of a file is its folder"
    with pytest.raises(DataError, match="WAV files of 1 classes"):
        load_wav_folder(path=str(digits / "two"), labels="prefix", **OPTIONS)
    with pytest.raises(DataError, match="there is no"):
        load_wav_folder(path=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": 0}, "steps is 0: it must be from 1 to 10000"),
        ({"rate": 10}, "rate is 10: it must be from 100"),
        ({"bands": 513}, "bands is 513: it must be from 1 to 512"),
        ({"window": float("inf")}, "window is inf ms: it must be above 0 and at most 1000"),
        ({"hop": float("nan")}, "hop is nan ms"),
        ({"labels": "name"}, "labels is 'name': choose from folder, prefix"),
        ({"fit": "crop"}, "fit is 'crop': choose from pad, stretch"),
        ({"test_names": "("}, r"test_names is '\(': it is no regular expression"),
        ({"bands": 200}, "of 200 mel bands are narrower"),
    ],
)
def test_wrong_options(digits, options, text):
    with pytest.raises(ConfigError, match=text):
        load_wav_folder(**{"path": str(digits), **OPTIONS, **options})


@pytest.mark.slow
def test_free_spoken_digits(needs):
    """2,700 files for training and 300 to test, the recordings 0 to 4 of each speaker and digit."""
    path = needs("fsdd/fsdd_recordings.zip") / "fsdd/fsdd_recordings.zip"
    source = load_wav_folder(
        path=str(path), labels="prefix", test_names=r"_[0-4]\.wav$", steps=31, rate=8_000,
        fit="stretch",
    )  # fmt: skip
    assert source.classes == [str(digit) for digit in range(10)]
    assert source.train.targets.bincount().tolist() == [270] * 10
    assert source.test.targets.bincount().tolist() == [30] * 10
    x, z = (split.inputs.flatten(1).double() for split in (source.train, source.test))
    # A ridge regression on 32 bands of 31 frames has 93.0 % in the description of the data.
    mean, scale = x.mean(0), x.std(0)
    x, z = ((each - mean) / scale for each in (x, z))
    target = torch.nn.functional.one_hot(source.train.targets).double()
    gram = x.T @ x + 1_000 * torch.eye(x.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, x.T @ (target - 0.1))
    accuracy = float(((z @ weights).argmax(1) == source.test.targets).double().mean())
    assert 0.90 < accuracy < 0.97


def test_levels_relative_to_the_recording_do_not_depend_on_loudness(tmp_path):
    """Twice the amplitude adds log 4 to every band; relative levels leave it out."""
    from scipy.io import wavfile

    noise = np.random.default_rng(0).normal(0, 0.1, 8_000).astype(np.float32)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number, factor in enumerate((1.0, 2.0)):
            wavfile.write(tmp_path / label / f"{number}.wav", 8_000, factor * noise)
    found = {}
    for level in ("absolute", "relative"):
        source = load_wav_folder(
            path=str(tmp_path), rate=8_000, steps=20, fit="stretch", level=level
        )
        quiet, loud = source.train.inputs[:2].numpy()
        found[level] = loud - quiet
        np.testing.assert_allclose(
            source.train.inputs.mean(1) if level == "relative" else 0, 0, atol=1e-5
        )
    np.testing.assert_allclose(found["relative"], 0, atol=0.02)  # ε of the logarithm
    np.testing.assert_allclose(found["absolute"], np.log(4), atol=0.02)


def test_parts_are_kept_apart_and_a_table_lists_files(digits, tmp_path):
    for part in ("train", "test"):
        shutil.copytree(digits, tmp_path / "parts" / part)
    source = load_wav_folder(path=str(tmp_path / "parts"), **OPTIONS)
    assert source.test is not None and len(source.train) == len(source.test) == 12
    assert torch.equal(source.train.inputs, source.test.inputs)
    files = sorted(digits.rglob("*.wav"))
    rows = [f"{file.relative_to(tmp_path)},{file.parent.name}" for file in files]
    (tmp_path / "t.csv").write_text("\n".join(["path,word", *rows]))
    table = load_wav_folder(path=str(tmp_path / "t.csv"), label_column="word", **OPTIONS)
    assert torch.equal(table.train.inputs, source.train.inputs) and table.test is None
