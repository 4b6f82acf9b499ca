"""Captures the forward of a torch module as operators of aten.

`torch.export` runs the forward once on a batch of a known shape, so that loops, branches on sizes
and containers are Python's. Neurons, and parts that lower themselves, are one operator each,
`asnn::part`, whose outputs have the shapes that a run of the network has found.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.utils._pytree as pytree
from torch import Tensor, fx, nn

from ...core.errors import AsnnError, ConfigError
from .kinds import is_snntorch, lowers_itself, snntorch_neurons, state_at_rest

ONE_STEP = "give a module whose forward makes one time step"
PART = "asnn::part"

torch.library.define(PART, "(Tensor[] inputs, int call) -> Tensor[]")


@torch.library.register_fake(PART)
def _outputs_of(inputs: list[Tensor], call: int) -> list[Tensor]:
    shapes = _Calls.current[-1].made[call].shapes
    return [inputs[0].new_empty(shape) for shape in shapes]


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


@dataclass
class Capture:
    """A captured forward.

    Attributes:
        root: a copy of the module, in evaluation mode.
        graph: of aten operators without side effects, and of `asnn::part`.
        constants: the tensors that are inputs of the graph, by the name of their node.
        paths: of parameters and buffers, by the name of their node.
        calls: of parts, by their number.
        spec: the structure of what the forward returns.
        returned: its leaves, where they are no tensors.
        resets: whether the forward resets membranes of snnTorch's neurons in each call.
        unread: arguments that are states and that no part has read.
    """

    root: nn.Module
    graph: fx.Graph
    constants: dict[str, Tensor]
    paths: dict[str, str]
    calls: list[Call]
    spec: Any
    returned: list[Any]
    resets: bool
    unread: list[str]

    @property
    def takes_all_steps(self) -> bool:
        """Whether a part is called with all steps at once, `[T, B, ...]`."""
        return any(
            lowers_itself(self.root.get_submodule(call.where)) and is_whole(call)
            for call in self.calls
        )

    @property
    def step_calls(self) -> int:
        """The largest number of calls of a part."""
        found = [call.where for call in self.calls]
        return max((found.count(where) for where in set(found)), default=0)


def is_whole(call: Call) -> bool:
    """Return whether a call has an input alone, and no state."""
    return sum(leaf is not None for leaf in call.leaves) == 1


class _Calls:
    """Takes the place of the forwards of neurons and parts: first to record, then to replay."""

    current: ClassVar[list[_Calls]] = []

    def __init__(self, root: nn.Module) -> None:
        self.root = root
        self.made: list[Call] = []
        self.next: int | None = None  # of a replay
        self.called: dict[int, list[Tensor]] = {}  # with their states, which only a reset replaces
        self.resets = False
        self.read: set[str] = set()
        self.states: dict[int, list[str]] = {}  # their names, by neuron
        # Of the network, the leaves of what it returns, their structure, and whether it has set
        # states of neurons.
        self.network: tuple[list[Any], Any, bool] = ([], None, False)
        self.parts: list[nn.Module] = []
        inside = "."  # of the last of these parts
        for name, part in root.named_modules():
            if is_snntorch(part):
                self.states[id(part)] = _names_of_states(part)
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
        self.read |= {leaf.path[0] for leaf in leaves if isinstance(leaf, Argument)}
        rest = torch.zeros(0) if is_snntorch(part) else state_at_rest(part)

        state = next((x for x in [*args[1:], *kwargs.values()] if x is not None), None)

        def given(leaf: Any) -> Any:
            return rest if isinstance(leaf, Argument) else leaf

        args, kwargs = pytree.tree_map(given, (args, kwargs))
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


class _Network(nn.Module):
    """The network as `torch.export` takes it: from a tensor to the tensors that it returns."""

    def __init__(self, root: nn.Module, given: dict[str, Any], calls: _Calls) -> None:
        super().__init__()
        self.root, self.given, self.calls = root, given, calls

    def forward(self, x: Tensor) -> list[Tensor]:
        before = self.calls.all_states()
        leaves, spec = pytree.tree_flatten(self.root(x, **self.given))
        after = self.calls.all_states()
        sets = any(a is not b for a, b in zip(before, after, strict=True))
        self.calls.network = leaves, spec, sets  # an export restores attributes of modules
        return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


class UntracedError(ConfigError):
    """A forward that runs, but that cannot be captured."""


def capture(module: nn.Module, example: Tensor, remedy: str = ONE_STEP) -> Capture:
    """Capture a copy of a module, so that the module does not change.

    Arguments behind the input without a value, or with None, are states.

    Args:
        module: the network.
        example: an input, whose shape the capture holds for.
        remedy: what to do if the forward fails on it.

    Raises:
        ConfigError: its forward fails, or cannot be captured.
    """
    required, optional = _states_of_forward(module)
    try:
        return _captured(module, example, [*required, *optional], remedy)
    except ConfigError:
        if not optional:
            raise
        return _captured(module, example, required, remedy)


def _captured(module: nn.Module, example: Tensor, states: list[str], remedy: str) -> Capture:
    # Membranes of a training have an autograd history, which cannot be copied.
    memo: dict[int, Any] = {
        id(getattr(part, name)): torch.zeros(0)
        for part in snntorch_neurons(module)
        for name in _names_of_states(part)
    }
    kind = type(module).__name__
    root = copy.deepcopy(module, memo).eval()
    neurons = list(snntorch_neurons(root))
    number = len(neurons) + sum(lowers_itself(part) for part in root.modules())
    given = {name: Argument((name,), number) for name in states}
    calls = _Calls(root)
    with torch.no_grad(), _reset_by_snntorch(neurons):
        what = f"{kind} fails on an input of the shape {list(example.shape)}"
        with _failing(ConfigError, what, remedy):
            root(example, **given)
        network = _Network(root, given, calls)
        calls.replay()
        _Calls.current.append(calls)
        try:
            what = f"the forward of {kind} cannot be traced"
            with _failing(UntracedError, what, _UNTRACED), _quiet():
                program = torch.export.export(network, (example,), strict=False)
                program = program.run_decompositions({})
        finally:
            _Calls.current.pop()
    calls.end()
    (leaves, spec, sets), signature = calls.network, program.graph_signature
    owned = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    own = {**program.state_dict, **program.constants}
    constants = {name: own[path] for name, path in owned.items()}
    for name, path in signature.inputs_to_lifted_tensor_constants.items():
        constants[name] = program.constants[path]
    return Capture(
        root=root,
        graph=program.graph,
        constants={name: tensor.detach() for name, tensor in constants.items()},
        paths={name: path.removeprefix("root.") for name, path in owned.items()},
        calls=calls.made,
        spec=spec,
        returned=leaves,
        resets=calls.resets or sets,
        unread=[name for name in states if name not in calls.read],
    )


_UNTRACED = (
    f"{ONE_STEP}, with no branch or loop that depends on values of its input; a neuron of your own "
    "needs a method lower(graph, name), see 'A neuron' in CONTRIBUTING.md"
)


@contextlib.contextmanager
def _failing(kind: type[ConfigError], what: str, remedy: str) -> Iterator[None]:
    """Turn errors of the user's forward into ones of a class."""
    try:
        yield
    except AsnnError:
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, AsnnError) else None
        if cause is not None:
            raise cause from error
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        if "DataDependent" in type(error).__name__:
            why = "it branches on values that depend on its input"
        if "not tuple" in why:
            remedy = (
                "create the neuron before it with init_hidden=True, or pass on the spikes alone"
            )
            why = f"a layer is given spikes and membrane together ({why})"
        raise kind(what, why=why, remedy=remedy) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the logs of torch's tracer back, which repeat its errors."""
    logger = logging.getLogger("torch")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _states_of_forward(module: nn.Module) -> tuple[list[str], list[str]]:
    """Return the arguments behind the first: those without a value, and those that are None."""
    parameters = list(inspect.signature(module.forward).parameters.values())[1:]
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = [p.name for p in named if p.default is p.empty]
    return required, [p.name for p in named if p.default is None]


@contextlib.contextmanager
def _reset_by_snntorch(neurons: list[Any]) -> Iterator[None]:
    """Let `snntorch.utils.reset` reset these neurons only; it resets all that exist."""
    if not neurons:
        yield
        return
    from snntorch import SpikingNeuron

    instances = SpikingNeuron.instances
    SpikingNeuron.instances = neurons
    try:
        yield
    finally:
        SpikingNeuron.instances = instances


def _names_of_states(neuron: nn.Module) -> list[str]:
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
