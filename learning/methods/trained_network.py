"""A trained network that a method or a start reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...models.network import SpikingNetwork

ANN = "ann"  # in place of the folder of a run: the ANN counterpart, which is trained first


@dataclass(frozen=True)
class TrainedNetwork:
    """The network of a run.

    Attributes:
        path: its file.
        model: the network, in evaluation mode, on the CPU.
        labels: names of its classes.
        fingerprint: SHA-256 of its file.
    """

    path: Path
    model: SpikingNetwork
    labels: list[str]
    fingerprint: str
