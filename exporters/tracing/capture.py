"""Captures the forward of a torch module as operators of aten.

`torch.export` runs the forward once on a batch of a known shape, so that loops, branches on sizes
and containers are Python's. Neurons, and parts that lower themselves, are operators of their own,
see `calls`.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, fx, nn

from ...core.errors import AsnnError, ConfigError
from .calls import ONE_STEP, Argument, Call, Calls, names_of_states
from .kinds import lowers_itself, snntorch_neurons

EINSUM = torch.ops.aten.einsum.default


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
    def step_calls(self) -> int:
        """The largest number of calls of a part."""
        found = [call.where for call in self.calls]
        return max((found.count(where) for where in set(found)), default=0)


class _Network(nn.Module):
    """The network as `torch.export` takes it: from a tensor to the tensors that it returns."""

    def __init__(self, root: nn.Module, given: dict[str, Any], calls: Calls) -> None:
        super().__init__()
        self.root, self.given, self.calls = root, given, calls

    def forward(self, x: Tensor) -> list[Tensor]:
        before = self.calls.all_states()
        leaves, spec = pytree.tree_flatten(self.root(x, **self.given))
        after = self.calls.all_states()
        sets = any(a is not b for a, b in zip(before, after, strict=True))
        self.calls.network = leaves, spec, sets  # an export restores attributes of modules
        return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


class FailedRunError(ConfigError):
    """A forward that fails on an input.

    Attributes:
        attempts: how many calls of parts it has begun.
    """

    attempts = 0


class UntracedError(ConfigError):
    """A forward that runs, but that cannot be captured."""


def capture(
    module: nn.Module, example: Tensor, *, by_step: bool = True, remedy: str = ONE_STEP
) -> Capture:
    """Capture a copy of a module, so that the module does not change.

    Arguments behind the input without a value, or with None, are states.

    Args:
        module: the network.
        example: an input, whose shape the capture holds for.
        by_step: whether it has all steps.
        remedy: what to do if the forward fails on it.

    Raises:
        ConfigError: its forward fails, or cannot be captured.
    """
    required, optional = states_of_forward(module)
    try:
        return _Run(module, example, [*required, *optional], by_step, remedy).captured()
    except ConfigError:
        if not optional:
            raise
        return _Run(module, example, required, by_step, remedy).captured()


def steps_made(module: nn.Module, example: Tensor, remedy: str) -> int:
    """Return the largest number of calls of a part, for an input of all steps.

    Raises:
        ConfigError: the forward fails.
    """
    required, _ = states_of_forward(module)
    found = [call.where for call in _Run(module, example, required, True, remedy).calls.made]
    return max((found.count(where) for where in set(found)), default=0)


class _Run:
    """A copy of a network that has run once, on noise.

    Attributes:
        calls: of its parts.
    """

    def __init__(
        self, module: nn.Module, example: Tensor, states: list[str], by_step: bool, remedy: str
    ) -> None:
        # Membranes of a training have an autograd history, which cannot be copied.
        memo: dict[int, Any] = {
            id(getattr(part, name)): torch.zeros(0)
            for part in snntorch_neurons(module)
            for name in names_of_states(part)
        }
        self.kind, self.example, self.states = type(module).__name__, example, states
        self.root = copy.deepcopy(module, memo).eval()
        self.neurons = list(snntorch_neurons(self.root))
        number = len(self.neurons) + sum(lowers_itself(part) for part in self.root.modules())
        self.given = {name: Argument((name,), number) for name in states}
        self.calls = Calls(self.root, None if by_step else len(example))
        what = f"{self.kind} fails on an input of the shape {list(example.shape)}"
        try:
            with self.context(), _failing(FailedRunError, what, remedy):
                self.root(example, **self.given)
        except FailedRunError as error:
            error.attempts = self.calls.attempts
            raise

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        with torch.no_grad(), reset_by_snntorch(self.neurons):
            yield

    def captured(self) -> Capture:
        """Run the network again, to capture its operators."""
        network = _Network(self.root, self.given, self.calls)
        self.calls.replay()
        Calls.current.append(self.calls)
        what = f"the forward of {self.kind} cannot be traced"
        try:
            with self.context(), _failing(UntracedError, what, _UNTRACED), _quiet():
                program = torch.export.export(network, (self.example,), strict=False)
                program = program.run_decompositions(_of_einsum(program))
        finally:
            Calls.current.pop()
        self.calls.end()
        (leaves, spec, sets), signature = self.calls.network, program.graph_signature
        changed = sorted(signature.buffers_to_mutate.values())
        if changed:
            raise UntracedError(
                f"the forward of {self.kind} changes {changed[0].removeprefix('root.')!r}",
                why="exports keep no buffers from call to call but the states of neurons",
                remedy="change it in training only: if self.training",
            )
        if signature.user_inputs_to_mutate:
            raise UntracedError(
                f"the forward of {self.kind} changes its input",
                why="an export has no such side effect",
                remedy="write x = x.clamp(0, 1), not x.clamp_(0, 1)",
            )
        owned = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        own = {**program.state_dict, **program.constants}
        constants = {name: own[path] for name, path in owned.items()}
        for name, path in signature.inputs_to_lifted_tensor_constants.items():
            constants[name] = program.constants[path]
        return Capture(
            root=self.root,
            graph=program.graph,
            constants={name: tensor.detach() for name, tensor in constants.items()},
            paths={name: path.removeprefix("root.") for name, path in owned.items()},
            calls=self.calls.made,
            spec=spec,
            returned=leaves,
            resets=self.calls.resets or sets,
            unread=[name for name in self.states if name not in self.calls.read],
        )


def _of_einsum(program: Any) -> dict[Any, Any]:
    """Return of which operators torch makes an einsum, if a program has one."""
    if all(node.target is not EINSUM for node in program.graph.nodes):
        return {}
    return {EINSUM: torch.export.default_decompositions()[EINSUM]}


_UNTRACED = (
    f"{ONE_STEP}, with no branch or loop that depends on values of its input; a neuron of your own "
    "needs a method lower(graph, name), see 'A neuron' in CONTRIBUTING.md"
)


@contextlib.contextmanager
def _failing(kind: type[ConfigError], what: str, remedy: str) -> Iterator[None]:
    """Turn errors of the user's forward into ones of a class."""
    try:
        yield
    except ConfigError as error:
        if isinstance(error, kind):
            raise
        raise kind(error.what, why=error.why, remedy=error.remedy) from error
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
        if f"'{Argument.__name__}'" in why:
            why = "it computes with an argument behind the input, which has no value"
            remedy = "give the argument the value None, and begin with zeros where it is None"
        if "is invalid for input of size" in why:
            remedy = (
                f"take the size of the batch from the input, x.view(x.size(0), -1); or {remedy}"
            )
        if "fake tensor in the exported program" in why:
            why = "it reads or changes the .data of a tensor of the network"
            remedy = "change parameters outside the forward, after a step of the optimiser"
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


def states_of_forward(module: nn.Module) -> tuple[list[str], list[str]]:
    """Return the arguments behind the first: those without a value, and those that are None."""
    parameters = list(inspect.signature(module.forward).parameters.values())[1:]
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = [p.name for p in named if p.default is p.empty]
    return required, [p.name for p in named if p.default is None]


@contextlib.contextmanager
def reset_by_snntorch(neurons: list[Any]) -> Iterator[None]:
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
