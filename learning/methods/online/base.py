"""Rules that learn at every time step: what is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ....coding.samples import Batch
from ....core.errors import ConfigError, check_all
from ....datasets.transforms.mixing import Targets
from ....models.network import SpikingNetwork
from ..base import Method, Stage
from .blocks import Blocks, find_blocks


class Learned(NamedTuple):
    """What a rule found at a time step.

    Attributes:
        loss: a scalar, 0 before the rule learns.
        outputs: of the readout, `[B, K]`.
    """

    loss: Tensor
    outputs: Tensor


_OWN_LOSS = "the rule has a loss of its own, at every step"
ONLY = {
    "accumulate": (1, "optimization steps are taken within a batch"),
    "precision": ("float32", "its sums over the steps need that"),
    "loss": ("mean", _OWN_LOSS),
    "label_smoothing": (0.0, _OWN_LOSS),
    "class_weights": (None, _OWN_LOSS),
}
"""Keys of `[train]` of which rules of this kind take the default alone, and why."""

Rule = Callable[[Tensor, Tensor, float], Learned]
"""`rule(x_t, y_t, share)`: computes the next step of the input `[B, ...]` with the classes `[B]`
(-1 for none), and adds `share` times its gradients; none if `share` is 0."""


class Online(Method):
    """One stage, in which the network is run step by step and learns at each, or every n-th.

    States pass from step to step, gradients do not: the memory of a training does not grow with the
    number of steps. The weights change while a sample is presented. A batch is a start from rest.

    Args:
        burn_in: steps at the beginning of a sample in which nothing is learned.
        every: steps of which one optimization step has the mean gradient.

    Raises:
        ConfigError: an option out of range.
    """

    blocks: Blocks

    def __init__(self, *, burn_in: int = 0, every: int = 1) -> None:
        if burn_in < 0:
            raise ConfigError(f"burn_in must be 0 or more, not {burn_in}")
        if every < 1:
            raise ConfigError(f"every must be 1 or more, not {every}")
        self.burn_in, self.every = burn_in, every

    def start(self, training: Any, batch: int) -> Rule:
        """Return the rule for the steps of a batch of so many samples, from rest."""
        raise NotImplementedError

    def bind(self, model: SpikingNetwork, train: Any) -> None:
        if self.burn_in >= model.coding.steps:
            raise ConfigError(
                f"burn_in is {self.burn_in}, and a sample has {model.coding.steps} steps",
                why="nothing would be learned",
                remedy="set method.burn_in below coding.steps",
            )
        self.blocks = find_blocks(model, self.name)

    def stages(self, epochs: int) -> list[Stage]:
        return [Stage(self.name, epochs)]

    def check(self, training: Any) -> None:
        check_all(
            *(partial(_require_default, self.name, training.recipe.train, key) for key in ONLY),
            lambda: _require_alone(self.name, training.processes.count),
            lambda: training.task.step_classes(_no_targets(training), training.model.coding.steps),
        )

    def updates(self, steps: int) -> int:
        return -(-(steps - self.burn_in) // self.every)

    def learn(
        self, training: Any, x: Batch, targets: Targets, weight: float
    ) -> Iterator[tuple[Tensor, Tensor]]:
        code = training.model.coding.encode(x)
        steps = len(code)
        classes = training.task.step_classes(targets, steps)
        rule = self.start(training, code.shape[1])
        found: list[Learned] = []
        for t in range(steps):
            found.append(rule(code[t], classes[t], self._share(t, steps)))
            learned = t + 1 - self.burn_in
            if learned > 0 and (learned % self.every == 0 or t + 1 == steps):
                losses = [each.loss for each in found[-learned:]]
                yield torch.stack(losses).mean(), torch.stack([each.outputs for each in found])
                training.optimizer.zero_grad()
                found = []

    def _share(self, t: int, steps: int) -> float:
        """Return the part that a step has in its optimization step, 0 before any is taken."""
        if t < self.burn_in:
            return 0.0
        first = t - (t - self.burn_in) % self.every
        return 1 / min(self.every, steps - first)


def _require_default(method: str, train: Any, key: str) -> None:
    value, (default, why) = getattr(train, key), ONLY[key]
    if value != default:
        shown = "" if isinstance(value, dict | list) else f"={value}"
        raise ConfigError(
            f"train.{key}{shown} is not for the method {method}",
            why=why,
            remedy=f"leave train.{key} out",
        )


def _require_alone(method: str, processes: int) -> None:
    if processes > 1:
        raise ConfigError(
            f"the method {method} trains in one process, not in {processes}",
            why="gradients would have to be averaged at every time step",
            remedy="start one process",
        )


def _no_targets(training: Any) -> Targets:
    """Return the targets of a batch without samples."""
    none = training.data.train.targets[:0]
    return Targets(none, none, 1)
