"""Convolutions of spikes compared with torch's in float64: outputs, gradients, and their path."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import conv2d

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.kernels.contract import Convolution
from asnn.kernels.convolution import (
    DENSE,
    Paths,
    paths_for,
    share_active,
    spike_convolution,
)
from asnn.kernels.costs import FORWARD, INPUTS, NARROW, WEIGHTS, Machine, cheapest, cost, fits_tiles
from asnn.kernels.cpu import backend as cpu
from asnn.models import use_kernels
from asnn.models.layers.convolution import SpikeConv2d


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(number, channels, height, width, *, density=0.2, spikes=False):
    """Return images with exactly that share of nonzero values in each."""
    size = channels * height * width
    keys = torch.rand(number, size, generator=torch.Generator().manual_seed(3))
    active = keys.argsort(1) < round(density * size)
    values = torch.ones(number, size) if spikes else drawn(number, size, seed=1).sign() * 0.5 + 2.5
    return (active * values).view(number, channels, height, width)


EVENTS = Paths("events", "events", "dense")
TILES = Paths("tiles", "tiles", "tiles")


def by_kernels(x, weight, bias, *, stride=(1, 1), padding=(0, 0), prefix=None, paths=EVENTS):
    (out, channels, *kernel), (number, _, *size) = weight.shape, x.shape
    shape = Convolution(
        number, tuple(size), (channels, out), tuple(kernel), tuple(stride), tuple(padding)
    )
    return spike_convolution(x, weight, bias, prefix=prefix, backend=cpu, shape=shape, paths=paths)


def by_torch(x, weight, bias, *, stride=(1, 1), padding=(0, 0), prefix=None):
    out = conv2d(x, weight, bias, stride, padding)
    return out if prefix is None else torch.cat([prefix, out])


def outputs_of(function, tensors, dtype, **options):
    """Return output and gradients of a weighted sum of it, by name."""
    leaves = {
        name: None if tensor is None else tensor.detach().to(dtype).requires_grad_()
        for name, tensor in tensors.items()
    }
    prefix = leaves.pop("prefix", None)
    out = function(*leaves.values(), prefix=prefix, **options)
    (out * drawn(*out.shape, seed=7).to(dtype)).sum().backward()
    leaves["prefix"] = prefix
    grads = {name: leaf.grad for name, leaf in leaves.items() if leaf is not None}
    return {"out": out.detach(), **grads}


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        if value.numel():
            worst = (found[name].double() - value).abs().max() / value.abs().max().clamp(min=1e-9)
            assert worst < 1e-5, f"{name}: {worst:.1e}"


def assert_same_function(x, weight, bias=None, *, prefix=None, **options):
    tensors = {"x": x, "weight": weight, "bias": bias, "prefix": prefix}
    found = outputs_of(by_kernels, tensors, torch.float32, **options)
    assert_close(found, outputs_of(by_torch, tensors, torch.float64, **options))


@pytest.mark.parametrize("out", [16, 32, 48, 64, 80, 96, 112, 160])
@pytest.mark.parametrize("biased", [False, True], ids=["plain", "bias"])
def test_output_channels(out, biased):
    bias = drawn(out, seed=4) if biased else None
    assert_same_function(images(5, 6, 5, 7), drawn(out, 6, 3, 3), bias, padding=(1, 1))


@pytest.mark.parametrize(
    "kernel", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (1, 5), (5, 1), (2, 3), (4, 3)], ids=str
)
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0), (0, 4), (5, 5)], ids=str)
def test_kernels_and_paddings(kernel, padding):
    assert_same_function(images(4, 3, 6, 9), drawn(32, 3, *kernel), drawn(32), padding=padding)


@pytest.mark.parametrize("stride", [(1, 2), (2, 1), (2, 2), (3, 2), (7, 9)], ids=str)
@pytest.mark.parametrize("size", [(8, 8), (9, 6), (5, 11)], ids=str)
def test_strides(stride, size):
    weight = drawn(16, 4, 3, 2)
    assert_same_function(images(4, 4, *size), weight, drawn(16), stride=stride, padding=(1, 1))


@pytest.mark.parametrize("density", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("spikes", [False, True], ids=["values", "spikes"])
def test_no_active_value_few_and_all(density, spikes):
    x = images(3, 5, 4, 6, density=density, spikes=spikes)
    assert_same_function(x, drawn(48, 5, 3, 3), drawn(48), padding=(1, 1))


@pytest.mark.parametrize("value", [2.0, -1.0, 0.5, 1 + 2**-20, 256.0])
@pytest.mark.parametrize("image", [0, 13, 39])
def test_another_value_among_spikes_is_not_taken_for_1(value, image):
    """Spikes may be kept in a byte for the backward pass, other values may not."""
    x = images(40, 3, 5, 5, spikes=True)
    x[image, 2, 4, 4] = value
    weight = drawn(16, 3, 3, 3)
    assert_same_function(x, weight)
    # The negative control: the gradient of the weights depends on that value.
    found, ones = (
        outputs_of(by_kernels, {"x": y, "weight": weight, "bias": None}, torch.float32)["weight"]
        for y in (x, (x != 0).float())
    )
    assert not torch.equal(found, ones)


def test_spikes_changed_after_the_forward_pass_are_noticed():
    for order in (torch.contiguous_format, torch.channels_last):
        x = images(4, 3, 6, 6, spikes=True).contiguous(memory_format=order)
        weight = drawn(16, 3, 3, 3).requires_grad_()
        expected = outputs_of(by_kernels, {"x": x, "weight": weight, "bias": None}, torch.float32)
        out = by_kernels(x, weight, None)
        x.zero_()
        try:
            (out * drawn(*out.shape, seed=7)).sum().backward()
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error)
        else:
            assert torch.equal(weight.grad, expected["weight"])


def test_more_images_than_blocks():
    assert_same_function(images(70, 2, 3, 3), drawn(16, 2, 2, 2))


def test_a_prefix_of_images():
    prefix = drawn(3, 16, 5, 5)
    assert_same_function(images(4, 2, 5, 5), drawn(16, 2, 3, 3), prefix=prefix, padding=(1, 1))


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_any_shape(data):
    def pair(low, high):
        return data.draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    size, kernel, stride, padding = pair(1, 8), pair(1, 5), pair(1, 3), pair(0, 3)
    assume(all(s + 2 * p >= k for s, p, k in zip(size, padding, kernel, strict=True)))
    number, channels = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))
    out = 16 * data.draw(st.integers(1, 6))
    density = data.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    bias = drawn(out, seed=5) if data.draw(st.booleans()) else None
    x = images(number, channels, *size, density=density)
    if data.draw(st.booleans()):
        x = x.contiguous(memory_format=torch.channels_last)
    paths = data.draw(
        st.sampled_from(
            [EVENTS, EVENTS._replace(forward="dense"), EVENTS._replace(weights="dense")]
        )
    )
    weight = drawn(out, channels, *kernel)
    tensors = {"x": x, "weight": weight, "bias": bias}
    options = {"stride": stride, "padding": padding}
    found = outputs_of(by_kernels, tensors, torch.float32, paths=paths, **options)
    expected = outputs_of(by_torch, tensors, torch.float64, **options)
    # Sums of few gradients may cancel.
    assume(all(value.abs().max() > 1e-2 or not value.any() for value in expected.values()))
    assert_close(found, expected)


@pytest.mark.parametrize(
    ("wrong", "options"),
    [
        (lambda w: w.flip(2, 3), {}),
        (lambda w: w.transpose(2, 3), {}),
        (lambda w: w.roll(16, 0), {}),
        (lambda w: w, {"padding": (1, 0)}),
    ],
    ids=["flipped", "transposed", "vectors exchanged", "shifted"],
)
def test_another_convolution_is_noticed(wrong, options):
    """The negative control of the tests above."""
    tensors = {"x": images(4, 3, 6, 6), "weight": drawn(32, 3, 3, 3), "bias": None}
    found = outputs_of(by_kernels, tensors, torch.float32)
    others = {**tensors, "weight": wrong(tensors["weight"])}
    with pytest.raises(AssertionError):
        assert_close(found, outputs_of(by_torch, others, torch.float64, **options))


def test_only_the_requested_gradients():
    x, weight = images(4, 3, 6, 6), drawn(16, 3, 3, 3)
    everything = outputs_of(by_kernels, {"x": x, "weight": weight, "bias": None}, torch.float32)
    for name in ("x", "weight"):
        leaves = {"x": x.clone(), "weight": weight.clone()}
        leaves[name].requires_grad_()
        out = by_kernels(leaves["x"], leaves["weight"], None)
        (out * drawn(*out.shape, seed=7)).sum().backward()
        assert torch.equal(leaves[name].grad, everything[name])


@pytest.fixture
def calls(monkeypatch):
    """The names of the kernels that are called, in order, on a machine without tiles."""
    found = []
    monkeypatch.setattr(cpu, "has_tiles", lambda: False)

    def recorded(name, kernel):
        def record(*args, **options):
            found.append(name)
            return kernel(*args, **options)

        return record

    for name in ("convolve_events", "weight_grad_events"):
        monkeypatch.setattr(cpu, name, recorded(name, getattr(cpu, name)))
    return found


def layer_of(channels=64, out=64, kernel=3, **options):
    torch.manual_seed(0)
    return SpikeConv2d(channels, out, kernel, **options)


def shape_of(channels, out, size, kernel=3, stride=1):
    pad = kernel // 2
    return Convolution(
        20, (size, size), (channels, out), (kernel, kernel), (stride, stride), (pad, pad)
    )


NO_TILES = Machine(wide=True, tiles=False)
WITH_TILES = Machine(wide=True, tiles=True)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_the_cost_of_each_way(share):
    """The formulas for one layer: 64 to 64 channels, 3×3, 20 images of 8×8."""
    shape, pixels = shape_of(64, 64, 8), 20 * 64
    products = pixels * 64 * 64 * 9
    for costs in (FORWARD, WEIGHTS):
        dense = costs.dense[0] * products
        assert cost("dense", shape, costs, share, NO_TILES) == pytest.approx(dense)
        narrow = cost("dense", shape, costs, share, NO_TILES._replace(wide=False))
        assert narrow == pytest.approx(NARROW * dense)
        events = pixels * (costs.pixel + 64 * costs.read + 64 * costs.written)
        events += share * costs.spike[0] * products
        assert cost("events", shape, costs, share, NO_TILES) == pytest.approx(events)
        tiles = 64 * pixels * (costs.tile_read + costs.tile_written)
        tiles += 20 * 9 * 9 * 9 * 64 * 64 * costs.tile + 9 * 64 * 64 * costs.tile_weight
        assert cost("tiles", shape, costs, share, WITH_TILES) == pytest.approx(tiles)
        assert cost("tiles", shape, costs, share, NO_TILES) == float("inf")


def test_rows_of_the_kernel_are_padded_to_a_tile():
    """Three taps of 16 channels are 48 values, which are padded to 64."""
    sixteen = shape_of(16, 32, 8)
    found = cost("tiles", sixteen, FORWARD, 0.0, WITH_TILES)
    products = 20 * 9 * 9 * 3 * 64 * 32
    others = 20 * 64 * (16 + 32) * FORWARD.tile_read + 9 * 16 * 32 * FORWARD.tile_weight
    assert found == pytest.approx(products * FORWARD.tile + others)


def test_with_a_stride_the_pixels_of_the_output_count():
    """Of three taps of 16 channels in a row, the outer two are a run of 32; one is padded."""
    strided = shape_of(16, 32, 8, stride=2)
    found = cost("tiles", strided, FORWARD, 0.0, WITH_TILES)
    products = 20 * 5 * 5 * 3 * (32 + 32) * 32
    others = 20 * (64 * 16 * FORWARD.tile_read + 16 * 32 * FORWARD.tile_written)
    others += 9 * 16 * 32 * FORWARD.tile_weight
    assert found == pytest.approx(products * FORWARD.tile + others)


def limit(costs):
    """Return the share up to which events are cheaper than the dense convolution."""
    machine = Machine(cpu.has_wide_registers(), tiles=False)
    none, all_ = (
        cost("events", shape_of(64, 64, 8), costs, share, machine) for share in (0.0, 1.0)
    )
    return (cost("dense", shape_of(64, 64, 8), costs, 0.0, machine) - none) / (all_ - none)


def test_where_events_pay():
    """In wide layers with few spikes; not in narrow ones, nor with a 1×1 kernel."""
    silent, busy = torch.zeros(20, 64, 8, 8), torch.ones(20, 64, 8, 8)
    learning = {"machine": NO_TILES, "learns": True}
    assert paths_for(shape_of(64, 64, 8), silent, **learning) == EVENTS
    assert paths_for(shape_of(64, 64, 8), busy, **learning) == DENSE
    only = Paths("events", "dense", "dense")
    assert paths_for(shape_of(64, 64, 8), silent, machine=NO_TILES, learns=False) == only
    assert paths_for(shape_of(16, 16, 32), torch.zeros(20, 16, 32, 32), **learning) == DENSE
    assert paths_for(shape_of(64, 16, 8, kernel=1), silent, **learning) == DENSE


def test_where_tiles_pay():
    """Wherever they fit, except for few spikes and for values that are no spikes."""
    shape, spikes = shape_of(64, 64, 8), images(20, 64, 8, 8, density=0.5, spikes=True)
    learning = {"machine": WITH_TILES, "learns": True}
    assert paths_for(shape, spikes, **learning) == TILES
    values = spikes * (1 + 2**-20)
    assert paths_for(shape, values, **learning) == Paths("dense", "dense", "tiles")
    assert paths_for(shape, spikes, machine=WITH_TILES, learns=False).forward == "tiles"
    assert cheapest(shape_of(512, 512, 4), FORWARD, 0.001, WITH_TILES) == "events"
    assert cheapest(shape_of(512, 512, 4), INPUTS, 0.001, WITH_TILES) == "tiles"


@pytest.mark.parametrize(
    "shape",
    [
        shape_of(64, 64, 9, stride=2),
        shape_of(64, 64, 8, stride=3),
        Convolution(4, (8, 7), (64, 64), (3, 3), (1, 2), (1, 1)),
        shape_of(24, 64, 8),
        shape_of(64, 24, 8),
        Convolution(4, (8, 8), (64, 64), (3, 3), (1, 1), (0, 0)),
        Convolution(4, (8, 8), (64, 64), (2, 2), (1, 1), (1, 1)),
        Convolution(4, (8, 8), (64, 64), (3, 1), (1, 1), (1, 1)),
    ],
    ids=["odd size", "stride", "one stride", "in", "out", "padding", "even kernel", "one side"],
)
def test_shapes_that_tiles_do_not_fit(shape):
    assert not fits_tiles(shape)
    assert fits_tiles(shape_of(64, 64, 8))
    assert fits_tiles(shape_of(64, 64, 8, stride=2))
    assert fits_tiles(Convolution(4, (8, 8), (64, 64), (3, 1), (1, 1), (1, 0)))


@pytest.mark.parametrize(
    ("density", "taken"),
    [
        (0.0, ["convolve_events", "weight_grad_events"]),
        (limit(FORWARD) - 0.02, ["convolve_events", "weight_grad_events"]),
        ((limit(FORWARD) + limit(WEIGHTS)) / 2, ["weight_grad_events"]),
        (limit(WEIGHTS) + 0.02, []),
        (1.0, []),
    ],
)
@pytest.mark.parametrize("with_prefix", [False, True], ids=["alone", "prefix"])
def test_each_density_takes_its_path(calls, density, taken, with_prefix):
    layer = layer_of(padding=1)
    x = images(20, 64, 8, 8, density=density)
    assert share_active(x) == pytest.approx(density, abs=0.01)
    prefix = drawn(2, 64, 8, 8) if with_prefix else None
    tensors = {"x": x, "weight": layer.weight, "bias": layer.bias, "prefix": prefix}

    def module(x, weight, bias, *, prefix):
        own = layer_of(padding=1)
        own.weight, own.bias = nn.Parameter(weight), nn.Parameter(bias)
        leaves = (own.weight, own.bias)
        out = own.appended(prefix, x)
        # The caller reads the gradients of the tensors that it gave.
        for leaf, parameter in zip((weight, bias), leaves, strict=True):
            parameter.register_hook(lambda grad, leaf=leaf: setattr(leaf, "grad", grad))
        return out

    found = outputs_of(module, tensors, torch.float32)
    assert calls == taken
    assert_close(found, outputs_of(by_torch, tensors, torch.float64, padding=(1, 1)))


def test_dense_images_after_a_silent_first_one(calls):
    """The density is estimated from a sample; where it is wrong, the result is correct."""
    layer, x = layer_of(padding=1), images(16, 64, 6, 6, density=1.0)
    x[0] = 0
    out = layer(x)
    assert calls == ["convolve_events"]
    torch.testing.assert_close(out, nn.Conv2d.forward(layer, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("with_prefix", [False, True], ids=["alone", "prefix"])
def test_empty_batch(with_prefix):
    layer = layer_of(padding=1)
    x = torch.empty(0, 64, 6, 5, requires_grad=True)
    prefix = drawn(2, 64, 6, 5) if with_prefix else None
    out = layer.appended(prefix, x)
    assert out.shape == (2 if with_prefix else 0, 64, 6, 5)
    out.sum().backward()
    assert x.grad.shape == x.shape
    assert not layer.weight.grad.any()


def bits_of(**options):
    tensors = {"x": images(33, 5, 8, 8), "weight": drawn(80, 5, 3, 3), "bias": drawn(80)}
    return outputs_of(by_kernels, tensors, torch.float32, padding=(1, 1))


def test_same_input_same_bits_on_any_number_of_threads():
    once, threads = bits_of(), torch.get_num_threads()
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            found = bits_of()
            # torch computes the gradient of the input.
            assert all(torch.equal(found[name], once[name]) for name in ("out", "weight"))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("layer", "dtype"),
    [
        (layer_of(out=24), torch.float32),
        (layer_of(groups=2), torch.float32),
        (layer_of(dilation=2), torch.float32),
        (layer_of(padding="same"), torch.float32),
        (layer_of(padding=1, padding_mode="circular"), torch.float32),
        (layer_of().double(), torch.float64),
        (layer_of().bfloat16(), torch.bfloat16),
    ],
    ids=["24 channels", "groups", "dilation", "same", "circular", "float64", "bfloat16"],
)
def test_torch_computes_what_the_kernels_do_not_support(calls, layer, dtype):
    x = images(4, 64, 8, 8, density=0.1).to(dtype)
    out = layer(x)
    out.sum().backward()
    assert calls == []
    assert torch.equal(out, nn.Conv2d.forward(layer, x))


def test_torch_computes_the_reference_autocast_and_a_single_image(calls):
    layer, x = layer_of(padding=1), images(4, 64, 8, 8, density=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer(x[0]).shape == (64, 8, 8)
    use_kernels(layer, "reference")
    assert torch.equal(layer(x), nn.Conv2d.forward(layer, x))
    assert calls == []
    use_kernels(layer, "auto")
    layer(x)
    assert calls == ["convolve_events"]  # the negative control


@pytest.mark.parametrize("stride", [1, 2])
def test_frozen_weights_are_packed_once(stride):
    layer = layer_of(padding=1, stride=stride).requires_grad_(False)
    x = images(8, 64, 8, 8, spikes=True)
    for _ in range(2):  # the second time with the packed weights of the first
        with torch.no_grad():
            torch.testing.assert_close(layer(x), nn.Conv2d.forward(layer, x), rtol=1e-5, atol=1e-5)
        kept = layer._cached
    layer.weight.mul_(2)
    torch.testing.assert_close(layer(x), nn.Conv2d.forward(layer, x), rtol=1e-5, atol=1e-5)
    assert kept is None or layer._cached is not kept


def test_weights_that_learned_in_between_are_packed_again():
    layer = layer_of(padding=1).requires_grad_(False)
    x = images(8, 64, 8, 8, spikes=True)
    with torch.no_grad():
        layer(x)
    layer.requires_grad_(True)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)  # leaves no trace
    layer(x).square().sum().backward()
    optimizer.step()
    layer.requires_grad_(False)
    torch.testing.assert_close(layer(x), nn.Conv2d.forward(layer, x), rtol=1e-4, atol=1e-4)
    layer.weight.data = 2 * layer.weight.data
    torch.testing.assert_close(layer(x), nn.Conv2d.forward(layer, x), rtol=1e-4, atol=1e-4)


def test_inference_tensors_are_weights_too():
    with torch.inference_mode():
        layer = copy.deepcopy(layer_of(padding=1)).requires_grad_(False)
        x = images(8, 64, 8, 8, spikes=True)
        torch.testing.assert_close(layer(x), nn.Conv2d.forward(layer, x), rtol=1e-5, atol=1e-5)


def test_state_dicts_are_those_of_torchs_convolution():
    mine, plain = layer_of(padding=1), nn.Conv2d(64, 64, 3, padding=1)
    assert [*mine.state_dict()] == [*plain.state_dict()]
    plain.load_state_dict(mine.state_dict())
    x = images(4, 64, 8, 8)
    torch.testing.assert_close(mine(x), plain(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [3, 5])
def test_images_of_other_channels_are_refused(calls, channels):
    layer, silent = layer_of(), torch.zeros(4, channels, 8, 8)
    with pytest.raises(RuntimeError, match="channels"):
        layer(silent)


@pytest.mark.parametrize(
    ("kernel", "stride"), [(9, 1), ((9, 3), 1), (10, 3), (12, 1)], ids=["9", "9x3", "10/3", "12"]
)
def test_a_kernel_larger_than_the_image_is_refused(kernel, stride):
    layer = layer_of(kernel=kernel, stride=stride)
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        layer(images(4, 64, 8, 8, density=0.1))
