"""Lowers a captured forward to layers of one time step, which are the same at all.

A forward runs one step, all steps in a loop of its own, or all steps at once, `[T, B, ...]`. The
capture has the loop unrolled; `folding` makes one step of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.utils._pytree as pytree
from torch import Tensor, fx, nn

from ...core.errors import ConfigError
from ..graph import ir as g
from ..graph.answer import Answer
from ..verification.neurons import LoweredNeuron
from .calls import ONE_STEP
from .capture import Capture
from .elementwise import OPERANDS
from .folding import Folding, Make
from .kinds import refusal
from .layers.after import of_reduced
from .operators import OPERATORS
from .parts import membrane, part
from .values import ALL, Axes, Axis, Collected, Const, Reduced, Several, Signal, State

KNOWN = (
    "use the layers that docs/export-snntorch.md lists, or give the module that computes it a "
    "method lower(graph, name), see 'A layer' in CONTRIBUTING.md"
)
SOME_STEPS = "take their mean or sum over the steps, or select single steps: x[t]"
EMPTY = ("empty", "empty_like", "new_empty", "empty_permuted", "empty_strided")
SAME = (  # whose values are those of their operand
    *("clone", "detach", "alias", "contiguous", "lift_fresh_copy", "_to_copy", "to"),
    *("expand", "unsqueeze", "squeeze", "view", "reshape", "_unsafe_view"),
)
# Random with dropout alone, of which an argument says whether there is any.
DROPPING = ("lstm", "gru", "rnn_tanh", "rnn_relu", "scaled_dot_product_attention")
SHAPED = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")


@dataclass
class Lowering:
    """Lowers the nodes of a capture one after another.

    Attributes:
        captured: the forward.
        in_shape: of a sample at one step.
        axes: of the input; without `T` it is an image.
        steps, batch: the sizes of these axes in the capture.
        values: of the nodes, as `values` defines them.
        steps_of: the steps of nodes that do not follow from those of the input.
        folding: the layers so far.
        calls, neurons: number of calls of each neuron, and its layer.
        fixed: numbers of steps that the forward has chosen.
        states: of each argument that is a state, or part of one, the state that it becomes.
        parts: neurons that lowered themselves, by the name of their layer.
        node: that is lowered now.
    """

    captured: Capture
    in_shape: g.Shape
    axes: Axes
    steps: int
    batch: int
    own_steps: int
    values: dict[fx.Node, Any] = field(default_factory=dict)
    steps_of: dict[fx.Node, int] = field(default_factory=dict)
    folding: Folding = field(init=False)
    calls: Counter[str] = field(default_factory=Counter)
    neurons: dict[str, str] = field(default_factory=dict)
    fixed: set[int] = field(default_factory=set)
    states: dict[tuple[Any, ...], State] = field(default_factory=dict)
    resets: bool = False
    parts: dict[str, LoweredNeuron] = field(default_factory=dict)
    answer: Answer | None = None
    node: fx.Node = field(init=False)
    _made: int = 0

    def __post_init__(self) -> None:
        self.folding = Folding(self.in_shape)
        self.resets = self.captured.resets

    @property
    def root(self) -> nn.Module:
        return self.captured.root

    def follow(self, steps_of: dict[fx.Node, int]) -> None:
        """Let nodes be of steps, in a forward that makes all steps of one image."""
        self.steps_of = steps_of
        if steps_of:
            self.fixed.add(max(steps_of.values()) + 1)

    def lower(self, node: fx.Node) -> None:
        """Compute the value of a node."""
        self.node, self._made = node, 0
        if node.op == "placeholder":
            self.values[node] = self._input(node)
            return
        given: Any = fx.map_arg((node.args, dict(node.kwargs)), self.values.__getitem__)
        args, kwargs = given
        if self.name.startswith("_assert"):
            self.values[node] = None
        elif self.name == "getitem":
            self.values[node] = args[0][args[1]]
        elif self.name == "part":
            self.values[node] = part(self, self.captured.calls[args[1]], args[0])
        else:
            self.values[node] = self.operator(args, kwargs)

    @property
    def name(self) -> str:
        """The name of the operator of the node, without its overload."""
        target: Any = self.node.target
        schema = getattr(target, "_schema", None)
        return schema.name.partition("::")[2] if schema else target.__name__

    @property
    def is_taken_apart(self) -> bool:
        """Whether the forward selects single values of the operator's."""
        return all(str(user.target) in ("aten.select.int", "aten.unbind.int")
                   for user in self.node.users)  # fmt: skip

    @property
    def dtype(self) -> torch.dtype:
        """The type of the numbers that the operator reads."""
        source: Any = self.node.args[0]
        found: torch.dtype = source.meta["val"].dtype
        return found

    @property
    def result(self) -> torch.dtype:
        """The type of the numbers that the operator returns."""
        found: torch.dtype = self.node.meta["val"].dtype
        return found

    @property
    def pooled_axes(self) -> int:
        """The axes of an image, or series, of a pool."""
        return 1 if "1d" in self.name else 2

    def _input(self, node: fx.Node) -> Any:
        constant = self.captured.constants.get(node.name)
        if constant is None:
            step = ALL if "T" in self.axes else None
            return Signal(g.INPUT, step, self.axes)
        path = self.captured.paths.get(node.name)
        return Const.of(constant) if path is None else Const(constant, path)

    # Operators

    def operator(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Return the value of an operator of aten."""
        target: Any = self.node.target
        leaves = pytree.tree_leaves((args, kwargs))
        given = [x for x in leaves if isinstance(x, Signal | State | Reduced | Several | Const)]
        traced = [x for x in leaves if not isinstance(x, Const) and x in given]
        tags = getattr(target, "tags", ())  # a comparison of numbers is an operator of Python
        if torch.Tag.nondeterministic_seeded in tags and self.name not in DROPPING:
            raise self._random()
        if self.name in EMPTY:  # any values will do
            return self.rest(self._shape_of(self.node))
        if self.name in SHAPED:
            args = [torch.empty(self._shape_of(self.node.args[0])), *args[1:]]
            return Const.of(target(*args, **kwargs))
        if not traced and not any(isinstance(x, Collected) for x in leaves):
            constants = [x for x in given if isinstance(x, Const)]
            return self._constant(target, args, kwargs, constants)
        handler = OPERATORS.get(self.name)
        if handler is None:
            raise self.refusal("the graph has no such layer", KNOWN)
        try:
            if any(isinstance(x, Reduced) for x in leaves):
                return of_reduced(self, handler, args, kwargs)
            return handler(self, *args, **kwargs)
        except ConfigError:
            raise
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise self.refusal(f"{type(error).__name__}: {error}", KNOWN) from error

    def _shape_of(self, node: Any) -> Any:
        return node.meta["val"].shape

    def _constant(self, target: Any, args: Any, kwargs: Any, given: list[Const]) -> Const:
        def tensor(x: Any) -> Any:
            return x.tensor if isinstance(x, Const) else x

        value = target(*pytree.tree_map(tensor, args), **pytree.tree_map(tensor, kwargs))
        if not isinstance(value, Tensor):
            return pytree.tree_map(lambda x: Const.of(x) if isinstance(x, Tensor) else x, value)
        if self.name in SAME and given:
            return Const.of(value, given[0].call)
        number = OPERANDS.get(self.name)
        if number is None:
            operands = tuple(given[:1])
        else:
            every = [x if isinstance(x, Const) else _scalar(x) for x in args[:number]]
            operands = tuple(every[::-1] if self.name == "rsub" else every)
        rests = any(x.is_zero or x.call is not None for x in operands)
        return Const.of(value, ((self.key(args, kwargs), operands)) if rests else None)

    def key(self, args: Sequence[Any], kwargs: dict[str, Any], *, numbers: bool = True) -> Hashable:
        """Return what the operator computes, beside its operands; of tensors their shapes alone
        without `numbers`."""
        first = OPERANDS.get(self.name, 1)
        rest = pytree.tree_leaves((list(args[first:]), kwargs))
        own = tuple(
            (x.key if numbers else str(x.tensor.shape)) if isinstance(x, Const) else repr(x)
            for x in rest
            if not isinstance(x, Signal | State | Reduced | Several)
        )
        return (str(self.node.target), own, 0)

    def _random(self) -> ConfigError:
        dropout = "dropout" in self.name
        return self.refusal(
            "it is random in evaluation mode too" + ", with training=True" * dropout,
            "use nn.Dropout, or training=self.training"
            if dropout
            else "draw random numbers in training only, if self.training; or draw spikes before "
            "the network, which then takes all steps, [T, B, ...]",
        )

    def call(
        self, inputs: list[Any], shape: g.Shape, make: Make, *, axes: Axes, **more: Any
    ) -> Signal:
        """Return the value of a layer that this operator is."""
        found: Any = fx.map_arg((self.node.args, dict(self.node.kwargs)), self.values.__getitem__)
        args, kwargs = found
        *own, _ = self.key(args, kwargs)  # type: ignore[misc]
        key = (*own, self._made)
        *alike, _ = self.key(args, kwargs, numbers=False)  # type: ignore[misc]
        more["family"] = (*alike, self._made)
        more.setdefault("step", self.steps_of.get(self.node))
        more["module"] = self._own_module()
        self._made += 1
        where, kind = self.where
        return self.folding.call(where, kind, key, inputs, shape, make, axes=axes, **more)

    @property
    def where(self) -> tuple[str, str]:
        """The path and class of the layer of torch that the operator is of; of other operators
        their names alone."""
        path, kind = self._module()
        if kind.startswith("torch.nn") and path:
            return path, kind.rpartition(".")[2]
        weight = next((x for x in self.node.all_input_nodes if x.name in self.captured.paths), None)
        if weight is not None and "." in self.captured.paths[weight.name]:
            path = self.captured.paths[weight.name].rpartition(".")[0]
            return path, type(self.root.get_submodule(path)).__name__
        return self.name.removesuffix("_legit_no_training"), ""

    def _module(self) -> tuple[str, str]:
        stack = self._modules()
        return stack[-1] if stack else ("", "")

    def _own_module(self) -> str:
        """Return the path of the module of the user that the operator is in."""
        own = [path for path, kind in self._modules() if not kind.startswith("torch.nn")]
        return own[-1] if own else ""

    def _modules(self) -> list[tuple[str, str]]:
        stack = (self.node.meta.get("nn_module_stack") or {}).values()
        return [(path.removeprefix("root").removeprefix("."), str(kind)) for path, kind in stack]

    def refusal(self, why: str, remedy: str) -> ConfigError:
        """Return the error for this operator."""
        where, kind = self.where
        if kind:
            return refusal(where, kind, why, remedy)
        line = _line_of(self.node)
        return ConfigError(
            f"{_written(self.name)} in the forward cannot be exported",
            why=why + (f" ({line})" if line else ""),
            remedy=remedy,
        )

    # Values

    def traced(self, x: Any) -> Any:
        """Return a value of a layer, or a state."""
        if isinstance(x, Signal | State):
            return x
        if isinstance(x, Several):
            raise self.refusal("it reads some of the steps", SOME_STEPS)
        raise self.refusal("its input is a constant", ONE_STEP)

    def signal(self, x: Any) -> Signal:
        """Return the value of a layer; that of a state is a layer of its own."""
        x = self.traced(x)
        return x if isinstance(x, Signal) else membrane(self, x)

    def array(self, x: Any) -> Any:
        """Return a constant as float32 array, None as None."""
        if x is None:
            return None
        if not isinstance(x, Const):
            raise self.refusal("its weights depend on the input", KNOWN)
        return np.array(x.tensor.detach().cpu().contiguous().numpy(), np.float32)

    def constant(self, x: Const, function: Callable[[Tensor], Tensor]) -> Const:
        return Const.of(function(x.tensor))

    def rest(self, shape: Sequence[int]) -> Const:
        return Const.of(torch.zeros(tuple(shape)))

    def number(self, x: Any) -> float | None:
        """Return a number, or None of what is more than one."""
        if isinstance(x, int | float):
            return float(x)
        single = isinstance(x, Const) and x.tensor.numel() == 1
        return float(x.tensor) if single else None

    def reads(self, x: Any) -> None:
        """Note that the network reads the input itself, or a step of it."""
        if isinstance(x, Signal):
            self.folding.step_of(self.name, [x])

    @property
    def every(self) -> int:
        """The number of steps that the forward makes."""
        return max([*self.calls.values(), *self.fixed], default=self.steps)

    def size(self, x: Any, axis: Axis) -> int:
        """Return the size of an axis of a value."""
        if isinstance(axis, int):
            return self.folding.shape(x.layer if isinstance(x, Signal) else x.neuron)[axis]
        own = isinstance(x, Signal) and x.layer == g.INPUT and "T" in self.axes
        steps = self.steps if own else min(self.fixed, default=self.steps)
        sizes = {"T": steps, "B": self.batch, "TB": steps * self.batch, "BT": steps * self.batch}
        return 1 if axis is None else sizes[axis]


def _scalar(x: Any) -> Const:
    return Const.of(torch.tensor(float(x)))


def _written(name: str) -> str:
    """Return an operator as a forward has it."""
    return {"add": "+", "sub": "-", "rsub": "-", "mul": "*", "div": "/"}.get(name, name.strip("_"))


def _line_of(node: fx.Node) -> str:
    """Return where in the user's code an operator is, and the line."""
    lines = [line.strip() for line in (node.meta.get("stack_trace") or "").splitlines()]
    found = ""
    for place, code in pairwise(lines):
        if place.startswith("File ") and "/torch/" not in place and "capture.py" not in place:
            file, number = place.split('"')[1].rpartition("/")[2], place.split("line ")[1]
            found = f"line {number.partition(',')[0]} of {file}: {code}"
    return found
