"""The random numbers that asnn draws, for the inputs of a network that takes them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..coding.draws import sample_keys, uniforms
from .graph.ir import Array
from .graph.noise import NoiseInput


def keys_of(first: int, number: int) -> Tensor:
    """Return the keys of the samples `first` and on, of the first draw of an evaluation."""
    return sample_keys(torch.arange(first, first + number), 0)


def draw_noise(noise: Mapping[str, NoiseInput], keys: Tensor, steps: int) -> dict[str, Array]:
    """Return uniform numbers `[T, B, ...]` by the name of the input: those that the network draws.

    Args:
        noise: the inputs, as of `Graph.noise`.
        keys: of the samples, see `asnn.coding.draws.sample_keys`.
        steps: T.
    """
    cpu = torch.device("cpu")
    return {
        name: uniforms(keys, steps, each.shape, device=cpu, stream=each.stream).numpy()
        for name, each in noise.items()
    }
