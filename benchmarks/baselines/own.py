"""asnn itself, with fused and with reference kernels, and with other neurons."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from ...models import create_model, use_kernels
from ..case import Case
from .base import Network

# V and α of both networks whose neurons are differentiated on their representation.
DSR_AMPLITUDE, DSR_FRACTION = 2.0, 0.5
BURST = 5  # spikes a step at most


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
        return _over_cells(self.model.mean_logits(images))

    def predict(self, images: Tensor) -> Tensor:
        return _over_cells(self.model.predict(images))


def _over_cells(outputs: Tensor) -> Tensor:
    """Return outputs `[B, K]`, of cells `[B, K, A]` their mean."""
    return outputs if outputs.dim() == 2 else outputs.mean(2)


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


def _other(
    case: Case, *, matched: bool = False, kernels: str, neuron: str, **options: object
) -> AsnnNetwork:
    return AsnnNetwork(case, kernels, options, neuron)


_integrate = partial(_other, neuron="integrate", learn_amplitude=True)
_burst = partial(_integrate, most=BURST)
_once = partial(_other, neuron="adaptive", once=True)
integrate, integrate_reference = (partial(_integrate, kernels=k) for k in ("fused", "reference"))
burst, burst_reference = (partial(_burst, kernels=k) for k in ("fused", "reference"))
once, once_reference = (partial(_once, kernels=k) for k in ("fused", "reference"))
