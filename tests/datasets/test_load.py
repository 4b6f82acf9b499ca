"""The three splits: fixed, stratified, disjoint, identified by a fingerprint."""

import hashlib
import inspect

import numpy as np
import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core.errors import ConfigError, DataError
from asnn.datasets import DataSet, Source, Split, dataset_registry, load_dataset
from asnn.datasets.base import fingerprint
from asnn.datasets.splits import SEED, LazySubset, cut, subset

DIGITS = "74386c679ba2664ef9b4f906ec96a7c3eb4a06ef86540742ecce1967d9d731b5"


def numbered(labels) -> Split:
    """Return images of one pixel whose value is the number of the sample."""
    count = len(labels)
    return Split(
        torch.arange(count, dtype=torch.float32).reshape(count, 1, 1, 1) / count,
        torch.tensor(labels, dtype=torch.int64),
    )


def of_one_split(split: Split) -> DataSet:
    spec = SampleSpec("image", tuple(split.inputs.shape[1:]))
    return DataSet("x", split, split, split, ["a"], 255.0, "", spec)


def test_the_names_of_0_1_0_can_be_read():
    split = numbered([0, 1])
    assert split.images is split.inputs and split.labels is split.targets


def numbers(split: Split, count: int) -> list[int]:
    return (split.inputs.flatten() * count).round().long().tolist()


@pytest.fixture(scope="module")
def digits() -> DataSet:
    return load_dataset("digits")


def test_digits_equal_those_of_scikit_learn(digits):
    from sklearn.datasets import load_digits

    reference = load_digits()
    assert digits.in_shape == (1, 8, 8)
    assert digits.full_scale == 16
    assert digits.train.inputs.dtype == torch.uint8
    found = torch.cat([s.inputs for s in (digits.train, digits.validation, digits.test)])
    assert sorted(map(bytes, found.flatten(1).numpy())) == sorted(
        map(bytes, reference.data.astype(np.uint8))
    )


def test_digits_splits_are_pinned_and_stratified(digits):
    assert digits.fingerprint == DIGITS
    total = sum(s.targets.bincount() for s in (digits.train, digits.validation, digits.test))
    assert total.sum() == 1797
    assert ((digits.test.targets.bincount() - 0.2 * total).abs() <= 1).all()
    rest = total - digits.test.targets.bincount()
    assert ((digits.validation.targets.bincount() - 0.1 * rest).abs() <= 1).all()


def test_the_fingerprint_is_the_documented_hash(digits):
    digest = hashlib.sha256()
    for split in (digits.train, digits.validation, digits.test):
        digest.update(split.targets.numpy().astype("<i8").tobytes())
        digest.update(split.inputs.numpy().tobytes())
    assert digits.fingerprint == digest.hexdigest()


def test_the_fingerprint_depends_on_each_split(digits):
    parts = [digits.train, digits.validation, digits.test]
    for index, part in enumerate(parts):
        images, labels = part.inputs.clone(), part.targets.clone()
        images[-1, 0, 0, 0] += 1
        labels[0] = (labels[0] + 1) % 10
        for changed in (Split(images, part.targets), Split(part.inputs, labels)):
            others = [*parts[:index], changed, *parts[index + 1 :]]
            assert fingerprint(*others) != digits.fingerprint


def test_splits_do_not_depend_on_global_seeds(digits):
    torch.manual_seed(99)
    np.random.seed(99)
    assert load_dataset("digits").fingerprint == digits.fingerprint


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.5, 0.9])
def test_a_cut_is_disjoint_complete_and_stratified(fraction):
    labels = np.repeat([0, 1, 2, 3], [1, 2, 37, 200])
    split = numbered(labels[np.random.default_rng(0).permutation(len(labels))])
    kept, removed = cut(split, fraction, 1)
    assert sorted(numbers(kept, 240) + numbers(removed, 240)) == list(range(240))
    counts = removed.targets.bincount(minlength=4).tolist()
    assert counts[:2] == [0, 1], "a class keeps its last sample and gives one of two"
    assert counts[2] == pytest.approx(37 * fraction, abs=0.5)
    assert counts[3] == pytest.approx(200 * fraction, abs=0.5)


def test_limits_are_stratified_and_nested():
    labels = np.repeat([0, 1], [300, 100])
    split = numbered(labels)
    before: set[int] = set()
    for limit in (4, 40, 200, 399):
        head = subset(split, limit)
        assert len(head) == limit
        assert head.targets.bincount()[0] == pytest.approx(0.75 * limit, abs=1)
        assert before <= set(numbers(head, 400))
        before = set(numbers(head, 400))
    assert subset(split, 400) is split


def test_a_limit_reduces_the_training_part_only(digits):
    small = load_dataset("digits", limit=50)
    assert len(small.train) == 50
    assert small.train.targets.bincount(minlength=10).min() >= 4
    assert torch.equal(small.validation.inputs, digits.validation.inputs)
    assert torch.equal(small.test.inputs, digits.test.inputs)
    assert small.fingerprint != digits.fingerprint


