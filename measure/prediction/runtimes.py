"""What computes the outputs of a network: here torch; exported files have runtimes of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...coding.draws import drawing, sample_keys
from ...coding.samples import Batch
from ...core.errors import ConfigError
from ...models.network import SpikingNetwork
from ...models.readouts import Readout
from ..cost.energy import energy_of_samples, why_unknown
from ..cost.operations import Operations
from ..cost.tables import CostTable
from ..spikes import SampleSpikes, SpikesToDecision, decides_at_times


@dataclass(frozen=True)
class Outputs:
    """The outputs of a batch, with its costs where they are known.

    Attributes:
        logits: of each step or window `[T, B, K]`.
        spikes: of all layers `[T, B]`; None if not known.
        picojoules: `[T, B]`; None if not known, or not requested.
        reasons: why one of them is None, by the name in a `Prediction`.
        every: how many steps each of the logits takes: the length of windows, else 1.
    """

    logits: Tensor
    spikes: Tensor | None = None
    picojoules: Tensor | None = None
    reasons: tuple[tuple[str, str], ...] = ()
    every: int = 1


Decided = Callable[[Tensor], Tensor]
"""From the outputs so far `[t, B, K]`, which samples are decided, `[B]`."""


class Runtime(Protocol):
    """Computes the outputs of batches.

    Attributes:
        readout: turns them into an answer; None for that of the network.
    """

    readout: Readout | None

    def run(self, x: Batch, first: int, decided: Decided | None = None) -> Outputs:
        """Return the outputs of a batch, whose first sample has the number `first` of all inputs.

        Codes that draw random numbers draw them by that number, as in an evaluation. Steps after
        all samples are decided are not computed, where the runtime can stop between two steps.
        """
        ...


class TorchRuntime:
    """A network in torch, frozen as for an evaluation.

    It stops when all samples of a batch are decided, unless a layer has no `stepper`, or `energy`
    is asked for, whose operations are counted in passes over all steps.

    Args:
        model: the network.
        device: where it runs.
        steps: compute the first steps only.
        energy: estimate the energy by this table; None does not.

    Raises:
        ConfigError: the network has fewer steps.
    """

    readout: Readout | None = None

    def __init__(
        self,
        model: SpikingNetwork,
        *,
        device: torch.device | str = "cpu",
        steps: int | None = None,
        energy: CostTable | None = None,
    ) -> None:
        check_steps(steps, model.coding.steps, model.steps_per_output)
        self._device = torch.device(device)
        self._network = model.to(self._device).frozen()
        self._steps = steps
        self._energy = energy

    @torch.no_grad()
    def run(self, x: Batch, first: int, decided: Decided | None = None) -> Outputs:
        x = x.to(self._device)
        network = self._network
        keys = sample_keys(torch.arange(first, first + len(x)), 0)
        generators = [self._device] if self._device.type == "cuda" else []
        at_times = decides_at_times(network.readout)
        # At exact times the one step is what comes before the decision.
        sent = (SpikesToDecision if at_times else SampleSpikes)(network)
        with torch.random.fork_rng(generators), sent as spikes, drawing(keys):
            torch.manual_seed(0)
            if self._energy is None:
                taken: list[Tensor | None] = []
                logits = network.run_until(
                    x, decided, self._steps, lambda: taken.append(spikes.take())
                )
                return self._outputs(logits, _joined(taken))
            options = {"graded": self._energy.graded, "until_decision": at_times}
            with Operations(network, **options) as operations:
                logits = network(x, self._steps)
            counts = operations.counts()
            picojoules = energy_of_samples(counts, self._energy)
            return self._outputs(logits, spikes.take(), picojoules, why_unknown(counts))

    def _outputs(
        self,
        logits: Tensor,
        spikes: Tensor | None,
        picojoules: Tensor | None = None,
        unknown: str | None = None,
    ) -> Outputs:
        reasons = []
        if spikes is None:
            reasons.append(("spikes", "the network has no spiking layers"))
        if unknown is not None:
            reasons.append(("picojoules", unknown))
        every = self._network.steps_per_output
        return Outputs(logits, spikes, picojoules, tuple(reasons), every)


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    """Return counts of some steps each, `[t, B]`, as one tensor; None without spiking layers."""
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known else None


def check_steps(steps: int | None, total: int, every: int = 1) -> None:
    """Refuse more steps than a network has, or fewer than its first output takes.

    Args:
        steps: of the user; None for all.
        total: of the network.
        every: how many steps an output takes.

    Raises:
        ConfigError: with the number of its steps.
    """
    if steps is None or every <= steps <= total:
        return
    raise ConfigError(
        f"--steps must be from {every} to {total}, the steps of the run, not {steps}",
        why="" if every == 1 else f"its answers come after each window of {every} steps",
    )
