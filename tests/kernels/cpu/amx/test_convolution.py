"""Convolutions by tiles compared with torch's in float64: as exact as float32, for spikes.

Without AMX the kernels run with emulated tiles, on one thread.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.kernels.contract import Convolution
from asnn.kernels.convolution import Paths, spike_convolution
from asnn.kernels.costs import fits_tiles
from asnn.kernels.cpu import backend as cpu
from asnn.kernels.cpu.amx import calls
from asnn.models.layers.convolution import SpikeConv2d
from tests.support.emulated_tiles import emulate

HAS_TILES = cpu.has_tiles()


@pytest.fixture(autouse=True, scope="module")
def tiles():
    with pytest.MonkeyPatch.context() as monkeypatch:
        if not HAS_TILES:
            emulate(monkeypatch)
        yield


TILES = Paths("tiles", "tiles", "tiles")


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spikes(*shape, share=0.2, seed=1):
    keys = torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
    return (keys < share).float()


def by_tiles(x, weight, bias=None, *, prefix=None, stride=(1, 1)):
    (out, channels, *kernel), (number, _, *size) = weight.shape, x.shape
    padding = tuple(k // 2 for k in kernel)
    shape = Convolution(number, tuple(size), (channels, out), tuple(kernel), stride, padding)
    assert fits_tiles(shape)
    return spike_convolution(x, weight, bias, prefix=prefix, backend=cpu, shape=shape, paths=TILES)


def by_torch(x, weight, bias=None, *, prefix=None, stride=(1, 1)):
    out = conv2d(x, weight, bias, stride, padding=tuple(k // 2 for k in weight.shape[2:]))
    return out if prefix is None else torch.cat([prefix, out])


def outputs_of(function, dtype, *, stride=(1, 1), **tensors):
    """Return output and gradients of a weighted sum of it, by name."""
    leaves = {
        name: None if tensor is None else tensor.detach().to(dtype).requires_grad_()
        for name, tensor in tensors.items()
    }
    out = function(**leaves, stride=stride)
    (out * drawn(*out.shape, seed=7).to(dtype)).sum().backward()
    grads = {name: leaf.grad for name, leaf in leaves.items() if leaf is not None}
    return {"out": out.detach(), **grads}


def errors(found, expected):
    """Return the largest error of each tensor, relative to its largest value."""
    return {
        name: float((found[name].double() - value).abs().max() / value.abs().max().clamp(min=1e-9))
        for name, value in expected.items()
    }


# Sums of float32 that are added up in another order; gradients are rounded to 2⁻¹⁷.
LIMITS = {"out": 2e-6, "bias": 2e-6, "prefix": 0, "x": 1.5e-5, "weight": 1.5e-5}


def assert_same_function(**options):
    found, expected = (
        outputs_of(by_tiles, torch.float32, **options),
        outputs_of(by_torch, torch.float64, **options),
    )
    assert found.keys() == expected.keys()
    for name, error in errors(found, expected).items():
        assert found[name].shape == expected[name].shape
        assert error <= LIMITS[name], f"{name}: {error:.1e}"


strides = pytest.mark.parametrize("stride", [(1, 1), (2, 2)], ids=["stride 1", "stride 2"])


@strides
@pytest.mark.parametrize("inputs", [16, 32, 48, 80])
@pytest.mark.parametrize("outputs", [16, 32, 48])
def test_channels(inputs, outputs, stride):
    x, weight = spikes(5, inputs, 6, 8 - stride[1] % 2), drawn(outputs, inputs, 3, 3)
    assert_same_function(x=x, weight=weight, bias=drawn(outputs, seed=3), stride=stride)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5), (1, 5), (5, 1), (3, 7)], ids=str)
@pytest.mark.parametrize(
    ("size", "stride"),
    [
        *(((height, width), (1, 1)) for height, width in [(1, 1), (2, 3), (8, 8), (4, 33)]),
        *(((height, width), (2, 2)) for height, width in [(2, 2), (8, 8), (6, 4), (2, 66)]),
        *[((8, 9), (1, 3)), ((8, 7), (2, 1)), ((4, 36), (4, 2))],
    ],
    ids=str,
)
def test_kernels_and_sizes(kernel, size, stride):
    x, weight = spikes(3, 16, *size, share=0.6), drawn(32, 16, *kernel)
    assert_same_function(x=x, weight=weight, stride=stride)


@strides
@pytest.mark.parametrize("number", [1, 2, 31, 70])
def test_numbers_of_images(number, stride):
    x, prefix = spikes(number, 16, *(5 * s for s in stride)), drawn(2, 16, 5, 5)
    assert_same_function(x=x, weight=drawn(16, 16, 3, 3), prefix=prefix, stride=stride)


@pytest.mark.slow
@strides
def test_a_block_that_is_packed_in_chunks(stride):
    assert_same_function(x=spikes(9, 256, 20, 20), weight=drawn(16, 256, 3, 3), stride=stride)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_shape(data):
    number, height, width = (data.draw(st.integers(1, most)) for most in (6, 9, 20))
    stride = data.draw(st.sampled_from([(1, 1), (2, 2), (1, 2), (2, 1), (3, 3)]))
    height, width = height * stride[0], width * stride[1]
    inputs, outputs = (16 * data.draw(st.integers(1, 5)) for _ in range(2))
    kernel = [2 * data.draw(st.integers(0, 2)) + 1 for _ in range(2)]
    x = spikes(number, inputs, height, width, share=data.draw(st.sampled_from([0.05, 0.5, 1.0])))
    if data.draw(st.booleans()):
        x = x.contiguous(memory_format=torch.channels_last)
    x[0, 0, 0, 0] = 1
    weight, bias = drawn(outputs, inputs, *kernel), drawn(outputs, seed=5)
    assert_same_function(x=x, weight=weight, bias=bias, stride=stride)


@pytest.mark.parametrize("value", [2.0, 255.0, -0.5, 2.0**-20, 3 * 2.0**40])
def test_values_of_eight_bits_are_as_exact(value):
    """Sums of spikes and averages of a few are such values."""
    assert_same_function(x=spikes(4, 16, 6, 6) * value, weight=drawn(32, 16, 3, 3))


@pytest.mark.parametrize("value", [257.0, 1 / 3, 1 + 2**-20, float("nan")])
@strides
def test_other_values_are_not_computed_by_tiles(value, stride):
    x, weight = spikes(4, 16, 6, 6), drawn(32, 16, 3, 3)
    x[3, 15, 5, 5] = value
    found, expected = (function(x, weight, stride=stride) for function in (by_tiles, by_torch))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    if value == value:
        assert_same_function(x=x, weight=weight, stride=stride)


def test_three_terms_are_a_float32_and_two_are_not(monkeypatch):
    """The negative control of the limit above."""
    tensors = {"x": spikes(4, 64, 8, 8), "weight": drawn(32, 64, 3, 3)}
    expected = outputs_of(by_torch, torch.float64, **tensors)
    assert errors(outputs_of(by_tiles, torch.float32, **tensors), expected)["out"] < LIMITS["out"]
    monkeypatch.setattr(calls, "EXACT_TERMS", calls.GRAD_TERMS)
    assert errors(outputs_of(by_tiles, torch.float32, **tensors), expected)["out"] > LIMITS["out"]


@pytest.mark.slow
def test_the_forward_pass_is_no_worse_than_float32():
    tensors = {"x": spikes(16, 128, 8, 8), "weight": drawn(64, 128, 3, 3)}
    expected = outputs_of(by_torch, torch.float64, **tensors)
    mine, plain = (
        errors(outputs_of(function, torch.float32, **tensors), expected)["out"]
        for function in (by_tiles, by_torch)
    )
    assert mine < 3 * plain


@strides
@pytest.mark.parametrize(
    "wrong",
    [lambda w: w.flip(2, 3), lambda w: w.transpose(2, 3), lambda w: w.roll(16, 0)],
    ids=["flipped", "transposed", "tiles exchanged"],
)
def test_another_convolution_is_noticed(wrong, stride):
    x, weight = spikes(4, 16, 6, 6), drawn(32, 16, 3, 3)
    found = outputs_of(by_tiles, torch.float32, x=x, weight=weight, stride=stride)
    expected = outputs_of(by_torch, torch.float64, x=x, weight=wrong(weight), stride=stride)
    assert all(error > 0.1 for name, error in errors(found, expected).items() if name != "weight")


def test_weights_of_different_sizes():
    weight = drawn(16, 16, 3, 3) * 10.0 ** torch.arange(-12, 4).float().view(16, 1, 1, 1)
    found = by_tiles(spikes(2, 16, 6, 6), weight)
    expected = by_torch(spikes(2, 16, 6, 6).double(), weight.double())
    worst = (found - expected).abs().amax((0, 2, 3)) / expected.abs().amax((0, 2, 3))
    assert worst.max() < LIMITS["out"]


@pytest.mark.skipif(not HAS_TILES, reason="emulated tiles are for one thread")
@strides
def test_same_bits_on_any_number_of_threads(stride):
    x, weight = spikes(33, 32, *(9 * s for s in stride)), drawn(48, 32, 3, 3)
    options = {"x": x, "weight": weight, "bias": drawn(48), "stride": stride}
    once, threads = outputs_of(by_tiles, torch.float32, **options), torch.get_num_threads()
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            found = outputs_of(by_tiles, torch.float32, **options)
            # torch computes the gradient of the bias.
            assert all(torch.equal(found[name], once[name]) for name in ("out", "x", "weight"))
    finally:
        torch.set_num_threads(threads)


@strides
def test_spikes_are_kept_as_bytes_and_other_values_as_floats(stride):
    x, weight = spikes(4, 16, 6, 6), drawn(32, 16, 3, 3).requires_grad_()
    for images, dtype in ((x, torch.uint8), (2 * x, torch.float32)):
        out = by_tiles(images, weight, stride=stride)  # older versions of torch free it with `out`
        kept = out.grad_fn.saved_tensors[0]
        assert kept.dtype == dtype
        assert torch.equal(kept.permute(0, 3, 1, 2).float(), images)


def test_without_gradients_nothing_is_kept():
    with torch.no_grad():
        found = by_tiles(spikes(4, 16, 6, 6), drawn(32, 16, 3, 3))
    assert torch.equal(found, by_tiles(spikes(4, 16, 6, 6), drawn(32, 16, 3, 3)))


@pytest.mark.slow
@strides
def test_a_frozen_layer(stride):
    """It may keep its packed weights."""
    layer = SpikeConv2d(16, 128, 3, stride=stride, padding=1).requires_grad_(False)
    x = spikes(64, 16, 16, 16, share=0.5)
    for _ in range(2):
        expected = by_torch(x, layer.weight, layer.bias, stride=stride)
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bits", [-1, 0x7FFFFFFF, 0x7FC00000, 0x7F800001])
def test_a_gradient_that_is_nan_stays_nan(bits):
    x, weight = spikes(2, 16, 4, 4).requires_grad_(), drawn(16, 16, 3, 3).requires_grad_()
    x.data[:] = 1
    out = by_tiles(x, weight)
    grad = torch.zeros_like(out)
    grad[1, 3, 2, 2] = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    out.backward(grad)
    assert x.grad[1, :, 1:, 1:].isnan().all() and not x.grad[0].isnan().any()
    assert weight.grad[3].isnan().all() and not weight.grad[4].isnan().any()
