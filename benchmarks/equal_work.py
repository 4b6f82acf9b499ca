"""Whether two networks do equal work, checked before their times are compared.

Three checks, each with figures:

- Weights. The shapes of all affine layers and batch norms, and which affine layers have a bias, are
  compared one by one with those of asnn's network, in the order of the modules. A linear layer
  equals a convolution with a kernel of size 1. Further parameters are counted and reported: the
  second stem that asnn has with a mixed code, parameters of neurons, scales of the readout.
- The shape of the output.
- Results. Both networks get the same random weights and running statistics, in evaluation mode,
  where all forms of batch norm are equal. The loss of the first step and the logits are compared,
  for the forward pass of training and for the call for inference.

Rounding can flip a spike, and spiking networks are sensitive: one flip, or 1 % more leak, changes
the logits by a large part of their standard deviation. Therefore five draws are compared, and two
of them must agree up to rounding: a flip happens in single draws, another function differs in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from .baselines import BASELINES, Baseline, Network, build
from .baselines.own import AsnnNetwork
from .case import Case

COMPARED_BATCH = 4
DRAWS = 5
MIN_AGREEING = 2
LOSS_TOLERANCE = 1e-4
LOGITS_TOLERANCE = 1e-3  # of their deviation

Affine = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
Norm = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Weights:
    """The shapes of the affine layers and batch norms of a network, in order.

    Attributes:
        shapes: outputs × inputs × kernel (without a kernel of size 1) and the bias, as text.
        channels: of the batch norms.
    """

    shapes: list[str]
    channels: list[int]


@dataclass
class Work:
    """The result of the checks for one network.

    Attributes:
        parameters: number in `weights`, `norms`, `second_stem` and `neurons` (all others).
        output_shape: shape of the mean logits.
        same_loss: whether the loss of the first step is equal; None if not compared (`reason`).
        loss_difference: largest difference of the loss, over the draws that agree best.
        logits_difference: the same for the logits, in units of their standard deviation.
        compared_with: the network of the comparison.
        reason: why results were not compared.
        faults: what is not equal; empty for equal work.
    """

    parameters: dict[str, int] = field(default_factory=dict)
    output_shape: list[int] = field(default_factory=list)
    same_loss: bool | None = None
    loss_difference: float | None = None
    logits_difference: float | None = None
    compared_with: str | None = None
    reason: str = ""
    faults: list[str] = field(default_factory=list)


def examine(baseline: Baseline, network: Network, case: Case) -> Work:
    """Compare `network`, built for the timing, with the case and with asnn's network."""
    work = Work()
    _compare_shapes(network, case, work)
    if work.faults:
        return work
    compared = case.for_comparison(COMPARED_BATCH)
    matched = build(baseline, compared, matched=True)
    work.output_shape = list(_logits(matched, compared).shape)
    if work.output_shape != [compared.batch, case.classes]:
        work.faults.append(f"its output is {work.output_shape} for a batch of {compared.batch}")
    elif baseline.no_reference:
        work.reason = baseline.no_reference
    elif baseline.reference == baseline.name:
        work.reason = "the others are compared with it"
    else:
        _compare_results(baseline, matched, compared, work)
    return work


def _parts(network: nn.Module) -> tuple[list[Affine], list[Norm]]:
    """Return affine layers and batch norms in order, the stems first."""
    modules = list(network.modules())
    return (
        [module for module in modules if isinstance(module, Affine)],
        [module for module in modules if isinstance(module, Norm)],
    )


def _weights(affines: list[Affine], norms: list[Norm]) -> Weights:
    return Weights([_shape(layer) for layer in affines], [norm.num_features for norm in norms])


def _shape(layer: Affine) -> str:
    outputs, inputs, *kernel = layer.weight.shape
    sizes = [outputs, inputs, *(kernel if max(kernel, default=1) > 1 else [])]
    return "×".join(map(str, sizes)) + (" + bias" if layer.bias is not None else "")


@lru_cache
def expected_weights(case: Case) -> Weights:
    """Return the weights of asnn's network with a single stem."""
    affines, norms = _parts(build(BASELINES["asnn-reference"], case))
    second = case.stems - 1
    return _weights(affines[second:], norms[second:])


