"""Baselines and their networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from ..case import Case
from ..networks import Layer

# Sequential networks, which every baseline builds.
SEQUENTIAL = ("lenet", "mlp")


class Network(nn.Module):
    """A baseline's network for one case.

    `forward` takes images `[B, C, H, W]` in [0, 1] and returns the mean of the logits over the
    steps, `[B, classes]`. Encoding is part of it, because its time counts.
    """

    def predict(self, images: Tensor) -> Tensor:
        """Return the mean logits without gradients: the call for inference."""
        with torch.no_grad():
            logits = self(images)
        self.reset()
        return logits

    def reset(self) -> None:
        """Reset the state of a library that keeps it in its modules."""


@dataclass(frozen=True)
class Baseline:
    """One implementation of the network.

    Attributes:
        name: for `--against` and `--base`.
        description: in one line.
        source: `"module:attribute"` of its builder, which takes a case and `matched`.
        builds: the networks of `create_model` that it supports.
        package: that must be installed.
        compiles: whether its first call compiles code that a cache on disk may keep.
        slow_start: compiles for a minute or so for each shape; measured only if named.
        apart: why `all` leaves it out, if it does not start slowly.
        neuron: options of `AdaptiveLeaky` that equal its neuron if built with `matched`.
        reference: the baseline that computes the same function.
        no_reference: why no baseline computes the same function.
    """

    name: str
    description: str
    source: str
    builds: tuple[str, ...] = SEQUENTIAL
    package: str | None = None
    compiles: bool = False
    slow_start: bool = False
    apart: str = ""
    neuron: dict[str, Any] = field(default_factory=dict)
    reference: str = "asnn-reference"
    no_reference: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is part of asnn, so that a failure is a bug of asnn."""
        return self.package in (None, "numba")


def build(baseline: Baseline, case: Case, *, matched: bool = False, seed: int = 0) -> Network:
    """Build a baseline's network, with weights drawn from `seed`.

    Args:
        baseline: to build.
        case: the network to build.
        matched: with the neuron of `baseline.neuron` and without compilation, for the comparison
            of results; otherwise as its documentation recommends, for the timing.
        seed: of the weights.
    """
    module, attribute = baseline.source.split(":")
    make = getattr(import_module(module, __package__), attribute)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(case, matched=matched)


def unavailable(baseline: Baseline, case: Case) -> str | None:
    """Return why a baseline cannot be measured with a case here, or None."""
    if case.spec.model not in baseline.builds:
        return f"it does not build {case.model}"
    package = baseline.package
    if package is None or find_spec(package) is not None:
        return None
    extra = "asnn" if package == "numba" else "asnn[bench]"
    return f"{package} is not installed (pip install '{extra}')"


def package_version(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def affine(layer: Layer) -> nn.Module:
    """Return the affine layer, of plain PyTorch."""
    if layer.kind == "conv":
        return nn.Conv2d(layer.inputs, layer.outputs, 3, padding=1, bias=False)
    return nn.Linear(layer.inputs, layer.outputs, bias=False)


def batch_norm(layer: Layer) -> nn.Module:
    """Return the batch norm, of plain PyTorch."""
    return (nn.BatchNorm2d if layer.kind == "conv" else nn.BatchNorm1d)(layer.outputs)


def pool(layer: Layer) -> nn.Module:
    """Return the max-pool, or the identity if the window is 1."""
    return nn.MaxPool2d(layer.window) if max(layer.window) > 1 else nn.Identity()
