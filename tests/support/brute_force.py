"""Operations counted one by one: a loop over every input and every weight that it meets.

The loops run over nested lists, because indexing a tensor is a hundred times slower.
"""

from itertools import product

import torch
from torch import nn


def pairs(value):
    return value if isinstance(value, tuple) else (value, value)


def conv_operations(x, layer, *, dense=False):
    """Count products of an image `[C, H, W]` with a convolution; `dense`: those with 0 too."""
    outputs, inputs, kernel_height, kernel_width = layer.weight.shape
    (sy, sx), (py, px), (dy, dx) = map(pairs, (layer.stride, layer.padding, layer.dilation))
    channels, height, width = x.shape
    out_height = (height + 2 * py - dy * (kernel_height - 1) - 1) // sy + 1
    out_width = (width + 2 * px - dx * (kernel_width - 1) - 1) // sx + 1
    of_group = outputs // layer.groups
    values, weight = x.tolist(), layer.weight.tolist()
    count = 0
    for c, y, z in product(range(channels), range(height), range(width)):
        if values[c][y][z] == 0 and not dense:
            continue
        group = c // inputs
        for i, j in product(range(kernel_height), range(kernel_width)):
            row, column = y + py - dy * i, z + px - dx * j
            if row % sy or column % sx:
                continue
            if not (0 <= row // sy < out_height and 0 <= column // sx < out_width):
                continue
            for o in range(group * of_group, (group + 1) * of_group):
                count += dense or weight[o][c % inputs][i][j] != 0
    return count


def linear_operations(x, layer, *, dense=False):
    """Count products of a vector `[F]` with a linear layer."""
    return products(x, layer.weight, dense=dense)


def products(x, weight, *, dense=False):
    """Count products of a vector `[F]` with weights `[out, F]`."""
    values, weight = x.tolist(), weight.tolist()
    return sum(
        1
        for i in range(len(values))
        for o in range(len(weight))
        if dense or (values[i] != 0 and weight[o][i] != 0)
    )


def pool_operations(x, layer, *, dense=False):
    """Count the values of an image `[C, H, W]` that are summed up in windows."""
    (ky, kx), (sy, sx), (py, px) = map(pairs, (layer.kernel_size, layer.stride, layer.padding))
    channels, height, width = x.shape
    out_height, out_width = (height + 2 * py - ky) // sy + 1, (width + 2 * px - kx) // sx + 1
    values = x.tolist()
    count = 0
    for c, row, column in product(range(channels), range(out_height), range(out_width)):
        for i, j in product(range(ky), range(kx)):
            y, z = row * sy + i - py, column * sx + j - px
            inside = 0 <= y < height and 0 <= z < width
            count += inside and (dense or values[c][y][z] != 0)
    return count


def attention_operations(qkv, layer, *, dense=False):
    """Count the products of Kᵀ V and Q (Kᵀ V) of `[3C, H, W]`, head by head."""
    channels = qkv.shape[0] // 3
    depth = channels // layer.heads
    # [heads, depth, tokens]
    q, k, v = qkv.flatten(1).view(3, layer.heads, depth, -1).tolist()
    tokens = range(len(q[0][0]))
    count = 0
    for head, i, j in product(range(layer.heads), range(depth), range(depth)):
        product_ij = 0.0
        for n in tokens:
            count += dense or (k[head][i][n] != 0 and v[head][j][n] != 0)
            product_ij += k[head][i][n] * v[head][j][n]
        for n in tokens:
            count += dense or (q[head][i][n] != 0 and product_ij != 0)
    return count


def operations(x, layer, *, dense=False):
    """Count the operations of one sample at one step."""
    if isinstance(layer, nn.Conv2d):
        return conv_operations(x, layer, dense=dense)
    if isinstance(layer, nn.Linear):
        return linear_operations(x.flatten(), layer, dense=dense)
    if isinstance(layer, nn.AvgPool2d):
        return pool_operations(x, layer, dense=dense)
    if hasattr(layer, "heads"):
        return attention_operations(x, layer, dense=dense)
    return x.numel() if dense else int(torch.count_nonzero(x))


def recurrent_operations(spikes, weight, *, dense=False):
    """Count the products of recurrent weights with the spikes of the step before, by step.

    Args:
        spikes: of one sample, `[T, F]`.
        weight: `[F, F]`, row o for the neuron that receives.
        dense: count spikes and weights of 0 too.
    """
    spikes, weight = spikes.tolist(), weight.tolist()
    counts = [0] * len(spikes)
    for t in range(1, len(spikes)):
        for i, sent in enumerate(spikes[t - 1]):
            for o in range(len(weight)):
                counts[t] += dense or (sent != 0 and weight[o][i] != 0)
    return counts