def _compare_shapes(network: Network, case: Case, work: Work) -> None:
    """Compare weights with those of asnn's network, and count parameters."""
    affines, norms = _parts(network)
    expected, found = expected_weights(case), _weights(affines, norms)
    # With a mixed code the first layer may exist twice, for analog steps and for spikes.
    first = slice(0, case.stems - 1)
    if found.shapes not in (expected.shapes, expected.shapes[first] + expected.shapes):
        work.faults.append(
            f"its weights have the shapes {', '.join(found.shapes)}, "
            f"not {', '.join(expected.shapes)}"
        )
    if found.channels not in (expected.channels, expected.channels[first] + expected.channels):
        work.faults.append(
            f"its batch norms have {found.channels} channels, not {expected.channels}"
        )
    second_stem = [
        *affines[: len(affines) - len(expected.shapes)],
        *norms[: len(norms) - len(expected.channels)],
    ]
    work.parameters = {
        "weights": _count(affines[-len(expected.shapes) :]),
        "norms": _count(norms[-len(expected.channels) :]),
        "second_stem": _count(second_stem),
        "neurons": _count([network]) - _count([*affines, *norms]),
    }


def _count(modules: Sequence[nn.Module]) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def _compare_results(baseline: Baseline, network: Network, case: Case, work: Work) -> None:
    """Compare loss and logits with those of the reference of the baseline."""
    work.compared_with = baseline.reference
    if baseline.neuron:
        reference: Network = AsnnNetwork(case, "reference", baseline.neuron)
        work.compared_with += " with " + ", ".join(f"{k} {v}" for k, v in baseline.neuron.items())
    else:
        reference = build(BASELINES[baseline.reference], case, matched=True)
    draws = sorted(_difference(network, reference, case, seed) for seed in range(DRAWS))
    work.logits_difference, work.loss_difference = draws[MIN_AGREEING - 1]
    work.same_loss = (
        work.loss_difference <= LOSS_TOLERANCE and work.logits_difference <= LOGITS_TOLERANCE
    )
    if not work.same_loss:
        work.faults.append(
            f"with equal weights its loss differs by {work.loss_difference:.2g} from that of "
            f"{work.compared_with}, its logits by {work.logits_difference:.2g} of their deviation"
        )


def _difference(network: Network, reference: Network, case: Case, seed: int) -> tuple[float, float]:
    """Return the differences of logits (in standard deviations) and loss for one draw."""
    for each in (network, reference):
        _draw_weights(each, case, seed)
    expected, labels = _logits(reference, case, seed), case.labels(seed)
    loss = functional.cross_entropy(expected, labels)
    largest = (0.0, 0.0)
    for predict in (False, True):
        mine = _logits(network, case, seed, predict=predict)
        spread = (mine - expected).square().mean().sqrt() / expected.std().clamp_min(1e-6)
        loss_difference = abs((functional.cross_entropy(mine, labels) - loss).item())
        largest = max(largest, (spread.item(), loss_difference))
    return largest


def _draw_weights(network: nn.Module, case: Case, seed: int) -> None:
    """Set weights and running statistics drawn from a seed, the same for both stems."""
    affines, norms = _parts(network)
    expected = expected_weights(case)
    for modules, layers in ((affines, expected.shapes), (norms, expected.channels)):
        for i, module in enumerate(modules):
            index = max(i - (len(modules) - len(layers)), 0)
            generator = torch.Generator().manual_seed(1000 * seed + index)
            with torch.no_grad():
                _draw(module, generator)


def _draw(module: Affine | Norm, generator: torch.Generator) -> None:
    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    if isinstance(module, Norm):
        module.weight.copy_(uniform(module.weight, 0.8, 1.6))
        module.bias.copy_(uniform(module.bias, -0.2, 1.4))
        assert module.running_mean is not None and module.running_var is not None
        module.running_mean.copy_(uniform(module.running_mean, -0.1, 0.1))
        module.running_var.copy_(uniform(module.running_var, 0.1, 0.4))
        return
    bound = 1.5 / module.weight[0].numel() ** 0.5
    module.weight.copy_(uniform(module.weight, -bound, bound))
    if module.bias is not None:
        module.bias.copy_(uniform(module.bias, -bound, bound))


def _logits(network: Network, case: Case, seed: int = 0, *, predict: bool = False) -> Tensor:
    """Return mean logits in evaluation mode; a random code draws the same for every network."""
    network.eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if predict:
            return network.predict(case.images(seed))
        logits = network(case.images(seed)).detach()
    network.reset()
    return logits
