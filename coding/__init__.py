"""Codes: images `[B, ...]` as T steps `[T, B, ...]` of spikes or analog values.

>>> import torch
>>> code = create_coding("temporal", steps=4)
>>> code.encode(torch.tensor([[0.9, 0.3]]))[:, 0, :].int().tolist()
[[1, 0], [0, 0], [0, 1], [0, 0]]
"""

from .base import Coding
from .factory import coding_registry, create_coding
from .spikefile import SpikeFile, load_spikes, save_spikes

__all__ = [
    "Coding",
    "SpikeFile",
    "coding_registry",
    "create_coding",
    "load_spikes",
    "save_spikes",
]
