"""The mean over rotations, and its form as a convolution."""

import torch
from torch.nn.functional import conv2d

from asnn.exporters.graph.lowering import lower_part
from asnn.models.layers.p4 import GroupPool


def test_it_is_the_mean_over_the_slower_axis_of_the_channels():
    x = torch.randn(2, 3, 8, 2, 2)
    y = GroupPool(2)(x)
    assert y.shape == (2, 3, 2, 2, 2)
    assert torch.allclose(y[:, :, 1], x[:, :, [1, 3, 5, 7]].mean(2))
    rolled = x.unflatten(2, (4, 2)).roll(1, 2).flatten(2, 3)
    assert torch.allclose(GroupPool(2)(rolled), y, atol=1e-6)


def test_it_is_exported_as_a_convolution_of_single_pixels():
    pool = GroupPool(3)
    (node,) = lower_part(pool, "pool", "pool", "input", steps=2).nodes
    weight, bias = torch.from_numpy(node.weights[0]), torch.from_numpy(node.biases[0])
    assert weight.shape == (3, 12, 1, 1) and not bias.any()
    x = torch.randn(2, 4, 12, 5, 5)
    found = conv2d(x.flatten(0, 1), weight, bias).unflatten(0, (2, 4))
    assert torch.allclose(found, pool(x), atol=1e-6)
