"""Random numbers of samples: SplitMix64 written out, independent of batch, order and device."""

import pytest
import torch

from asnn.coding import create_coding
from asnn.coding.draws import GOLDEN, _mix, _signed, content_keys, drawing, sample_keys, uniforms
from asnn.core.errors import ConfigError

CPU = torch.device("cpu")
MASK = 2**64 - 1


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def key_of(sample: int, *parts: int) -> int:
    state = 0
    for part in (len(parts), *parts):
        state = mix((state + GOLDEN + part) & MASK)
    return mix((state + (sample + 1) * GOLDEN) & MASK)


def test_the_mixing_function_gives_the_published_sequence():
    # The first outputs of SplitMix64 from the state 1234567, as in its reference implementation.
    counters = torch.tensor([_signed(1234567 + (i + 1) * GOLDEN) for i in range(5)])
    assert [int(word) % 2**64 for word in _mix(counters)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_keys_and_numbers_equal_integers_of_python():
    samples = torch.tensor([0, 5, 10_000_000])
    keys = sample_keys(samples, 7, 3)
    assert [int(key) % 2**64 for key in keys] == [key_of(i, 7, 3) for i in samples.tolist()]
    found = uniforms(keys, 3, (2, 2), device=CPU, stream=2).flatten(2)
    for b, sample in enumerate(samples.tolist()):
        for t in range(3):
            for place in range(4):
                counter = key_of(sample, 7, 3) + (2 * 2**48 + t * 4 + place + 1) * GOLDEN
                assert found[t, b, place] == (mix(counter & MASK) >> 40) / 2**24


def test_keys_differ_by_seed_epoch_and_number_of_parts():
    samples = torch.arange(50)
    keys = [sample_keys(samples, *parts) for parts in ((0,), (1,), (0, 0), (0, 1), (1, 0))]
    assert len({int(key) for each in keys for key in each}) == 5 * 50


def test_more_steps_and_larger_batches_keep_the_numbers():
    keys = sample_keys(torch.arange(300), 0)
    complete = uniforms(keys, 4, (16, 20), device=CPU)  # several blocks
    assert torch.equal(uniforms(keys, 2, (16, 20), device=CPU), complete[:2])
    assert torch.equal(uniforms(keys[250:], 4, (16, 20), device=CPU), complete[:, 250:])
    assert complete.unique().numel() > 0.9 * complete.numel()


def test_the_numbers_are_uniform_and_independent():
    drawn = uniforms(sample_keys(torch.arange(100), 0), 20, (50,), device=CPU).double()
    deviation = (1 / 12 / drawn.numel()) ** 0.5
    assert abs(drawn.mean() - 0.5) < 5 * deviation
    for a, b in (
        (drawn[1:], drawn[:-1]),
        (drawn[:, 1:], drawn[:, :-1]),
        (drawn[..., 1:], drawn[..., :-1]),
    ):
        assert abs(((a - 0.5) * (b - 0.5)).mean()) < 5 / 12 / a.numel() ** 0.5


@pytest.mark.parametrize("size", [1, 8, 64])
def test_a_rate_code_does_not_depend_on_the_batch(size):
    x = torch.rand(70, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    code = create_coding("rate", steps=5)

    def encoded(size: int, seed: int = 0) -> torch.Tensor:
        parts = []
        for index in torch.arange(70).split(size):
            with drawing(sample_keys(index, seed)):
                parts.append(code.encode(x[index]))
        return torch.cat(parts, 1)

    assert torch.equal(encoded(size), encoded(70))
    assert not torch.equal(encoded(size, seed=1), encoded(70))
    with drawing(sample_keys(torch.arange(70), 0)):
        assert torch.equal(code.encode(x), encoded(70))
    assert not torch.equal(code.encode(x), encoded(70)), "outside, it draws from torch"


def test_with_a_seed_equal_images_get_equal_spikes_in_every_batch():
    image = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
    batch = torch.stack([image, 1 - image, image])
    code = create_coding("rate", steps=6, seed=3)
    found = code.encode(batch)
    assert torch.equal(found[:, 0], found[:, 2])
    assert torch.equal(found[:, :1], code.encode(batch[:1]))
    with drawing(sample_keys(torch.arange(3), 9)):
        assert torch.equal(code.encode(batch), found)
    assert not torch.equal(create_coding("rate", steps=6, seed=4).encode(batch), found)
    assert not code.draws and create_coding("rate", steps=6).draws
    assert content_keys(batch, 3).unique().numel() == 2


def test_keys_of_another_number_of_samples_are_refused():
    code = create_coding("rate", steps=2)
    with drawing(sample_keys(torch.arange(3), 0)), pytest.raises(ConfigError) as caught:
        code.encode(torch.rand(2, 1, 4, 4))
    assert caught.value.what == "2 samples draw, the batch has 3"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_the_same():
    keys = sample_keys(torch.arange(20), 0)
    cuda = uniforms(keys, 3, (5, 5), device=torch.device("cuda"))
    assert torch.equal(cuda.cpu(), uniforms(keys, 3, (5, 5), device=CPU))
