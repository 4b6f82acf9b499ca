"""Traces the forward of a torch module, with neurons and layers that lower themselves as leaves."""

from __future__ import annotations

import contextlib
import copy
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from ...core.errors import AsnnError, ConfigError
from .kinds import is_snntorch, lowers_itself, snntorch_neurons

ONE_STEP = "give a module whose forward makes one time step"


@dataclass(frozen=True)
class Trace:
    """A traced forward.

    Attributes:
        root: a copy of the module, in evaluation mode.
        graph: of torch.fx.
        resets: whether the forward resets membranes of snnTorch's neurons in each call.
    """

    root: nn.Module
    graph: fx.Graph
    resets: bool

    @property
    def takes_all_steps(self) -> bool:
        """Whether a part is called with all steps at once, `[T, B, ...]`."""
        calls = (node for node in self.graph.nodes if node.op == "call_module")
        return any(
            lowers_itself(self.root.get_submodule(str(node.target)))
            and len([value for value in (*node.args, *node.kwargs.values()) if value is not None])
            == 1
            for node in calls
        )

    @property
    def step_calls(self) -> int:
        """The largest number of calls of a part."""
        targets = [node.target for node in self.graph.nodes if node.op == "call_module"]
        return max((targets.count(target) for target in set(targets)), default=0)


class _Tracer(fx.Tracer):
    """Traces, and records which neurons were called.

    Args:
        rank: axes of the input of the network.
        steps: the size of its first axis; None if it is not known.
    """

    def __init__(self, rank: int, steps: int | None) -> None:
        super().__init__()
        self.rank, self.steps = rank, steps
        self.called: dict[int, list[Tensor]] = {}  # with their states, which only a reset replaces
        self.inside: nn.Module | None = None  # the module whose forward runs, or failed

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = is_snntorch(m) or lowers_itself(m)
        return own or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        states = [buffer for _, buffer in _states(m)] if is_snntorch(m) else []
        before = self.called.setdefault(id(m), states)
        if any(now is not state for now, state in zip(states, before, strict=True)):
            raise _late_reset(m)
        outer, self.inside = self.inside, m
        found = super().call_module(m, forward, args, kwargs)
        self.inside = outer
        return found

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        length = self.length(obj.node)
        parts: Any = obj
        return super().iter(obj) if length is None else iter([parts[i] for i in range(length)])

    def length(self, node: fx.Node) -> int | None:
        """Return the number of parts of a value: of the sizes of the input, or of its steps."""
        unbound = node.target in ("unbind", torch.unbind) and node.args[1:] in ((), (0,))
        if _is_input(node.args[0] if unbound else node):
            return self.steps
        return _length(node, self.rank)


class _Value(fx.Proxy):
    """A traced value.

    The sizes of the network's input can be unpacked, as in `*x.shape`. If its number of steps is
    known, it can be that of a loop, and the steps can be iterated over.
    """

    tracer: _Tracer

    def __getattr__(self, k: str) -> Any:
        if k == "shape":
            return self.tracer.create_proxy("call_function", getattr, (self, k), {})
        return super().__getattr__(k)

    def __len__(self) -> int:
        length = self.tracer.length(self.node)
        return super().__len__() if length is None else length

    def __index__(self) -> int:
        steps = self.tracer.steps
        if steps is None or not _is_first_size(self.node, self.tracer.rank):
            raise TypeError("a value that depends on the input is not a number in a trace")
        return steps


def _length(node: fx.Node, rank: int) -> int | None:
    """Return the number of sizes of the network's input that a node has; None if it has none."""
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node):
        return None
    if node.target is operator.getitem and isinstance(node.args[1], slice):
        length = _length(source, rank)
        return None if length is None else len(range(length)[node.args[1]])
    sizes = node.args == (source,) if node.target == "size" else node.args == (source, "shape")
    return rank if _is_input(source) and sizes and node.target in ("size", getattr) else None


def _is_first_size(node: fx.Node, rank: int) -> bool:
    """Return whether a node is the size of the first axis of the network's input."""
    if node.target == "size":
        return _is_input(node.args[0]) and node.args[1:] == (0,)
    if node.target is len:
        return _is_input(node.args[0])
    first = node.target is operator.getitem and node.args[1] == 0
    sizes = node.args[0] if first else None
    if not isinstance(sizes, fx.Node) or _length(sizes, rank) is None:
        return False
    part = sizes.args[1] if sizes.target is operator.getitem else None
    return not isinstance(part, slice) or part.start in (None, 0)


def _is_input(node: Any) -> bool:
    """Return whether a node is the input of the network."""
    return isinstance(node, fx.Node) and node.op == "placeholder" and node.prev.op == "root"


def trace(module: nn.Module, rank: int, steps: int | None = None) -> Trace:
    """Trace a copy of a module, so that the module does not change.

    Args:
        module: the network.
        rank: axes of its input.
        steps: the size of the first of them; None if it is not known.

    Raises:
        ConfigError: its forward cannot be traced.
    """
    # Membranes of a training have an autograd history, which cannot be copied.
    memo: dict[int, Any] = {
        id(buffer): torch.zeros(0)
        for part in snntorch_neurons(module)
        for name, buffer in _states(part)
    }
    resets: list[str] = []
    tracer = _Tracer(rank, steps)
    try:
        root = copy.deepcopy(module, memo).eval()
        copies = list(snntorch_neurons(root))
        rest = {id(part): dict(_states(part)) for part in copies}
        for part in copies:
            part.reset_mem = _recorder(part, tracer, resets)
        with _reset_by_snntorch(copies):
            graph = tracer.trace(root)
    except AsnnError:
        raise
    except Exception as error:  # of the user's forward
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ConfigError(
            f"the forward of {type(tracer.inside or module).__name__} cannot be traced",
            why=why,
            remedy=f"{ONE_STEP}, with no branch or loop that depends on its input; a loop over the "
            "steps of [T, B, ...] needs their number, --steps, and a neuron of your own needs a "
            "method lower(graph, name), see 'A neuron' in CONTRIBUTING.md",
        ) from error
    touched = any(
        buffer is not rest[id(part)][name] for part in copies for name, buffer in _states(part)
    )
    return Trace(root, graph, bool(resets) or touched)


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


def _states(neuron: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the state of a neuron: its buffers that are not persistent."""
    names = neuron._non_persistent_buffers_set
    return [(name, buffer) for name, buffer in neuron.named_buffers() if name in names]


def _late_reset(neuron: nn.Module) -> ConfigError:
    return ConfigError(
        f"the forward resets a {type(neuron).__name__} after it has been called",
        why="exports start from rest once, in the first step",
        remedy=ONE_STEP,
    )


def _recorder(neuron: nn.Module, tracer: _Tracer, resets: list[str]) -> Callable[[], Any]:
    def reset_mem() -> Any:
        if id(neuron) in tracer.called:
            raise _late_reset(neuron)
        resets.append(type(neuron).__name__)
        states = [torch.zeros(0) for _ in _states(neuron)]
        return states[0] if len(states) == 1 else tuple(states)

    return reset_mem
