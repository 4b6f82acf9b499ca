"""The fused layer against the reference: the same spikes, the same gradients."""

import contextlib
import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

from asnn.models.layers.spiking import use_kernels
from tests.support.fused_layers import assert_close, inputs, layer_of, run_once

OPTIONS = [
    {},
    {"granularity": "channel"},
    {"reset": "zero"},
    {"reset": "none", "surrogate": "atan"},
    {"learn_reset_size": True, "learn_threshold": True},
    {"learn_reset_size": True, "granularity": "channel", "surrogate": "fast_sigmoid"},
    {"learn_threshold": True, "surrogate": "triangular"},
    {"reset": "zero", "learn_threshold": True, "granularity": "channel", "alpha": 2.5},
    {"reset": "none", "learn_threshold": True},
    {"learn_schedule": False, "surrogate": "gaussian"},
    {"schedule": "shared", "reset": "zero", "bounded": True},
    {"schedule": "shared", "granularity": "channel", "learn_reset_size": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("pool", [None, nn.MaxPool2d(2)], ids=["plain", "pool"])
def test_spikes_of_the_same_normalised_input_are_equal_bit_for_bit(options, pool):
    layer = layer_of((13, 5, 6), steps=5, norm=None, pool=pool, **options)
    leaf = inputs(5, 3, (13, 5, 6))
    fused, *_ = run_once(layer, leaf, "fused", steps=5)
    reference, *_ = run_once(layer, leaf, "reference", steps=5)
    assert torch.equal(fused, reference)
    assert 0.02 < fused.mean() < 0.98


def test_a_leak_that_is_slightly_wrong_is_noticed():
    """The negative control of the test above."""
    layer = layer_of((13, 8, 8), steps=5, norm=None)
    leaf = inputs(5, 8, (13, 8, 8))
    reference, *_ = run_once(layer, leaf, "reference", steps=5)
    with torch.no_grad():
        layer.neuron.leak[2] += 1e-3
    wrong, grads, _ = run_once(layer, leaf, "fused", steps=5)
    assert not torch.equal(wrong, reference)
    _, expected, _ = run_once(layer, leaf, "reference", steps=5, dtype=torch.float64)
    layer.neuron.leak.data[2] -= 1e-3
    _, expected, _ = run_once(layer, leaf, "reference", steps=5, dtype=torch.float64)
    with pytest.raises(AssertionError):
        assert_close(grads, expected)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    ("shape", "pool", "norm", "static", "training"),
    [
        ((8, 6, 6), nn.MaxPool2d(2), "folded", False, True),
        ((8, 6, 6), nn.MaxPool2d(2), "folded", True, True),
        ((9, 5, 7), nn.MaxPool2d(2), "split", False, True),
        ((11,), None, "per-step", False, True),
        ((11,), None, "per-step", True, True),
        ((3, 1, 5), nn.MaxPool2d((1, 2)), "shared", False, True),
        ((3, 5, 1), nn.MaxPool2d((2, 1)), "shared", True, True),
        ((17,), None, "folded", False, False),
        ((8, 4, 4), nn.MaxPool2d(2), "split", False, False),
        ((8, 4, 4), None, "per-step", True, False),
        ((8, 4, 4), None, None, False, True),
        ((5, 3, 3), nn.MaxPool2d(2), None, True, True),
    ],
    ids=lambda value: str(value) if not isinstance(value, nn.Module) else "pool",
)
def test_gradients_agree_with_the_reference_in_float64(
    options, shape, pool, norm, static, training
):
    steps = 4
    with pytest.warns(UserWarning) if norm == "shared" else contextlib.nullcontext():
        layer = layer_of(shape, steps=steps, norm=norm, pool=pool, **options).train(training)
    leaf = inputs(steps, 6, shape, static=static)
    spikes, grads, after = run_once(layer, leaf, "fused", steps=steps, static=static)
    expected_spikes, expected, expected_after = run_once(
        layer, leaf, "reference", steps=steps, static=static, dtype=torch.float64
    )
    assert torch.equal(spikes.double(), expected_spikes)
    assert_close(grads, expected)
    buffers = dict(expected_after.named_buffers())
    assert_close(dict(after.named_buffers()), buffers, 1e-5)
    assert {name: b.dtype for name, b in after.named_buffers() if not b.is_floating_point()} == {
        name: b.dtype for name, b in buffers.items() if not b.is_floating_point()
    }


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_shape(data):
    steps, batch = data.draw(st.integers(1, 9)), data.draw(st.integers(0, 5))
    image = data.draw(st.booleans())
    channels = data.draw(st.sampled_from([1, 3, 7, 8, 9, 16, 31, 65]))
    shape = (channels,)
    if image:
        shape = (channels, data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7)))
    window = tuple(data.draw(st.integers(1, min(size, 2))) for size in shape[1:])
    pool = nn.MaxPool2d(window) if image and data.draw(st.booleans()) else None
    norm = data.draw(st.sampled_from(["folded", "per-step", None]))
    static = data.draw(st.booleans()) and steps > 1
    values = batch * (shape[1] * shape[2] if image else 1)
    # The reference refuses to normalise a single value, and an empty batch has no statistics.
    assume(norm is None or values > 1)
    layer = layer_of(shape, steps=steps, norm=norm, pool=pool)
    leaf = inputs(steps, batch, shape, static=static)
    if batch == 0:
        use_kernels(layer, "fused")
        empty = leaf.expand(steps, *leaf.shape) if static else leaf.view(steps, 0, *shape)
        assert layer(empty).shape[:2] == (steps, 0)
        return
    spikes, grads, _ = run_once(layer, leaf, "fused", steps=steps, static=static)
    expected_spikes, expected, _ = run_once(
        layer, leaf, "reference", steps=steps, static=static, dtype=torch.float64
    )
    assume(torch.equal(spikes.double(), expected_spikes))
    plain_spikes, plain, _ = run_once(layer, leaf, "reference", steps=steps, static=static)
    assume(torch.equal(plain_spikes, spikes))
    # Sums may cancel, and the norm of a few equal values is ill-conditioned: then the reference
    # is not exact in float32 either.
    assert_close(grads, expected, 1e-4, reference_grads=plain)


