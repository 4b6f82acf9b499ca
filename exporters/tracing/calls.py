"""Calls of neurons, and of parts that lower themselves, in the forward of a network.

A run on noise records them. When `torch.export` runs the forward again, each is one operator,
`asnn::part`, whose outputs have the shapes that were recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.fx.node import has_side_effect

from ...core.errors import ConfigError
from .kinds import is_snntorch, lowers_itself, refusal, state_at_rest

ONE_STEP = "give a module whose forward makes one time step"
BY_TIME = (
    "give it all steps, [T, B, ...], after a convolution y = conv(x.flatten(0, 1)).unflatten(0, "
    "(T, -1)); or one step with its membrane: spk, mem = neuron(x, mem)"
)
PART = "asnn::part"

torch.library.define(PART, "(Tensor[] inputs, int call) -> Tensor[]")


@torch.library.register_fake(PART)
def _outputs_of(inputs: list[Tensor], call: int) -> list[Tensor]:
    shapes = Calls.current[-1].made[call].shapes
    return [inputs[0].new_empty(shape) for shape in shapes]


has_side_effect(torch.ops.asnn.part.default)  # a call changes a hidden state


class Argument:
    """A state that the forward takes as an argument, or a part of it, before the first step.

    Attributes:
        path: the name of the argument, then indices.
        parts: how many values it has where it is unpacked.
    """

    def __init__(self, path: tuple[Any, ...], parts: int) -> None:
        self.path, self.parts = path, parts

    def __getitem__(self, index: Any) -> Argument:
        return Argument((*self.path, index), self.parts)

    def __iter__(self) -> Iterator[Argument]:
        return iter([self[i] for i in range(self.parts)])

    def __len__(self) -> int:
        return self.parts

    def __bool__(self) -> bool:
        return True

    def __index__(self) -> int:
        name = self.path[0]
        raise ConfigError(
            f"the forward takes {name!r} without a value, and uses it as a number",
            why="an export has the input alone to give; other arguments are states",
            remedy=f"give it a value in the forward, such as {name}=25",
        )


@dataclass
class Call:
    """A call of a part.

    Attributes:
        where: the path of the part.
        leaves: of its arguments, in order; tensors are those of a run on noise.
        state: its second argument; None without one.
        spec: the structure of what it returns.
        returned: its leaves, where they are no tensors.
        shapes: of the tensors that it returns.
    """

    where: str
    leaves: list[Any]
    state: Any
    spec: Any
    returned: list[Any]
    shapes: list[torch.Size]


class Calls:
    """Takes the place of the forwards of neurons and parts: first to record, then to replay.

    Attributes:
        batch: of images; None if the input has all steps.
        made: the calls, in order.
        attempts: how many were begun.
        resets: whether the forward resets membranes of snnTorch's neurons.
        read: names of arguments that are states which a part reads.
        network: of the network itself, the leaves of what it returns, their structure, and whether
            it sets states of neurons.
    """

    current: ClassVar[list[Calls]] = []

    def __init__(self, root: nn.Module, batch: int | None) -> None:
        self.root, self.batch = root, batch
        self.attempts = 0
        self.made: list[Call] = []
        self.next: int | None = None  # of a replay
        self.called: dict[int, list[Tensor]] = {}  # with their states, which only a reset replaces
        self.resets = False
        self.read: set[str] = set()
        self.states: dict[int, list[str]] = {}  # their names, by neuron
        self.network: tuple[list[Any], Any, bool] = ([], None, False)
        self.parts: list[nn.Module] = []
        inside = "."  # of the last of these parts
        for name, part in root.named_modules():
            if is_snntorch(part):
                self.states[id(part)] = names_of_states(part)
                part.reset_mem = self._reset_of(part)  # type: ignore[assignment]
            if name.startswith(inside):
                continue
            if is_snntorch(part) or (name and lowers_itself(part)):
                inside = f"{name}."
                self.parts.append(part)
                part.forward = self._forward_of(name, part, part.forward)

    def replay(self) -> None:
        """Replay the calls from now on.

        The states of neurons are no buffers then, which an export lets nobody set.
        """
        self.next, self.called = 0, {}
        for part in self.root.modules():
            for name in self.states.get(id(part), ()):
                vars(part)[name] = part._buffers.pop(name)

    def all_states(self) -> list[Tensor]:
        return [state for part in self.root.modules() for state in self.states_of(part)]

    def end(self) -> None:
        """Give the parts their own forwards and buffers back."""
        for part in self.root.modules():
            vars(part).pop("reset_mem", None)
            for name in self.states.get(id(part), ()):
                part.register_buffer(name, torch.zeros_like(vars(part).pop(name)), False)
        for part in self.parts:
            del part.forward

    def states_of(self, neuron: nn.Module) -> list[Tensor]:
        """Return the states of a neuron of snnTorch."""
        return [getattr(neuron, name) for name in self.states.get(id(neuron), ())]

    def _forward_of(self, name: str, part: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if is_snntorch(part):
                states = self.states_of(part)
                before = self.called.setdefault(id(part), states)
                replays = self.next is not None
                if replays and any(a is not b for a, b in zip(states, before, strict=True)):
                    raise _late_reset(part)
            leaves = pytree.tree_leaves((args, kwargs), is_leaf=_is_none)
            if self.next is None:
                return self._record(name, part, forward, args, kwargs)
            number, self.next = self.next, self.next + 1
            made = self.made[number]
            tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
            found = list(torch.ops.asnn.part(tensors, number))
            filled = [found.pop(0) if isinstance(x, Tensor) else x for x in made.returned]
            return pytree.tree_unflatten(filled, made.spec)

        return call

    def _record(
        self, name: str, part: Any, forward: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        leaves = pytree.tree_leaves((args, kwargs), is_leaf=_is_none)
        self.attempts += 1
        given = [leaf for leaf in leaves if leaf is not None]
        one_step = self.batch is not None and given[0].shape[1:2] != (self.batch,)
        if lowers_itself(part) and len(given) == 1 and one_step:
            why = "it takes [T, B, ...], and its input is of one step, [B, ...]"
            raise refusal(name, part, why, BY_TIME)
        self.read |= {leaf.path[0] for leaf in leaves if isinstance(leaf, Argument)}
        rest = torch.zeros(0) if is_snntorch(part) else state_at_rest(part)

        state = next((x for x in [*args[1:], *kwargs.values()] if x is not None), None)

        def at_rest(leaf: Any) -> Any:
            return rest if isinstance(leaf, Argument) else leaf

        args, kwargs = pytree.tree_map(at_rest, (args, kwargs))
        returned = forward(*args, **kwargs)
        found, spec = pytree.tree_flatten(returned)
        shapes = [leaf.shape for leaf in found if isinstance(leaf, Tensor)]
        self.made.append(Call(name, leaves, state, spec, found, shapes))
        return returned

    def _reset_of(self, part: Any) -> Callable[[], Any]:
        def reset_mem() -> Any:
            if id(part) in self.called:
                raise _late_reset(part)
            self.resets = True
            states = [torch.zeros(0) for _ in self.states_of(part)]
            return states[0] if len(states) == 1 else tuple(states)

        return reset_mem


def names_of_states(neuron: nn.Module) -> list[str]:
    """Return the names of the states of a neuron: its buffers that are not persistent."""
    return [name for name in neuron._buffers if name in neuron._non_persistent_buffers_set]


def _is_none(value: Any) -> bool:
    return value is None


def _late_reset(neuron: nn.Module) -> ConfigError:
    return ConfigError(
        f"the forward resets a {type(neuron).__name__} after it has been called",
        why="exports start from rest once, in the first step",
        remedy=ONE_STEP,
    )
