"""What a layer says of itself: how it is exported, what it computes, what of it decays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError


class Signal(NamedTuple):
    """What passes from a layer to the next.

    Attributes:
        kind: `spikes` are amplitude × 0 or 1, `counts` amplitude × a whole number, `graded` the
            same, sent as one spike with a number, `values` anything.
        amplitude: a scalar or `[C]`; None for 1.
        held: whether a spike is shown from its step to the last one, see `onsets`.
    """

    kind: Literal["spikes", "counts", "graded", "values"]
    amplitude: Tensor | None = None
    held: bool = False


SPIKES, VALUES = Signal("spikes"), Signal("values")


class Lowering(Protocol):
    """The export graph of a network while its layers add their nodes.

    Attributes:
        steps: number of time steps T.
        at: the node that the next one reads.
        axes: of one sample that the next one reads: 3 of an image, 1 of features.
    """

    steps: int

    @property
    def at(self) -> str: ...

    @property
    def axes(self) -> int: ...

    def lower(self, name: str, part: nn.Module) -> None:
        """Add a part of the network, `[T, B, ...] -> [T, B, ...]`."""

    def per_step(self, name: str, layers: list[nn.Module]) -> None:
        """Add a stateless layer `[B, ...] -> [B, ...]`, given as the module of each step."""

    def branch(self, prefix: str, parts: nn.Sequential, begin: str) -> str:
        """Add a path that reads the node `begin`, and return its last node."""
        ...

    def norm(self, path: str, name: str, norm: nn.Module) -> None:
        """Add a batch norm over time, folded into the affine layer before it if there is one."""

    def neuron(self, name: str, neuron: nn.Module) -> None:
        """Add a neuron, by its `lower` or its `neuron_fields`.

        `neuron_fields()` returns the fields of the graph's `Neuron`, and `amplitude` if the neuron
        sends amplitude × a whole number.
        """

    def add(
        self, kind: str, name: str, inputs: tuple[str, ...] | None = None, /, **fields: Any
    ) -> None:
        """Add a node that reads `inputs`, by default the node before it.

        Args:
            kind: its class in `asnn.exporters.graph.ir`, such as `Linear`.
            name: unique in the graph.
            inputs: names of nodes.
            fields: of the node; tensors become float32 arrays.
        """

    def cell(
        self,
        name: str,
        step: Callable[..., Any],
        /,
        *,
        states: Sequence[str],
        schedules: Mapping[str, Tensor] | None = None,
        inputs: tuple[str, ...] | None = None,
        recurrent: Tensor | None = None,
        spikes: bool = True,
    ) -> None:
        """Add a neuron by the equations of its step, as `forward` computes them.

        `step` is called once, with stand-ins for tensors, and its operations become the node.

        Args:
            name: unique in the graph.
            step: `step(x, *states, **schedules) -> (spikes, *states)` for x `[B, ...]`:
                elementwise operations of torch, and `asnn.models.spike`. Spikes are 0 or 1. It may
                read parameters and numbers of its own.
            states: names of the states, of the shape of x, which are 0 before the first step.
            schedules: parameters `[T, ...]`, given to `step` by name, each at its step.
            inputs: names of the nodes that it reads; by default the node before it. The values of
                others than the first follow x, and broadcast against it.
            recurrent: weights `[F, F]`, or of a convolution, of the spikes of the step before,
                which are added to x; the spikes are then the state `s`.
            spikes: whether the step returns spikes; else values, in their place.
        """

    def accumulate(self, name: str, steps: int) -> None:
        """Add the sum of each window of so many steps; the layers after it have a step for each
        window."""

    def answers_with(self, kind: str, **options: Any) -> None:
        """Say how the answer follows from the value of the last node, the outputs of the steps.

        Args:
            kind: `mean`, `last` or `first-crossing`.
            options: `quantity` and `level` of `first-crossing`, and of the quantity `drawn`
                `kappa` and `stream`.
        """

    def refused(self, name: str, part: nn.Module, why: str) -> ConfigError:
        """Return the error for a part that cannot be exported."""
        ...


class OperationList(Protocol):
    """The parts of a network that do arithmetic, while its layers list them."""

    def visit(self, name: str, part: nn.Module, x: Signal) -> Signal:
        """List a part with the input `x`, and return what its output is."""
        ...

    def visit_from(
        self,
        name: str,
        part: nn.Module,
        x: Signal,
        *,
        of: nn.Module,
        inputs: Callable[[Tensor], Tensor],
        first: int,
    ) -> Signal:
        """List a part whose first layer is counted where `of` is called.

        Args:
            name: of the part.
            part: a module of `of`.
            x: its input.
            of: a module, called with `[T, B, ...]`.
            inputs: returns the input of the part from that of `of`.
            first: the step of the first input.
        """
        ...

    def add(
        self,
        name: str,
        kind: str,
        layer: nn.Module,
        x: Signal,
        *,
        operation: Literal["ac", "mac"] | None = None,
    ) -> None:
        """List arithmetic, counted by `layer.count_operations` or as that of a layer of torch.

        Args:
            name: of the layer.
            kind: of the layer, in tables.
            layer: the module whose input and output are counted.
            x: its input.
            operation: `ac` (accumulates) or `mac` (multiplies and accumulates); by default `ac` of
                spikes and counts, else `mac`.
        """

    def in_windows(self, steps: int) -> None:
        """Say that the layers listed from now on have a step for so many of those before."""


class OperationCounter(Protocol):
    """Counts the operations of one layer in a forward pass.

    Attributes:
        operation: those that it counts, if the layer has listed both.
        until: at exact times, when each sample is decided, `[B]`: inputs from then on do not count;
            None counts all.
    """

    operation: Literal["ac", "mac"]
    until: Tensor | None

    def add_products(self, weight: Tensor, x: Tensor, *, first: int = 0) -> None:
        """Add the products of a weight `[O, F]` and values `[n, B, F]`.

        Args:
            weight: the matrix.
            x: its inputs at n steps.
            first: the step of `x[0]`, counted from the first step of this pass.
        """

    def add(
        self, operations: Tensor, events: Tensor, *, dense: float, inputs: float, first: int = 0
    ) -> None:
        """Add operations of n steps.

        Args:
            operations: with nonzero factors, `[n, B]`.
            events: nonzero inputs, `[n, B]`.
            dense: all operations, over all samples and these steps.
            inputs: all inputs, over all samples and these steps.
            first: the step of the first row, counted from the first step of this pass.
        """


class Layer(nn.Module):
    """A layer of time-major tensors that answers for itself: `[T, B, ...] -> [T, B, ...]`.

    A subclass overrides the methods that it has an answer to; a network with another layer is not
    exported, and its energy is unknown. An answer is of one `forward`: a subclass that overrides
    `forward` has to override its answers too, or they do not count.

    A layer may also have the methods `decaying_parameters() -> list[nn.Parameter]` and
    `synaptic_weights() -> list[Tensor]`; see the functions of these names.

    Attributes:
        without_ann: why a network with this layer has no ANN counterpart; None if it has.
        answers_of: for an answer that is not of `forward` alone, the methods that it is of.
    """

    without_ann: ClassVar[str | None] = None
    answers_of: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def lower(self, graph: Lowering, name: str) -> None:
        """Add the layer to an export graph.

        Raises:
            ConfigError: the graph cannot express it.
        """
        raise graph.refused(name, self, "it has no method `lower`")

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        """List what does arithmetic for the input `x`, and return what the output is."""
        raise NotImplementedError

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        """Count the operations of a forward pass from `x` to `y`, both time-major."""
        raise NotImplementedError

    def stepper(self) -> Callable[[Tensor], Any]:
        """Return a function that computes one step after another, `[B, ...] -> [B, ...]`, from rest
        and in evaluation mode: see `asnn.models.stepwise`."""
        raise NotImplementedError


def count_filter(counter: OperationCounter, x: Tensor, order: int) -> None:
    """Count a filter over time of values `[T, B, ...]`: it updates `order` states of each value at
    every step, whatever the value is. In a single step it is a factor, part of the weights."""
    if len(x) == 1:
        nothing = torch.zeros(x.shape[:2], dtype=torch.float64)
        counter.add(nothing, nothing, dense=0, inputs=0)
        return
    values = x[0, 0].numel()
    by_sample = torch.full(x.shape[:2], float(values), dtype=torch.float64)
    events = x.ne(0).flatten(2).sum(2)
    counter.add(order * by_sample, events, dense=order * x.numel(), inputs=x.numel())


def answers(part: nn.Module, method: str) -> bool:
    """Return whether a part has its own answer: a method defined with its `forward` or after it."""
    about = getattr(part, "answers_of", {}).get(method, ("forward",))
    for kind in type(part).__mro__:
        if kind is Layer or kind is nn.Module:
            return False
        if method in vars(kind):
            return True
        if any(name in vars(kind) for name in about):
            return False
    return False


def whole_numbers(x: Tensor, amplitude: Tensor | None, axis: int) -> Tensor:
    """Return x / amplitude, rounded.

    Args:
        x: amplitude × whole numbers.
        amplitude: a scalar or `[C]`; None for 1.
        axis: the axis C of x, or C·H·W with the channels first.
    """
    if amplitude is None:
        return x
    a = torch.as_tensor(amplitude).detach().to(x)
    if a.dim():
        a = a.repeat_interleave(x.shape[axis] // len(a)).view(-1, *[1] * (x.dim() - axis - 1))
    return (x / a).round()


def onsets(x: Tensor) -> Tensor:
    """Return x_t - x_{t-1} of `[T, ...]`, x_{-1} = 0: 1 at the step of a spike that is held."""
    return torch.cat([x[:1], x[1:] - x[:-1]])


def spikes_of(neuron: nn.Module, output: Tensor) -> Tensor:
    """Return the numbers of spikes of which the output `[T, B, C, ...]` of a neuron consists."""
    sent = whole_numbers(output, getattr(neuron, "amplitude", None), 2)
    return onsets(sent) if getattr(neuron, "held", False) else sent


def decaying_parameters(part: nn.Module, *, unnamed: bool = True) -> list[nn.Parameter]:
    """Return the parameters that decay: those of two axes and more, such as weights.

    Where a module has a method of this name, it names them for itself and all modules in it.

    Args:
        part: the module.
        unnamed: whether parameters decay that no module names, as those of neurons do not.
    """
    own: Any = getattr(part, "decaying_parameters", None)
    if own is not None:
        return list(own())
    found = [p for p in part.parameters(recurse=False) if unnamed and p.dim() >= 2]
    children = (decaying_parameters(child, unnamed=unnamed) for child in part.children())
    return found + [p for parameters in children for p in parameters]


def synaptic_weights(part: nn.Module) -> list[Tensor]:
    """Return the weights of a module itself, without those of modules in it.

    They are the weight of a convolution or linear layer, or what the method of this name returns.
    """
    own: Any = getattr(part, "synaptic_weights", None)
    if own is not None:
        return list(own())
    return [part.weight] if isinstance(part, nn.Conv2d | nn.Linear) else []