def test_moments_against_numpy(digits):
    mean, deviation = digits.moments()
    values = digits.train.inputs.numpy() / 16.0
    assert mean == pytest.approx([values.mean()], rel=1e-12)
    assert deviation == pytest.approx([values.std()], rel=1e-9)


def test_a_constant_channel_has_deviation_one():
    random = torch.Generator().manual_seed(0)
    images = torch.rand(50, 2, 3, 3, generator=random)
    images[:, 1] = 0.3
    split = Split(images, torch.zeros(50, dtype=torch.int64))
    mean, deviation = of_one_split(split).moments()
    assert mean[1] == pytest.approx(0.3)
    assert deviation[1] == 1.0
    assert deviation[0] == pytest.approx(images[:, 0].double().std(correction=0).item())


class Lazy:
    """Lazy images over a tensor, without `identity`."""

    def __init__(self, images):
        self.images = images
        self.shape = tuple(images.shape)
        self.accessed = []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.accessed.append(index)
        return self.images[index]


def test_lazy_images_are_cut_by_index_and_hashed_by_pixel():
    images = torch.randint(0, 256, (60, 1, 2, 2), dtype=torch.uint8)
    labels = torch.arange(60) % 3
    kept, removed = cut(Split(Lazy(images), labels), 0.2, 1)
    kept_in_memory, removed_in_memory = cut(Split(images, labels), 0.2, 1)
    assert isinstance(kept.inputs, LazySubset)
    assert kept.inputs.shape == (48, 1, 2, 2)
    assert fingerprint(kept, removed) == fingerprint(kept_in_memory, removed_in_memory)


def test_moments_of_lazy_images_use_5000_equally_spaced():
    images = torch.zeros(20_000, 1, 1, 1, dtype=torch.uint8)
    images[::4] = 255  # 0, 4, 8, ...: the 5,000 equally spaced ones
    lazy = Lazy(images)
    split = Split(lazy, torch.zeros(20_000, dtype=torch.int64))
    mean, _ = of_one_split(split).moments()
    assert lazy.accessed == list(range(0, 20_000, 4))
    assert mean == [1.0]


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
@pytest.mark.parametrize("key", ["validation", "test"])
def test_a_share_out_of_range(key, share):
    with pytest.raises(ConfigError, match=f"{key} is {share}"):
        load_dataset("digits", **{key: share})


def test_a_limit_of_0():
    with pytest.raises(ConfigError, match="limit is 0"):
        load_dataset("digits", limit=0)


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(ConfigError, match="unknown dataset 'minst'") as caught:
        load_dataset("minst")
    assert "fashion-mnist" in caught.value.why
    assert "'mnist'" in caught.value.remedy


def test_options_are_those_of_the_loader():
    with pytest.raises(ConfigError, match="unknown option of data set folder 'colr'") as caught:
        load_dataset("folder", path="x", colr="grey")
    assert "'colour'" in caught.value.remedy
    with pytest.raises(ConfigError, match="data set npz needs path"):
        load_dataset("npz")


@pytest.mark.parametrize(
    ("name", "options", "why", "remedy"),
    [
        ("npz", {"path": "x"}, "they are at data.path", "--set data.path=..."),
        (
            "flow-nmnist",
            {"path": "x", "test_path": "y"},
            "they are at data.path and data.test_path",
            "--set data.path=... and --set data.test_path=...",
        ),
        ("digits", {}, "dir is no option of it", "leave data.dir (--data-dir) out"),
    ],
)
def test_a_folder_is_refused_where_the_files_are_placed_by_other_options(
    name, options, why, remedy
):
    with pytest.raises(ConfigError) as caught:
        load_dataset(name, dir="data", **options)
    assert caught.value.what == (
        f"a folder (--data-dir) does not place the files of the data set {name}"
    )
    assert (caught.value.why, caught.value.remedy) == (why, remedy)


def test_a_loader_of_another_package_may_take_any_option(monkeypatch):
    def loader(**options):
        assert options == {"anything": 1}
        return Source(numbered([0, 1] * 20), None, ["a", "b"])

    monkeypatch.setattr(dataset_registry, "get", lambda name: loader)
    data = load_dataset("external", anything=1)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [28, 4, 8]


def test_the_options_of_each_built_in_loader_are_in_its_signature():
    for name in dataset_registry.builtin:
        for parameter in inspect.signature(dataset_registry.get(name)).parameters.values():
            assert parameter.kind is parameter.KEYWORD_ONLY
            assert parameter.annotation not in (parameter.empty, "str")


def test_too_few_samples_to_cut(tmp_path):
    path = tmp_path / "few.npz"
    np.savez(path, x_train=np.zeros((2, 2, 2), np.uint8), y_train=np.array([0, 1]))
    with pytest.raises(DataError, match="too few samples"):
        load_dataset("npz", path=str(path))


def test_the_seed_of_the_splits_does_not_change():
    assert SEED == 1797
