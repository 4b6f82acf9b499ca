"""Batches: each sample once, exact values, and a resumed epoch."""

import numpy as np
import pytest
import torch

from asnn.core.errors import ConfigError
from asnn.datasets import Augment, Batches, Split


def split(count: int) -> Split:
    """Return images whose two pixels are the digits of the sample's number to base 256."""
    numbers = torch.arange(count)
    pixels = torch.stack([numbers % 256, numbers // 256], 1).to(torch.uint8)
    return Split(pixels.reshape(count, 1, 1, 2), numbers % 7)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batches(count, size, **options) -> Batches:
    return Batches(split(count), batch_size=size, full_scale=255, **options)


def numbers(made) -> list[int]:
    found = []
    for x, targets in made:
        pixels = (x * 255).round().long().flatten(1)
        number = pixels[:, 0] + 256 * pixels[:, 1]
        assert torch.equal(targets.first, number % 7)
        assert torch.equal(targets.second, targets.first)
        assert targets.weight == 1.0
        found += number.tolist()
    return found


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_each_sample_exactly_once(shuffle, size):
    made = batches(300, size, shuffle=shuffle, generator=seeded())
    found = numbers(made)
    assert sorted(found) == list(range(300))
    assert (found == sorted(found)) is not shuffle
    assert len(list(made)) == len(made) == -(-300 // size)


def test_the_order_is_one_permutation_of_the_generator():
    made = batches(50, 8, shuffle=True, generator=seeded(4))
    assert numbers(made) == torch.randperm(50, generator=seeded(4)).tolist()
    assert numbers(made) != torch.randperm(50, generator=seeded(4)).tolist(), "a new order"


def test_a_last_batch_of_one_sample_is_dropped_in_training_only():
    assert [len(x) for x, _ in batches(9, 4, shuffle=True)] == [4, 4]
    assert len(batches(9, 4, shuffle=True)) == 2
    assert [len(x) for x, _ in batches(9, 4)] == [4, 4, 1]
    assert [len(x) for x, _ in batches(1, 4, shuffle=True)] == [1]
    assert [len(x) for x, _ in batches(3, 1, shuffle=True)] == [1, 1, 1]
    assert list(batches(0, 4, shuffle=True)) == []


ALL = Augment(flip=True, crop=1, rotation=20, mixup=True, transforms=["RandomVerticalFlip"])


@pytest.mark.parametrize("augment", [None, ALL])
@pytest.mark.parametrize("start", [0, 1, 5, 6, 9])
def test_a_resumed_epoch_yields_the_remaining_batches(augment, start):
    options = {"shuffle": True, "augment": augment}
    complete = list(batches(45, 8, generator=seeded(2), **options))
    resumed = batches(45, 8, generator=seeded(2), start=start, **options)
    assert len(resumed) == len(complete[start:])
    for (x, targets), (other_x, other) in zip(resumed, complete[start:], strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(targets.second, other.second)
        assert targets.weight == other.weight


class Counting:
    """Lazy images that record which were accessed."""

    def __init__(self, images):
        self.images, self.shape, self.accessed = images, tuple(images.shape), []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.accessed.append(index)
        return self.images[index]


def test_skipped_batches_are_not_loaded():
    complete = split(20)
    lazy = Counting(complete.inputs)
    made = Batches(Split(lazy, complete.targets), batch_size=5, full_scale=255, start=2)
    assert numbers(made) == list(range(10, 20))
    assert lazy.accessed == list(range(10, 20))


@pytest.mark.parametrize("full_scale", [16, 255])
def test_division_is_exact(full_scale):
    images = torch.arange(256, dtype=torch.uint8).reshape(256, 1, 1, 1)
    made = Batches(Split(images, torch.zeros(256).long()), batch_size=256, full_scale=full_scale)
    ((x, _),) = list(made)
    expected = np.arange(256, dtype=np.float32) / np.float32(full_scale)
    assert x.dtype == torch.float32
    np.testing.assert_array_equal(x.flatten().numpy(), expected)


def test_floats_are_not_scaled():
    images = torch.rand(6, 1, 2, 2)
    made = Batches(Split(images, torch.arange(6)), batch_size=4, full_scale=255)
    assert torch.equal(torch.cat([x for x, _ in made]), images)


def test_augmentation_gets_the_epoch():
    augment = Augment(mixup=True, mixup_off_epoch=3)
    for epoch, weight_is_one in ((2, False), (3, True)):
        made = batches(8, 8, generator=seeded(), augment=augment, epoch=epoch)
        ((_, targets),) = list(made)
        assert (targets.weight == 1.0) is weight_is_one


def test_the_images_of_the_split_are_not_modified():
    complete = split(16)
    before = complete.inputs.clone()
    list(Batches(complete, batch_size=4, full_scale=255, shuffle=True, augment=ALL))
    assert torch.equal(complete.inputs, before)


@pytest.mark.parametrize("option", [{"start": -1}, {"workers": -1}])
def test_invalid_options(option):
    with pytest.raises(ConfigError, match=f"{next(iter(option))} is -1: it must be at least 0"):
        batches(4, 2, **option)
    with pytest.raises(ConfigError, match="batch_size is 0: it must be at least 1"):
        batches(4, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_cuda_have_the_same_bits():
    options = {"shuffle": True, "augment": Augment(crop=1, flip=True, mixup=True)}
    on_cpu = batches(300, 64, generator=seeded(), **options)
    on_cuda = batches(300, 64, generator=seeded(), device="cuda", **options)
    for (x, targets), (other_x, other) in zip(on_cpu, on_cuda, strict=True):
        assert other_x.device.type == "cuda"
        torch.testing.assert_close(other_x.cpu(), x, atol=1e-6, rtol=0)
        assert torch.equal(other.second.cpu(), targets.second)
