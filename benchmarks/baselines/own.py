"""asnn itself, with fused and with reference kernels, and with other neurons."""

from __future__ import annotations

from torch import Tensor

from ...models import create_model, use_kernels
from ..case import Case
from .base import Network

# V and α of both networks whose neurons are differentiated on their representation.
DSR_AMPLITUDE, DSR_FRACTION = 2.0, 0.5


class AsnnNetwork(Network):
    """A network of `create_model` with the given kernels.

    Args:
        case: the network to build.
        kernels: `fused`, `reference` or `auto`.
        options: of the neuron.
        neuron: its name.
    """

    def __init__(
        self,
        case: Case,
        kernels: str,
        options: dict[str, object] | None = None,
        neuron: str = "adaptive",
    ) -> None:
        super().__init__()
        self.model = create_model(**case.arguments, neuron=neuron, neuron_options=options)
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


def dsr(case: Case, *, matched: bool = False) -> AsnnNetwork:
    """Return the network of neurons that are differentiated on their spike representation."""
    options: dict[str, object] = {
        "gradient": "representation",
        "amplitude": DSR_AMPLITUDE,
        "fraction": DSR_FRACTION,
        "learn_amplitude": True,
    }
    return AsnnNetwork(case, "auto", options, "integrate")
