"""asnn itself, with its fused kernels and with its reference."""

from __future__ import annotations

from torch import Tensor

from ...models import create_model, use_kernels
from ..case import Case
from .base import Network


class Own(Network):
    """A network of `create_model`; how it computes is told by `kernels`.

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


def fused(case: Case, *, matched: bool = False) -> Own:
    """Return the network with fused kernels."""
    return Own(case, "fused")


def reference(case: Case, *, matched: bool = False) -> Own:
    """Return the network in plain PyTorch."""
    return Own(case, "reference")
