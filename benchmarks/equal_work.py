"""Whether two networks do the same work, before their times are compared.

Three questions, each answered with figures:

- Have they the same weights? Shapes of all affine layers and batch norms, and which of the former
  have a bias, are compared one by one with those of asnn's network, in the order of the modules.
  A linear layer and a convolution whose kernel is 1 wide are the same. What a network has beyond
  them is counted and told: the second stem that asnn has with a mixed code, parameters of neurons,
  scales of the readout.
- Do they answer in the same shape?
- Do they compute the same? Both are given the same random weights and running statistics, in
  evaluation mode, where every form of batch norm is the same; the loss of the first step and the
  logits are compared, of the forward pass that is trained and of the call for inference.

Rounding can flip a spike, and networks of spikes are sensitive: one flip, or 1 % more leak, moves
the logits by a good part of their deviation. So five draws are compared, and two of them have to
agree to rounding: a flip is an accident of one draw, another function differs in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from .baselines import BASELINES, Baseline, Network, build
from .baselines.own import Own
from .case import Case

CHECKED_BATCH = 4
DRAWS = 5
AGREEING = 2
LOSS_TOLERANCE = 1e-4
LOGITS_TOLERANCE = 1e-3  # of their deviation

Affine = nn.Conv1d | nn.Conv2d | nn.Linear
Norm = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Weights:
    """What the affine layers and batch norms of a network look like, in order.

    Attributes:
        shapes: of the weights, outputs × inputs × kernel where it is not 1 wide, and the bias.
        channels: of the batch norms.
    """

    shapes: list[str]
    channels: list[int]


@dataclass
class Work:
    """What a network was found to do.

    Attributes:
        parameters: values learned in `weights`, `norms`, `second_stem` and `neurons` (all else).
        output_shape: shape of the mean logits.
        same_loss: whether the loss of the first step is equal, or None where `reason` forbids.
        loss_difference: by how much the losses differ, in the worst of the draws that agree best.
        logits_difference: the same of the logits, in their standard deviations.
        compared_with: whose loss it is.
        reason: why nothing was compared.
        faults: what is not as it must be; empty for equal work.
    """

    parameters: dict[str, int] = field(default_factory=dict)
    output_shape: list[int] = field(default_factory=list)
    same_loss: bool | None = None
    loss_difference: float | None = None
    logits_difference: float | None = None
    compared_with: str | None = None
    reason: str = ""
    faults: list[str] = field(default_factory=list)


def examine(contestant: Baseline, network: Network, case: Case) -> Work:
    """Return what `network`, built for the timing, does in comparison with the case and asnn."""
    work = Work()
    _compare_shapes(network, case, work)
    if work.faults:
        return work
    checked = case.compared(CHECKED_BATCH)
    matched = build(contestant, checked, matched=True)
    work.output_shape = list(_logits(matched, checked).shape)
    if work.output_shape != [checked.batch, case.classes]:
        work.faults.append(f"it answers {work.output_shape} for a batch of {checked.batch}")
    elif contestant.unlike:
        work.reason = contestant.unlike
    elif contestant.like == contestant.name:
        work.reason = "it is what the others are compared with"
    else:
        _compare_results(contestant, matched, checked, work)
    return work


def _parts(network: nn.Module) -> tuple[list[Affine], list[Norm]]:
    """Return affine layers and batch norms in their order, the stems first."""
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
def wanted_of(case: Case) -> Weights:
    """Return the weights of asnn's network with a single stem."""
    affines, norms = _parts(build(BASELINES["asnn-reference"], case))
    second = case.stems - 1
    return _weights(affines[second:], norms[second:])


def _compare_shapes(network: Network, case: Case, work: Work) -> None:
    """Compare weights with those of asnn, and count parameters."""
    affines, norms = _parts(network)
    wanted, found = wanted_of(case), _weights(affines, norms)
    # With a mixed code the first layer may be there twice, for analog steps and for spikes.
    first = slice(0, case.stems - 1)
    if found.shapes not in (wanted.shapes, wanted.shapes[first] + wanted.shapes):
        work.faults.append(
            f"its weights have the shapes {', '.join(found.shapes)}, not {', '.join(wanted.shapes)}"
        )
    if found.channels not in (wanted.channels, wanted.channels[first] + wanted.channels):
        work.faults.append(f"its batch norms have {found.channels} channels, not {wanted.channels}")
    second_stem = [
        *affines[: len(affines) - len(wanted.shapes)],
        *norms[: len(norms) - len(wanted.channels)],
    ]
    work.parameters = {
        "weights": _count(affines[-len(wanted.shapes) :]),
        "norms": _count(norms[-len(wanted.channels) :]),
        "second_stem": _count(second_stem),
        "neurons": _count([network]) - _count([*affines, *norms]),
    }


def _count(modules: Sequence[nn.Module]) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def _compare_results(contestant: Baseline, network: Network, case: Case, work: Work) -> None:
    """Compare loss and logits with those of the contestant that it should equal."""
    work.compared_with = contestant.like
    if contestant.neuron:
        reference: Network = Own(case, "reference", contestant.neuron)
        work.compared_with += " with " + ", ".join(f"{k} {v}" for k, v in contestant.neuron.items())
    else:
        reference = build(BASELINES[contestant.like], case, matched=True)
    draws = sorted(_difference(network, reference, case, seed) for seed in range(DRAWS))
    work.logits_difference, work.loss_difference = draws[AGREEING - 1]
    work.same_loss = (
        work.loss_difference <= LOSS_TOLERANCE and work.logits_difference <= LOGITS_TOLERANCE
    )
    if not work.same_loss:
        work.faults.append(
            f"with equal weights its loss differs by {work.loss_difference:.2g} from that of "
            f"{work.compared_with}, its logits by {work.logits_difference:.2g} of their deviation"
        )


def _difference(network: Network, reference: Network, case: Case, seed: int) -> tuple[float, float]:
    """Return by how much logits (in their deviations) and loss differ for the weights of a draw."""
    for each in (network, reference):
        _draw_weights(each, case, seed)
    wanted, labels = _logits(reference, case, seed), case.labels(seed)
    loss = functional.cross_entropy(wanted, labels)
    by = (0.0, 0.0)
    for predict in (False, True):
        mine = _logits(network, case, seed, predict=predict)
        spread = (mine - wanted).square().mean().sqrt() / wanted.std().clamp_min(1e-6)
        by = max(by, (spread.item(), abs((functional.cross_entropy(mine, labels) - loss).item())))
    return by


def _draw_weights(network: nn.Module, case: Case, seed: int) -> None:
    """Give a network the weights and running statistics of a seed, both stems the same."""
    affines, norms = _parts(network)
    wanted = wanted_of(case)
    for modules, layers in ((affines, wanted.shapes), (norms, wanted.channels)):
        for i, module in enumerate(modules):
            place = max(i - (len(modules) - len(layers)), 0)
            generator = torch.Generator().manual_seed(1000 * seed + place)
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
    reach = 1.5 / module.weight[0].numel() ** 0.5
    module.weight.copy_(uniform(module.weight, -reach, reach))
    if module.bias is not None:
        module.bias.copy_(uniform(module.bias, -reach, reach))


def _logits(network: Network, case: Case, seed: int = 0, *, predict: bool = False) -> Tensor:
    """Return mean logits in evaluation mode; a code that draws draws the same for everyone."""
    network.eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if predict:
            return network.predict(case.images(seed))
        logits = network(case.images(seed)).detach()
    network.reset()
    return logits
