"""asnn itself, with fused and with reference kernels."""

from __future__ import annotations

from torch import Tensor

from ...models import create_model, use_kernels
from ..case import Case
from .base import Network


class AsnnNetwork(Network):
    """A network of `create_model` with the given kernels.

    Args:
        case: the network to build.
        kernels: `fused` or `reference`.
        neuron: options of the neuron.
    """

    def __init__(self, case: Case, kernels: str, neuron: dict[str, object] | None = None) -> None:
        super().__init__()
        self.model = create_model(**case.arguments, neuron_options=neuron)
        use_kernels(self.model, kernels)

    def forward(self, images: Tensor) -> Tensor:
        return self.model.mean_logits(images)

    def predict(self, images: Tensor) -> Tensor:
        return self.model.predict(images)


def fused(case: Case, *, matched: bool = False) -> AsnnNetwork:
    """Return the network with fused kernels."""
    return AsnnNetwork(case, "fused")


def reference(case: Case, *, matched: bool = False) -> AsnnNetwork:
    """Return the network in plain PyTorch."""
    return AsnnNetwork(case, "reference")
