"""What a contestant is, and how one is built."""

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

# Networks that are a line of layers, which everyone builds.
LINES = ("lenet", "mlp")


class Network(nn.Module):
    """A contestant's network for one case.

    `forward` takes images `[B, C, H, W]` in [0, 1] and returns the mean of the logits over the
    steps, `[B, classes]`. The code is computed inside, since that is part of the work.
    """

    def predict(self, images: Tensor) -> Tensor:
        """Return the mean logits without gradients: the call for inference."""
        with torch.no_grad():
            logits = self(images)
        self.reset()
        return logits

    def reset(self) -> None:
        """Forget what a step has left behind, where a library keeps state in its modules."""


@dataclass(frozen=True)
class Baseline:
    """One way to compute the network.

    Attributes:
        name: what a user types.
        what: one line about it.
        source: `"module:attribute"` of what builds it, called with a case and `matched`.
        builds: the networks of `create_model` that it can be.
        package: what has to be installed.
        compiles: whether its first call compiles code that a cache on disk may keep.
        slow_start: compiles for a minute or so for each shape, and is measured only when named.
        neuron: options of `AdaptiveLeaky` that give the neuron it has when built `matched`.
        like: the contestant that computes the same function; `asnn-reference` by default.
        unlike: why no contestant computes the same function.
    """

    name: str
    what: str
    source: str
    builds: tuple[str, ...] = LINES
    package: str | None = None
    compiles: bool = False
    slow_start: bool = False
    neuron: dict[str, Any] = field(default_factory=dict)
    like: str = "asnn-reference"
    unlike: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is written here altogether, so that its failure is a bug of ours."""
        return self.package in (None, "numba")


def build(contestant: Baseline, case: Case, *, matched: bool = False, seed: int = 0) -> Network:
    """Build a contestant's network, with weights drawn from `seed`.

    Args:
        contestant: who.
        case: the network to build.
        matched: with the neuron that `contestant.neuron` describes and nothing compiled, for the
            comparison of results; otherwise as its documentation recommends, for the timing.
        seed: of the weights.
    """
    module, attribute = contestant.source.split(":")
    make = getattr(import_module(module, __package__), attribute)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(case, matched=matched)


def unavailable(contestant: Baseline, case: Case) -> str | None:
    """Return why a contestant cannot be measured with a case here, or None."""
    if case.plan.model not in contestant.builds:
        return f"it does not build {case.model}"
    package = contestant.package
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
    """Return the max-pool, which does nothing where the window is 1."""
    return nn.MaxPool2d(layer.window) if max(layer.window) > 1 else nn.Identity()
