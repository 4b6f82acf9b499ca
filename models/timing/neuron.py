"""The interface of neurons of exact times."""

from __future__ import annotations

from typing import NoReturn

from torch import Tensor, nn

from ...core.errors import ConfigError
from ...kernels.dispatch import Kernels
from ..layer import Lowering
from .kernels import on_cpu


class TimingNeuron(nn.Module):
    """A neuron that maps spike times and weights to spike times, with exact gradients.

    Its spikes depend on the weights and on the time of each input, not on a sum of the inputs of
    a step. So only timing networks have it: their layers call `fire`.

    Args:
        steps: 1: there is one pass over continuous time.
        channels: number of neurons M.

    Attributes:
        most: spikes of a neuron at most.
        window: the time after which a neuron fires no more.

    Raises:
        ConfigError: more than one step.
    """

    spiking = True
    most: int = 1
    window: float = 0.0

    def __init__(self, steps: int, channels: int) -> None:
        super().__init__()
        if steps != 1:
            raise ConfigError(
                f"a neuron of exact times has no time steps, coding.steps is {steps}",
                why="its times are real numbers",
                remedy="set coding.steps=1",
            )
        self.channels = channels

    def as_output(self) -> TimingNeuron:
        """Take the options of the last layer of a network, and return the neuron."""
        return self

    def fire(self, times: Tensor, weight: Tensor, *, kernels: Kernels = "auto") -> Tensor:
        """Return the spike times `[B, M, S]`, differentiable in both arguments.

        Args:
            times: of the inputs, `[B, N, S]`, ascending, +inf behind the last.
            weight: `[M, N]`.
            kernels: which kernels compute it.
        """
        raise NotImplementedError

    def uses_kernels(self, times: Tensor, kernels: Kernels) -> bool:
        """Return whether compiled kernels compute the spikes of these inputs."""
        return on_cpu(times, kernels)

    def operations(self, times: Tensor, weight: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numbers of accumulates and of multiply-accumulates of each sample, `[B]`.

        Args:
            times, weight: of the inputs, as of `fire`.
            out: what `fire` returned.
        """
        raise NotImplementedError

    def lower(self, graph: Lowering, name: str, weight: Tensor) -> None:
        """Add the neurons with their weights `[M, N]` to an export graph.

        Raises:
            ConfigError: the graph cannot express them.
        """
        raise graph.refused(name, self, "it has no method `lower`")

    def forward(self, x: Tensor) -> NoReturn:
        """Refuse the inputs of steps.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"{type(self).__name__} is a neuron of exact times",
            why="it has no time steps",
            remedy="choose model.name=timing-mlp or timing-conv, or another model.neuron",
        )
