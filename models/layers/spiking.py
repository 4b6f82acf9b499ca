"""`SpikingLayer`: norm, neuron and pool, computed by the fused or the reference kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ...kernels.dispatch import PACKAGES, Kernels, is_traced, missing_backend, warn_slow_reference
from ..layer import (
    VALUES,
    Layer,
    Lowering,
    OperationList,
    Signal,
    answers,
    decaying_parameters,
    spikes_of,
)
from ..neurons.lsq_leaky import LsqLeaky
from ..ode.layer import LeastSquaresOde
from ..stepwise import Step, stepper
from ..synapses.base import PoleSynapse
from .convolution import PointConv2d, SpikeConv2d
from .fusing import Frozen, Fusible, freeze, fusible, pooled, run, window_of
from .residual import Residual
from .time import over_time


class SpikingLayer(Layer):
    """Batch norm, neuron over all steps, optional pooling: `[T, B, C, ...] -> [T, B, C, ...]`.

    The fused kernels compute the layer in one pass if they support it, and a pool that they do not
    know after it; otherwise its modules run one after the other.

    Args:
        norm: batch norm of `[T, B, C, ...]`; None for no norm.
        neuron: `[T, B, C, ...] -> [T, B, C, ...]`.
        pool: pooling of `[B, C, H, W]`, applied to each step; None for no pooling.

    Attributes:
        kernels: which kernels to use; `use_kernels` sets it for all layers of a network.
        used: the kernels of the last call; None before the first call.
        spike_observers: called in each forward pass with the number of spikes at each step `[T]`
            (float64), before pooling, and the number of neurons times the number of samples.
        count_observers: called in each forward pass with the number of spikes of each neuron
            `[T, B, C, ...]`, before pooling; the pool is then a pass of its own.
        taps: called in each forward pass with the output `[T, B, C, ...]`, after pooling, through
            which gradients flow; see `layer_outputs`.
        rotations: of how many rotations by 90° its channels are, the slower axis of them.
    """

    rotations = 1

    def __init__(
        self, norm: nn.Module | None, neuron: nn.Module, pool: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.norm = norm
        self.neuron = neuron
        self.pool = pool
        self.kernels: Kernels = "auto"
        self.used: Literal["reference", "fused"] | None = None
        self.spike_observers: list[Callable[[Tensor, int], None]] = []
        self.count_observers: list[Callable[[Tensor], None]] = []
        self.taps: list[Callable[[Tensor], None]] = []
        self._freezes = False
        self._frozen: tuple[Any, Frozen | None] = (None, None)

    def forward(self, x: Tensor) -> Tensor:
        out = self._computed(x)
        for tap in self.taps:
            tap(out)
        return out

    def _computed(self, x: Tensor) -> Tensor:
        if self._freezes and not torch.is_grad_enabled() and not is_traced(x):
            frozen = self._frozen_for(x)
            if frozen is not None:
                spikes, counts = frozen.run(x, count=bool(self.spike_observers))
                self._notify(counts, x)
                return self._observed(self.arranged(spikes))
        how = self._fusible(x)
        if isinstance(how, Fusible):
            self.used = "fused"
            spikes, counts = run(x, how, count=bool(self.spike_observers))
            self._notify(counts, x)
            return self._observed(self.arranged(spikes))
        self.used = "reference"
        spikes = self.neuron(x if self.norm is None else self.norm(x))
        return self._counted(self.arranged(spikes), x)

    def arranged(self, spikes: Tensor) -> Tensor:
        """Return what its neurons have computed, in the shape of the layer's output."""
        return spikes

    def sent(self, spikes: Tensor, pool: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the output of the layer, of spikes `[T, B, C, ...]` that were computed elsewhere.

        Args:
            spikes: of its neurons.
            pool: pools all steps, as the pool of the layer does; None to use that.
        """
        out = self._counted(spikes, spikes, pool)
        for tap in self.taps:
            tap(out)
        return out

    def _counted(
        self, spikes: Tensor, x: Tensor, pool: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return the spikes for the input `x`, pooled, after the observers have seen them."""
        if self.spike_observers:
            # float32 counts exactly up to 2²⁴ only.
            sent = spikes_of(self.neuron, spikes.detach())
            self._notify(sent.flatten(1).sum(1, dtype=torch.float64), x)
        self._notify_of_counts(spikes)
        if self.pool is None:
            return spikes
        return over_time(self.pool, spikes) if pool is None else pool(spikes)

    def stepper(self) -> Step:
        """Return a function that computes one step after another, by the reference; the observers
        see each step as a pass of its own."""
        norm = None if self.norm is None else stepper(self.norm)
        neuron = stepper(self.neuron)

        def step(x: Tensor) -> Tensor:
            return self.sent(neuron(x if norm is None else norm(x)).unsqueeze(0))[0]

        return step

    def freeze(self) -> None:
        """Cache everything that depends on the weights only, from the next call without gradients.

        The weights must not change afterwards: a layer cannot be unfrozen.
        """
        self._freezes = True

    def lower(self, graph: Lowering, name: str) -> None:
        if self.norm is not None:
            graph.norm(f"{name}.norm", f"{name}_norm", self.norm)
        graph.neuron(name, self.neuron)
        if self.pool is not None:
            graph.per_step(f"{name}_pool", [self.pool] * graph.steps)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        if answers(self.neuron, "list_operations"):
            self.neuron.list_operations(found, name, VALUES)  # type: ignore[operator]
        else:  # layers in a neuron of another package; its other parameters are part of the update
            for key, part in self.neuron.named_modules():
                if isinstance(part, nn.Conv2d | nn.Linear):
                    found.visit(f"{name}.neuron.{key}", part, VALUES)
        found.add(name, "neuron", self, VALUES)
        spikes = signal_of(self.neuron)
        return spikes if self.pool is None else found.visit(name, self.pool, spikes)

    def decaying_parameters(self) -> list[nn.Parameter]:
        """Return what modules of the neuron name; its other parameters are not weights."""
        return decaying_parameters(self.neuron, unnamed=False)

    def _frozen_for(self, x: Tensor) -> Frozen | None:
        pool = self._pool_of_kernels()
        key = (x.shape, x.stride(0) == 0, x.dtype, x.device, self.kernels, pool)
        cached, frozen = self._frozen  # read once: another thread may write it
        if cached != key:
            how = self._fusible(x)
            self.used = "fused" if isinstance(how, Fusible) else "reference"
            frozen = freeze(x, how) if isinstance(how, Fusible) else None
            self._frozen = (key, frozen)
        return frozen

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_frozen": (None, None)}

    def _fusible(self, x: Tensor) -> Fusible | str:
        if self.kernels == "reference":
            return "kernels are 'reference'"
        values = x[0].numel() // max(x.shape[2], 1) if x.dim() > 2 and len(x) else 0
        if values == 0 or (values == 1 and self.training and self.norm is not None):
            return "a batch norm needs two values or more"
        how = fusible(x, self.norm, self.neuron, self._pool_of_kernels())
        if isinstance(how, str):
            self.refuse_fused(how)
            if missing_backend(x.device.type, torch.float32) == how and x.device.type in PACKAGES:
                warn_slow_reference(how)
        return how

    def refuse_fused(self, why: str) -> None:
        """Refuse kernels `fused`, where they cannot compute the layer.

        Raises:
            ConfigError: kernels are `fused`.
        """
        if self.kernels == "fused":
            raise ConfigError(
                "the fused kernels cannot compute this layer",
                why=why,
                remedy="use kernels 'auto', which takes the reference there",
            )

    def _pool_of_kernels(self) -> nn.Module | None:
        """Return the pool, unless spikes are observed before it or the kernels do not know it."""
        unknown_pool = window_of(self.pool) is None
        return None if self.count_observers or unknown_pool else self.pool

    def _observed(self, spikes: Tensor) -> Tensor:
        """Return the output of the kernels after the pool, if they have not computed it."""
        self._notify_of_counts(spikes)
        if self.pool is None or self._pool_of_kernels() is not None:
            return spikes
        return pooled(spikes, self.pool)

    def _notify_of_counts(self, spikes: Tensor) -> None:
        if self.count_observers:
            sent = spikes_of(self.neuron, spikes.detach())
            for observer in self.count_observers:
                observer(sent)

    def _notify(self, counts: Tensor | None, x: Tensor) -> None:
        if counts is not None:
            neurons = x[0].numel() if len(x) else 0
            for observer in self.spike_observers:
                observer(counts, neurons)


def signal_of(neuron: nn.Module) -> Signal:
    """Return what a neuron sends: spikes, unless its attributes say otherwise.

    `spiking` false: values. `most` above 1: whole numbers up to it. `amplitude`: a factor of them.
    `held`: a spike is shown from its step to the last one.
    """
    if not getattr(neuron, "spiking", True):
        return VALUES
    kind = "counts" if getattr(neuron, "most", 1) > 1 else "spikes"
    return Signal(kind, getattr(neuron, "amplitude", None), getattr(neuron, "held", False))


@contextmanager
def layer_outputs(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the output of each spiking layer while the context is open.

    The dictionary has `[T, B, C, ...]` by the layer's name below `body`, of the last forward pass;
    gradients flow through it. Unlike hooks, taps leave the fused kernels in use.

    >>> from asnn.models import create_model
    >>> model = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=3, features=[5])
    >>> with layer_outputs(model) as outputs:
    ...     _ = model(torch.zeros(7, 1, 2, 2))
    >>> {name: tuple(output.shape) for name, output in outputs.items()}
    {'spikes1': (3, 7, 5)}
    """
    outputs: dict[str, Tensor] = {}
    attached: list[tuple[SpikingLayer, Callable[[Tensor], None]]] = []
    for name, module in model.named_modules():
        if isinstance(module, SpikingLayer):
            tap = partial(outputs.__setitem__, name.removeprefix("body."))
            module.taps.append(tap)
            attached.append((module, tap))
    try:
        yield outputs
    finally:
        for layer, tap in attached:
            layer.taps.remove(tap)


def use_kernels(model: nn.Module, kernels: str) -> None:
    """Set the kernels of a network: spiking layers, their convolutions, residual blocks, synapses.

    - `auto`: the fused kernels for layers that they support, the reference for all others;
    - `fused`: the fused kernels, and an error from a spiking layer or a synapse that they do not
      support; an empty batch, and a single value that a norm refuses, still use the reference;
    - `reference`: plain torch, on every device, in every dtype.

    Raises:
        ConfigError: `kernels` is none of these.
    """
    if kernels not in ("auto", "reference", "fused"):
        raise unknown("kernels", kernels, ["auto", "reference", "fused"])
    choosing = SpikingLayer, SpikeConv2d, PointConv2d, Residual, PoleSynapse, LsqLeaky
    for module in model.modules():
        if isinstance(module, (*choosing, LeastSquaresOde)):
            module.kernels = kernels  # type: ignore[assignment]


def used_kernels(model: nn.Module) -> str | None:
    """Return the kernels of the last call: `fused`, `reference` or `mixed`; None before it."""
    used = {module.used for module in model.modules() if isinstance(module, SpikingLayer)}
    return used.pop() if len(used) == 1 else "mixed" if used else None
