"""P4 convolutions against a loop over rotations, and against a construction by coordinates."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d

from asnn.models import use_kernels
from asnn.models.layer import synaptic_weights
from asnn.models.layers.convolution import SpikeConv2d
from asnn.models.layers.p4 import P4Conv2d
from tests.support.turned import turned


def by_rotated_images(conv, x):
    """y[r] without a rotated kernel: x turned back by r, the rotations s with it, and the first
    kernel; then turned by r."""
    parts = []
    for r in range(4):
        images = turned(x, -r)
        if conv.weight.shape[2] == 4:
            images = images.unflatten(1, (4, -1)).roll(-r, 1).flatten(1, 2)
        weight = conv.weight.transpose(1, 2).flatten(1, 2)
        y = conv2d(images, weight, conv.bias, conv.stride, conv.padding)
        parts.append(turned(y, r))
    return torch.cat(parts, 1)


def by_coordinates(conv):
    """The expanded weight entry by entry: [r, o, s, c, i, j] is w[o, c, (s - r) mod 4] at the place
    that r quarter turns, (i, j) -> (k - 1 - j, i), lead to (i, j)."""
    outputs, inputs, of_input, k, _ = conv.weight.shape
    full = torch.empty(4, outputs, of_input, inputs, k, k, dtype=conv.weight.dtype)
    for r in range(4):
        for s in range(of_input):
            for i in range(k):
                for j in range(k):
                    to = (i, j)
                    for _ in range(r):
                        to = (k - 1 - to[1], to[0])
                    origin = conv.weight[:, :, (s - r) % of_input, i, j]
                    full[r, :, s, :, to[0], to[1]] = origin.detach()
    return full.reshape(4 * outputs, of_input * inputs, k, k)


@st.composite
def convolutions(draw):
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, 2))
    side = draw(st.integers(1, 3)) * stride + kernel - 2 * padding
    side += stride * (side < 1) * (1 - side)
    lifts, bias = draw(st.booleans()), draw(st.booleans())
    torch.manual_seed(draw(st.integers(0, 100)))
    sizes = draw(st.integers(1, 3)), draw(st.integers(1, 3)), kernel
    conv = P4Conv2d(*sizes, lifts=lifts, stride=stride, padding=padding, bias=bias)
    return conv.double(), side


@settings(deadline=None, max_examples=25)
@given(convolutions())
def test_it_is_the_loop_and_the_construction_by_coordinates_and_commutes(case):
    conv, side = case
    x = torch.randn(2, conv.in_channels, side, side, dtype=torch.float64)
    with torch.no_grad():
        y = conv(x)
        assert torch.equal(conv.effective()[0], by_coordinates(conv))
        assert torch.allclose(y, by_rotated_images(conv, x), atol=1e-12)
        moved = turned(x)
        if conv.weight.shape[2] == 4:
            moved = moved.unflatten(1, (4, -1)).roll(1, 1).flatten(1, 2)
        found = turned(conv(moved), -1).unflatten(1, (4, -1))
        assert torch.allclose(found.roll(-1, 1).flatten(1, 2), y, atol=1e-12)


def test_an_image_that_is_turned_is_another_one_without_the_roll_of_the_rotations():
    torch.manual_seed(0)
    conv = P4Conv2d(1, 3, 3, lifts=True, padding=1)
    x = torch.randn(1, 1, 5, 5)
    with torch.no_grad():
        assert not torch.allclose(turned(conv(turned(x)), -1), conv(x), atol=1e-3)


def test_windows_that_leave_a_row_over_do_not_commute():
    """A stride of 2 with an odd kernel on an even side, which networks refuse."""
    torch.manual_seed(0)
    conv = P4Conv2d(1, 3, 3, lifts=True, padding=1, stride=2)
    x = torch.randn(1, 1, 6, 6)
    with torch.no_grad():
        found = turned(conv(turned(x)), -1).unflatten(1, (4, -1)).roll(-1, 1).flatten(1, 2)
        assert not torch.allclose(found, conv(x), atol=1e-3)


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    conv = P4Conv2d(2, 2, 3, padding=1).double()
    x = torch.randn(1, 8, 3, 3, dtype=torch.float64, requires_grad=True)

    def of_weight(weight, x):
        return torch.func.functional_call(conv, {"weight": weight}, (x,))

    weight = conv.weight.detach().requires_grad_()
    assert torch.autograd.gradcheck(of_weight, (weight, x))
    of_weight(weight, x).sum().backward()
    assert int(weight.grad.count_nonzero()) == weight.numel()


def test_the_expanded_layer_computes_the_same_with_weights_of_its_own():
    torch.manual_seed(0)
    conv = P4Conv2d(2, 3, 3, padding=1)
    plain = conv.expanded()
    assert type(plain) is SpikeConv2d and plain.weight.shape == (12, 8, 3, 3)
    x = torch.randn(2, 8, 5, 5)
    with torch.no_grad():
        assert torch.equal(plain(x), conv(x))
        plain.weight.zero_()
        assert bool(conv.weight.any())
    (counted,) = synaptic_weights(conv)
    assert counted.numel() == 4 * conv.weight.numel()


@pytest.mark.slow
def test_kernels_for_sparse_spikes_agree_with_the_dense_convolution():
    torch.manual_seed(0)
    conv = P4Conv2d(8, 8, 3, padding=1)
    spikes = (torch.rand(4, 32, 12, 12) < 0.05).float()
    fast = conv(spikes)
    fast.square().sum().backward()
    gradient, conv.weight.grad = conv.weight.grad, None
    use_kernels(conv, "reference")
    dense = conv(spikes)
    dense.square().sum().backward()
    assert torch.allclose(fast, dense, atol=1e-5)
    assert torch.allclose(gradient, conv.weight.grad, rtol=1e-4, atol=1e-3)
