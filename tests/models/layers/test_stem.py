"""The first layer of a network."""

import pytest
import torch
from torch import nn

from asnn.coding.factory import create_coding
from asnn.models.layers.stem import Stem


def stem(channels):
    torch.manual_seed(0)
    make = lambda: nn.Conv2d(channels, 4, 3)  # noqa: E731
    return Stem(create_coding("direct", steps=2), make, mean=[0.5] * channels, std=[2.0] * channels)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("turned", [False, True])
def test_outputs_of_images_are_channels_last(channels, turned):
    image = torch.rand(3, channels, 8, 8)
    x = image.rot90(1, (2, 3)) if turned else image
    layer = stem(channels)
    out = layer(x.expand(2, *x.shape))
    assert out[0].is_contiguous(memory_format=torch.channels_last)
    plain = layer.analog((x.contiguous() - 0.5) / 2)
    torch.testing.assert_close(out[0], plain)