def test_flips_after_a_batch_norm_are_few_and_near_the_threshold():
    steps, batch, shape = 6, 32, (24, 16, 16)
    layer = layer_of(shape, steps=steps)
    leaf = inputs(steps, batch, shape)
    fused, *_ = run_once(layer, leaf, "fused", steps=steps)
    reference, *_ = run_once(layer, leaf, "reference", steps=steps)
    differ = fused != reference
    # Membranes of the reference in float64, each neuron up to its first flip.
    with torch.no_grad():
        exact = copy.deepcopy(layer).double()
        y = exact.norm(leaf.detach().double().unflatten(0, (steps, batch)))
        p = exact.neuron.step_parameters()
        v, distance = torch.zeros_like(y[0]), []
        for t in range(steps):
            v = p.leak[t] * v + p.gain[t] * y[t]
            distance.append(v - p.threshold)
            v = v - p.threshold * fused[t]
    first = differ & (differ.cumsum(0) == 1)
    assert int(first.sum()) <= 20
    assert all(abs(value) < 1e-5 for value in torch.stack(distance)[first].tolist())


def test_same_input_same_threads_same_bits():
    layer = layer_of((24, 9, 9), steps=5, pool=nn.MaxPool2d(2))
    leaf = inputs(5, 7, (24, 9, 9))
    _, first, _ = run_once(layer, leaf, "fused", steps=5)
    _, second, _ = run_once(layer, leaf, "fused", steps=5)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_number_of_threads_does_not_matter():
    layer = layer_of((24, 9, 9), steps=5, pool=nn.MaxPool2d(2))
    leaf = inputs(5, 7, (24, 9, 9))
    threads = torch.get_num_threads()
    try:
        results = []
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            results.append(run_once(layer, leaf, "fused", steps=5)[:2])
    finally:
        torch.set_num_threads(threads)
    for spikes, grads in results[1:]:
        assert torch.equal(spikes, results[0][0])
        assert all(torch.equal(grads[name], results[0][1][name]) for name in grads)


def test_the_input_may_have_any_memory_format():
    layer = layer_of((9, 6, 6), steps=3, pool=nn.MaxPool2d(2))
    leaf = inputs(3, 4, (9, 6, 6))
    spikes, grads, _ = run_once(layer, leaf, "fused", steps=3)
    plain = leaf.detach().contiguous().requires_grad_()
    also, also_grads, _ = run_once(layer, plain, "fused", steps=3)
    assert torch.equal(spikes, also)
    assert_close(also_grads, grads, 1e-6)


def test_fewer_steps_than_the_schedule():
    layer = layer_of((9, 6, 6), steps=6, norm="per-step")
    leaf = inputs(4, 4, (9, 6, 6))
    spikes, grads, _ = run_once(layer, leaf, "fused", steps=4)
    expected_spikes, expected, _ = run_once(layer, leaf, "reference", steps=4, dtype=torch.float64)
    assert torch.equal(spikes.double(), expected_spikes)
    assert_close(grads, expected)


def test_nothing_of_the_size_of_the_membranes_is_saved():
    steps, batch, shape = 8, 4, (16, 8, 8)
    layer = layer_of(shape, steps=steps)
    x = inputs(steps, batch, shape).unflatten(0, (steps, -1))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (saved.append(t), t)[1], lambda t: t):
        use_kernels(layer, "fused")
        layer(x)
    large = [t for t in saved if t.numel() >= x.numel()]
    assert len(large) == 1
    assert large[0].data_ptr() == x.data_ptr()


def test_vectors_of_any_width_give_the_same(monkeypatch):
    """The width of the vectors of channels depends on the machine; the result does not."""
    from asnn.kernels.cpu import backend as cpu

    layer = layer_of((29, 4, 4), steps=3, pool=nn.MaxPool2d(2))
    leaf = inputs(3, 4, (29, 4, 4))
    found = []
    for wide in (False, cpu.has_wide_registers()):
        monkeypatch.setattr(cpu, "has_wide_registers", lambda wide=wide: wide)
        spikes, grads, _ = run_once(layer, leaf, "fused", steps=3)
        found.append((spikes, grads))
    assert torch.equal(found[0][0], found[1][0])
    for name, value in found[0][1].items():
        assert torch.equal(value, found[1][1][name]), name
