"""Integrating neurons by the fused kernels against the reference: the same output, the same
gradients, the same counts."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.core.errors import ConfigError
from asnn.kernels import convolution
from asnn.models import create_model
from asnn.models.layers.spiking import SpikingLayer, use_kernels, used_kernels
from asnn.models.neurons.integrate import Integrate
from tests.support.fused_layers import assert_close, inputs, layer_of, run_once

OPTIONS = [
    {},
    {"fraction": 0.5, "granularity": "channel", "surrogate": "atan"},
    {"leak": 0.8, "gain": 1.3, "surrogate": "triangular"},
    {"surrogate": "fast_sigmoid", "alpha": 3.0, "learn_amplitude": False},
    {"surrogate": "gaussian", "granularity": "channel"},
    {"gradient": "triangle", "fraction": 0.7, "granularity": "channel"},
    {"gradient": "straight-through", "fraction": 0.7},
]
POOLS = [None, nn.MaxPool2d(2)]


def integrating(shape, *, learn_amplitude=True, **options):
    return layer_of(shape, neuron=Integrate, learn_amplitude=learn_amplitude, **options)


@pytest.mark.parametrize("most", [1, 2, 5, 255])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("pool", POOLS, ids=["plain", "pool"])
def test_outputs_of_the_same_normalised_input_are_equal_bit_for_bit(options, pool, most):
    layer = integrating((13, 5, 6), steps=5, norm=None, pool=pool, most=most, **options)
    leaf = inputs(5, 3, (13, 5, 6)).detach() * 2
    fused, *_ = run_once(layer, leaf, "fused", steps=5)
    reference, *_ = run_once(layer, leaf, "reference", steps=5)
    assert torch.equal(fused, reference)
    counts = (fused / layer.neuron.amplitude.view(-1, 1, 1)).round()
    assert counts.max() == min(most, counts.max()) > (most > 1)
    assert 0.02 < (counts > 0).float().mean() < 0.98


def test_inputs_at_a_threshold():
    """Whole multiples of V are not above the threshold; the next number above them is."""
    neuron = Integrate(1, 9, most=4, amplitude=0.3)
    multiples = 0.3 * torch.arange(9.0)
    x = torch.stack([multiples, multiples.nextafter(torch.tensor(9.0))]).unsqueeze(0)
    layer = SpikingLayer(None, neuron)
    found = {}
    for kernels in ("fused", "reference"):
        use_kernels(layer, kernels)
        found[kernels] = layer(x)
    assert torch.equal(found["fused"], found["reference"])
    assert found["fused"][0, 0].ne(found["fused"][0, 1]).any()


@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("shape", "pool", "norm", "static", "training"),
    [
        ((8, 6, 6), nn.MaxPool2d(2), "folded", False, True),
        ((9, 5, 7), nn.MaxPool2d(2), "split", False, True),
        ((11,), None, "per-step", True, True),
        ((17,), None, "folded", False, False),
        ((5, 3, 3), nn.MaxPool2d((1, 2)), None, True, True),
    ],
    ids=lambda value: str(value) if not isinstance(value, nn.Module) else "pool",
)
def test_gradients_agree_with_the_reference_in_float64(
    options, shape, pool, norm, static, training, most
):
    steps = 4
    layer = integrating(shape, steps=steps, norm=norm, pool=pool, most=most, **options)
    layer.train(training)
    leaf = inputs(steps, 6, shape, static=static)
    out, grads, after = run_once(layer, leaf, "fused", steps=steps, static=static)
    expected_out, expected, expected_after = run_once(
        layer, leaf, "reference", steps=steps, static=static, dtype=torch.float64
    )
    torch.testing.assert_close(out.double(), expected_out, rtol=1e-6, atol=0)
    assert_close(grads, expected)
    assert_close(dict(after.named_buffers()), dict(expected_after.named_buffers()), 1e-5)


def test_an_amplitude_that_is_slightly_wrong_is_noticed():
    """The negative control of the tests above."""
    layer = integrating((13, 8, 8), steps=5, norm=None, most=3)
    leaf = inputs(5, 8, (13, 8, 8))
    _, expected, _ = run_once(layer, leaf, "reference", steps=5, dtype=torch.float64)
    reference, *_ = run_once(layer, leaf, "reference", steps=5)
    with torch.no_grad():
        layer.neuron.raw_amplitude += 1e-3
    wrong, grads, _ = run_once(layer, leaf, "fused", steps=5)
    assert not torch.equal(wrong > 0, reference > 0)
    with pytest.raises(AssertionError):
        assert_close(grads, expected)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_shape(data):
    steps, batch = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    channels = data.draw(st.sampled_from([1, 3, 8, 9, 31, 65]))
    image = data.draw(st.booleans())
    shape = (channels,)
    if image:
        shape = (channels, data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6)))
    window = tuple(data.draw(st.integers(1, min(size, 2))) for size in shape[1:])
    pool = nn.MaxPool2d(window) if image and data.draw(st.booleans()) else None
    static = data.draw(st.booleans()) and steps > 1
    layer = integrating(
        shape,
        steps=steps,
        norm=None,
        pool=pool,
        most=data.draw(st.sampled_from([1, 2, 7])),
        fraction=data.draw(st.floats(0.05, 1)),
        leak=data.draw(st.floats(0.05, 1)),
        granularity=data.draw(st.sampled_from(["layer", "channel"])),
    )
    leaf = inputs(steps, batch, shape, static=static)
    out, grads, _ = run_once(layer, leaf, "fused", steps=steps, static=static)
    plain_out, plain, _ = run_once(layer, leaf, "reference", steps=steps, static=static)
    assert torch.equal(out, plain_out)
    exact, expected, _ = run_once(
        layer, leaf, "reference", steps=steps, static=static, dtype=torch.float64
    )
    assume(torch.equal(out > 0, exact > 0))
    assume(torch.allclose(out.double(), exact))
    assert_close(grads, expected, 1e-4, reference_grads=plain)


def test_without_a_gradient_nothing_is_differentiated_and_the_norm_still_learns_its_statistics():
    layer = integrating((8, 4, 4), steps=3, gradient="none", learn_amplitude=False)
    means = {}
    for kernels in ("fused", "reference"):
        one = copy.deepcopy(layer)
        use_kernels(one, kernels)
        out = one(inputs(3, 4, (8, 4, 4)).unflatten(0, (3, 4)))
        assert not out.requires_grad
        means[kernels] = one.norm.state_dict()
    assert_close(means["fused"], means["reference"], 1e-5)


@pytest.mark.parametrize("most", [1, 5])
@pytest.mark.parametrize("pool", POOLS, ids=["plain", "pool"])
def test_counts_and_the_frozen_layer(pool, most):
    layer = integrating((11, 5, 4), steps=3, pool=pool, most=most, granularity="channel").eval()
    x = inputs(3, 4, (11, 5, 4)).detach().unflatten(0, (3, 4))
    found = {}
    for kernels in ("fused", "reference", "frozen"):
        one = copy.deepcopy(layer)
        use_kernels(one, "reference" if kernels == "reference" else "fused")
        if kernels == "frozen":
            one.freeze()
        counts, samples = [], []
        one.spike_observers.append(lambda number, neurons, to=counts: to.append(number))
        with torch.no_grad():
            out = one(x)
            one.count_observers.append(samples.append)
            assert torch.equal(one(x), out)
        assert one.used == ("reference" if kernels == "reference" else "fused")
        found[kernels] = out, counts[0], samples[0]
        assert counts[0].tolist() == samples[0].flatten(1).sum(1).tolist()
    for values in zip(*found.values(), strict=True):
        assert torch.equal(values[0], values[1])
        assert torch.equal(values[0], values[2])


def test_a_representation_and_a_subclass_stay_with_the_reference():
    class Other(Integrate):
        pass

    for neuron, why in (
        (Integrate(3, gradient="representation"), "for the gradient 'representation'"),
        (Other(3), "for Other"),
    ):
        layer = SpikingLayer(None, neuron)
        layer(torch.zeros(3, 2, 4))
        assert layer.used == "reference"
        use_kernels(layer, "fused")
        with pytest.raises(ConfigError, match=f"there is no fused kernel {why}"):
            layer(torch.zeros(3, 2, 4))


def test_other_channels_are_refused():
    layer = SpikingLayer(None, Integrate(3, 5, granularity="channel"))
    use_kernels(layer, "fused")
    with pytest.raises(ConfigError, match="amplitudes for 5 channels, the input has 4"):
        layer(torch.zeros(3, 2, 4))


@pytest.mark.parametrize("most", [1, 3])
def test_a_convolution_by_events_reads_multiples_of_an_amplitude(most):
    """The backward pass keeps spikes as bytes only where all are 0 or 1."""
    from asnn.kernels.contract import Convolution
    from asnn.kernels.cpu import backend as cpu

    seeded = torch.Generator().manual_seed(0)
    counts = torch.randint(1, most + 1, (6, 16, 8, 8), generator=seeded)
    x = 0.37 * counts * (torch.rand(counts.shape, generator=seeded) < 0.05)
    weight = torch.randn(16, 16, 3, 3, generator=seeded, requires_grad=True)
    shape = Convolution(6, (8, 8), (16, 16), (3, 3), (1, 1), (1, 1))
    paths = convolution.Paths("events", "events", "dense")
    out = convolution.spike_convolution(
        x, weight, None, prefix=None, backend=cpu, shape=shape, paths=paths
    )
    out.square().sum().backward()
    exact = weight.detach().double().requires_grad_()
    expected = nn.functional.conv2d(x.double(), exact, padding=1)
    expected.square().sum().backward()
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weight.grad.double(), exact.grad, rtol=1e-4, atol=1e-4)


def test_a_network_is_fused_throughout():
    torch.manual_seed(0)
    model = create_model(
        "lenet",
        in_shape=(1, 8, 8),
        classes=3,
        steps=3,
        widths=[8, 16],
        hidden=20,
        neuron="integrate",
        neuron_options={"most": 3, "amplitude": 0.4},
    ).eval()
    x = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        use_kernels(model, "fused")
        fused = model(x)
        assert used_kernels(model) == "fused"
        use_kernels(model, "reference")
        reference = model(x)
    assert used_kernels(model) == "reference"
    torch.testing.assert_close(fused, reference)
