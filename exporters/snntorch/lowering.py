"""Lowers a captured forward to layers of one time step, which are the same at all.

A forward runs one step, all steps in a loop of its own, or all steps at once, `[T, B, ...]`. The
capture has the loop unrolled; `folding` makes one step of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.utils._pytree as pytree
from torch import Tensor, fx, nn

from ...core.errors import ConfigError
from ..graph import ir as g
from ..graph.answer import Answer
from ..graph.lowering import lower_part
from ..verification.neurons import LoweredNeuron
from .calls import BY_TIME, ONE_STEP, Argument, Call
from .capture import Capture
from .folding import Folding, Make
from .kinds import is_snntorch, state_at_rest
from .neurons import nodes_of
from .operators import OPERATORS
from .refusal import refusal
from .values import ALL, Axes, Axis, Collected, Const, Reduced, Signal, State

KNOWN = (
    "use the layers that docs/export-snntorch.md lists, or give the module that computes it a "
    "method lower(graph, name), see 'A layer' in CONTRIBUTING.md"
)
BINARY = ("add", "sub", "rsub", "mul", "div")
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

    def lower(self, node: fx.Node) -> None:
        """Compute the value of a node."""
        self.node, self._made = node, 0
        if node.op == "placeholder":
            self.values[node] = self._input(node)
            return
        args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), self.values.__getitem__)
        if self.name.startswith("_assert"):
            self.values[node] = None
        elif self.name == "getitem":
            self.values[node] = args[0][args[1]]
        elif self.name == "part":
            self.values[node] = self.part(self.captured.calls[args[1]], args[0])
        else:
            self.values[node] = self.operator(args, kwargs)

    @property
    def name(self) -> str:
        """The name of the operator of the node, without its overload."""
        target: Any = self.node.target
        schema = getattr(target, "_schema", None)
        return schema.name.partition("::")[2] if schema else target.__name__

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
        given = [x for x in leaves if isinstance(x, Signal | State | Reduced | Const)]
        traced = [x for x in leaves if not isinstance(x, Const) and x in given]
        if torch.Tag.nondeterministic_seeded in target.tags:
            raise self._random()
        if self.name in SHAPED:
            args = [torch.empty(self._shape_of(self.node.args[0])), *args[1:]]
            return Const.of(target(*args, **kwargs))
        if not traced and not any(isinstance(x, Collected) for x in leaves):
            return self._constant(target, args, kwargs, given)
        handler = OPERATORS.get(self.name)
        if handler is None:
            raise self.refusal("the graph has no such layer", KNOWN)
        try:
            return handler(self, *args, **kwargs)
        except ConfigError:
            raise
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise self.refusal(f"{type(error).__name__}: {error}", KNOWN) from error

    def _shape_of(self, node: Any) -> Any:
        return node.meta["val"].shape

    def _constant(self, target: Any, args: Any, kwargs: Any, given: list[Const]) -> Const:
        def tensor(x: Any) -> Any:
            return x.tensor if isinstance(x, Const) else x

        value = target(*pytree.tree_map(tensor, args), **pytree.tree_map(tensor, kwargs))
        if not isinstance(value, Tensor):
            return pytree.tree_map(lambda x: Const.of(x) if isinstance(x, Tensor) else x, value)
        if self.name in BINARY:
            operands = tuple(x if isinstance(x, Const) else _scalar(x) for x in args[:2])
        else:
            operands = tuple(given[:1])
        rests = any(x.is_zero or x.call is not None for x in operands)
        return Const.of(value, ((self.key(args, kwargs), operands)) if rests else None)

    def key(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Hashable:
        """Return what the operator computes, beside its operands."""
        first = 2 if self.name in BINARY else 1
        rest = pytree.tree_leaves((list(args[first:]), kwargs))
        own = tuple(x.key if isinstance(x, Const) else repr(x) for x in rest)
        return (str(self.node.target), own, 0)

    def _random(self) -> ConfigError:
        dropout = "dropout" in self.name
        return self.refusal(
            "it is random in evaluation mode too" + ", with training=True" * dropout,
            "use nn.Dropout, or training=self.training"
            if dropout
            else "draw random numbers in training only: if self.training",
        )

    def call(
        self, inputs: list[Any], shape: g.Shape, make: Make, *, axes: Axes, **more: Any
    ) -> Signal:
        """Return the value of a layer that this operator is."""
        args, kwargs = fx.map_arg((self.node.args, dict(self.node.kwargs)), self.values.__getitem__)
        *own, _ = self.key(args, kwargs)  # type: ignore[misc]
        key = (*own, self._made)
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
        stack = list((self.node.meta.get("nn_module_stack") or {}).values())
        path, kind = stack[-1] if stack else ("", "")
        return path.removeprefix("root").removeprefix("."), str(kind)

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
        why = "its input is a mean, a sum or the last of the steps"
        raise self.refusal(why if isinstance(x, Reduced) else "its input is a constant", ONE_STEP)

    def signal(self, x: Any) -> Signal:
        """Return the value of a layer; that of a state is a layer of its own."""
        x = self.traced(x)
        return x if isinstance(x, Signal) else self._membrane(x)

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

    def size(self, x: Any, axis: Axis) -> int:
        """Return the size of an axis of a value."""
        if isinstance(axis, int):
            return self.folding.shape(x.layer if isinstance(x, Signal) else x.neuron)[axis]
        own = isinstance(x, Signal) and x.layer == g.INPUT
        steps = self.steps if own else min(self.fixed, default=self.steps)
        sizes = {"T": steps, "B": self.batch, "TB": steps * self.batch, "BT": steps * self.batch}
        return 1 if axis is None else sizes[axis]

    def samples(self, x: Any, rank: int | None = None) -> Signal:
        """Return a value whose samples have all their axes, in order, behind steps and batch."""
        x = self.signal(x)
        _, rest = self._parted(x)
        shape = tuple(self.size(x, axis) for axis in rest)
        if rank is not None and len(shape) != rank:
            raise self.refusal(
                f"it takes samples of {rank} axes, not {list(shape)}", "flatten them before"
            )
        if rest == tuple(range(len(self.folding.shape(x.layer)))):
            return x
        return self.reshaped(x, shape)

    def image(self, x: Any, axes: int) -> Signal:
        """Return a value whose samples are images; series `[C, L]` become `[C, 1, L]`."""
        if axes == 2:
            return self.samples(x, 3)
        x = self.signal(x)
        _, rest = self._parted(x)
        sizes = [self.size(x, axis) for axis in rest]
        if len(sizes) != 2:
            raise self.refusal("it takes samples of 2 axes, [C, L]", "use the layer for images")
        image = (sizes[0], 1, sizes[1])
        if self.folding.shape(x.layer) == image and rest == (0, 2):
            return x
        return self.reshaped(x, image)

    def _parted(self, x: Signal) -> tuple[Axes, Axes]:
        """Return the axes of steps and batch, and those of a sample behind them."""
        number = sum(isinstance(axis, str) for axis in x.axes)
        heads, rest = x.axes[:number], x.axes[number:]
        own = [axis for axis in rest if isinstance(axis, int)]
        if not heads or any(isinstance(axis, str) for axis in rest) or own != sorted(own):
            why = "the axes of its input are not steps, batch, and those of a sample in order"
            raise self.refusal(why, "permute them to [T, B, ...] before")
        return heads, rest

    def reshaped(self, x: Signal, shape: g.Shape) -> Signal:
        """Return a value whose samples have another shape."""
        heads, _ = self._parted(x)
        axes = (*heads, *range(len(shape)))
        if shape == self.folding.shape(x.layer):
            return replace(x, axes=axes)

        def make(name: str, inputs: list[Any]) -> list[g.Node]:
            if len(shape) == 1:
                return [g.Flatten(name=name, inputs=tuple(inputs))]
            return [g.Reshape(name=name, inputs=tuple(inputs), to=shape)]

        where, kind = self.where
        plain = kind in ("Flatten", "Unflatten") or not kind
        where, kind = (where, kind) if plain else ("flatten" if len(shape) == 1 else "reshape", "")
        key = ("reshape", shape)
        return self.folding.call(where, kind, key, [x], shape, make, axes=axes)

    def of_image(self, x: Signal, axes: int, make: Make, **more: Any) -> Signal:
        """Return the value of a layer of images."""
        heads, _ = self._parted(x)
        shape = make("layer", [g.INPUT])[-1].shape([self.folding.shape(x.layer)])
        own: Axes = (0, 2) if axes == 1 else (0, 1, 2)
        return self.call([x], shape, make, axes=(*heads, *own), **more)

    def padded(self, x: Signal, behind: tuple[int, int]) -> Signal:
        """Return images with rows and columns of zeros below and to the right."""

        def make(name: str, inputs: list[Any]) -> list[g.Node]:
            return [g.Pad(name=name, inputs=tuple(inputs), before=(0, 0), behind=behind)]

        channels, height, width = self.folding.shape(x.layer)
        shape, key = (channels, height + behind[0], width + behind[1]), ("pad", behind)
        return self.folding.call("pad", "", key, [x], shape, make, axes=x.axes)

    def picked(self, x: Signal, axis: int, indices: list[int]) -> Signal:
        """Return some features or channels, by weights of 0 and 1."""
        x = self.samples(x) if x.axes[-1:] != (axis,) else x
        shape = self.folding.shape(x.layer)
        if axis != 0 or len(shape) not in (1, 3):
            raise self.refusal("it selects a part of a value", "select whole channels, or features")
        weight = np.eye(shape[0], dtype=np.float32)[indices]
        bias = np.zeros(len(indices), np.float32)

        def make(name: str, inputs: list[Any]) -> list[g.Node]:
            arrays: dict[str, Any] = {"biases": (bias,), "of_step": (0,)}
            at: dict[str, Any] = {"name": name, "inputs": tuple(inputs)}
            if len(shape) == 1:
                return [g.Linear(**at, weights=(weight,), **arrays)]
            return [g.Conv(**at, weights=(weight[:, :, None, None],), **arrays)]

        key = ("pick", tuple(indices))
        found = (len(indices), *shape[1:])
        return self.folding.call(self.name, "", key, [x], found, make, axes=x.axes)

    def concatenated(self, parts: list[Any]) -> Signal:
        """Return the channels, or features, of several values."""
        given = [part if isinstance(part, Const) else self.samples(part) for part in parts]
        first = next(part for part in given if isinstance(part, Signal))
        rank = len(self.folding.shape(first.layer))
        shapes = [
            tuple(part.tensor.shape[-rank:])
            if isinstance(part, Const)
            else self.folding.shape(part.layer)
            for part in given
        ]
        shape = (sum(each[0] for each in shapes), *shapes[0][1:])
        if len({each[1:] for each in shapes}) > 1:
            raise self.refusal(f"its values have the shapes {shapes} in a sample", "")

        def make(name: str, inputs: list[Any]) -> list[g.Node]:
            if any(isinstance(each, Const) for each in inputs):
                raise refusal(name, "cat", "it joins a constant", "use a layer with a bias instead")
            return [g.Concat(name=name, inputs=tuple(inputs))]

        more = {"widths": tuple(each[0] for each in shapes)}
        return self.call(given, shape, make, axes=first.axes, **more)

    def by_channel(self, constant: Const, shape: g.Shape, axes: Axes) -> g.Array:
        """Return a constant beside a value as one number, or one for each channel: `[1, C]`.

        Raises:
            ConfigError: it differs between samples, steps or pixels of one channel.
        """
        array = np.array(constant.tensor.detach().cpu().numpy(), np.float32)
        if array.size == 1:
            return array.reshape(1, 1)
        sample = [axis for axis in axes if not isinstance(axis, str)]
        rank = len(sample)
        heads = array.reshape(-1, *array.shape[max(0, array.ndim - rank) :])
        if not (heads == heads[:1]).all():
            raise refusal("+", "constant", "it differs between samples or steps", ONE_STEP)
        sizes = [shape[axis] if isinstance(axis, int) else 1 for axis in sample]
        by_channel = np.broadcast_to(heads[0], sizes).reshape(shape[0], -1)
        if not (by_channel == by_channel[:, :1]).all():
            why = "its constant differs between pixels of one channel"
            raise refusal("+ or *", "constant", why, "use one number for each channel")
        return np.array(by_channel[:, 0][None])

    # Neurons and parts

    def part(self, call: Call, tensors: Sequence[Any]) -> list[Any]:
        """Return the values of a call of a neuron, or of a part that lowers itself."""
        part = self.root.get_submodule(call.where)
        rest = iter(tensors)
        leaves = [next(rest) if isinstance(leaf, Tensor) else leaf for leaf in call.leaves]
        x, *given = leaves
        given = [leaf for leaf in given if leaf is not None]
        if not isinstance(x, Signal | State):
            why = "its input is not the value of one layer"
            raise refusal(call.where, part, why, ONE_STEP)
        x = self.signal(x)
        if is_snntorch(part) or given:
            return self._neuron(call, part, x, given)
        return [self._whole(call, part, x)]

    def _whole(self, call: Call, part: nn.Module, x: Signal) -> Signal:
        """Return the value of a part that takes all steps."""
        if x.axes[:2] != ("T", "B"):
            merged = x.axes[:1] in (("TB",), ("BT",))
            form = (
                "[T·B, ...]" if merged else "of one step, [B, ...]" if x.step != ALL else "[B, T]"
            )
            why = f"it takes [T, B, ...], and its input is {form}"
            raise refusal(call.where, part, why, BY_TIME)
        x = self.samples(x)
        shape = tuple(call.shapes[0][2:])
        make = partial(self._lowered_part, call.where, part, part)
        key = ("part", call.where)
        kind, axes = type(part).__name__, (*x.axes[:2], *range(len(shape)))
        return self.folding.call(call.where, kind, key, [x], shape, make, axes=axes)

    def _lowered_part(
        self, where: str, part: nn.Module, run: Callable[[Tensor], Tensor], name: str, inputs: Any
    ) -> list[g.Node]:
        """Return the nodes of a part that lowers itself; `run` computes its steps from rest."""
        own = getattr(part, "steps", None)
        steps = own if isinstance(own, int) else self.own_steps
        lowered = lower_part(part, where, name, inputs[0], steps)
        if lowered.nodes:
            self.parts[name] = LoweredNeuron(lowered.nodes[0].name, part, run)
        if lowered.answer is not None:
            self.answer = lowered.answer
        return lowered.nodes

    def _neuron(self, call: Call, neuron: nn.Module, x: Signal, given: list[Any]) -> list[Any]:
        """Return spikes and states of a neuron that makes one step."""
        where = call.where
        step = self.calls[where]
        self.calls[where] += 1
        if x.axes[:1] != ("B",) or x.step == ALL:
            why = "it makes one step in a call, and its input has all steps, [T, B, ...]"
            raise refusal(where, neuron, why, "loop over the steps: spk, mem = neuron(x[t], mem)")
        _, rest = self._parted(x)
        sample = tuple(self.size(x, axis) for axis in rest)
        if is_snntorch(neuron):
            make: Make = partial(_snntorch_nodes, where, neuron, sample)
        else:
            run = partial(_over_steps, neuron, call.state)
            make = partial(self._lowered_part, where, neuron, run)
        key, kind = ("neuron", where), type(neuron).__name__
        spikes = self.folding.call(
            where, kind, key, [x], self.folding.shape(x.layer), make,
            axes=x.axes, step=step, neuron=neuron,
        )  # fmt: skip
        first = self.neurons.setdefault(where, spikes.layer)
        if spikes.layer != first or (isinstance(x.step, int) and x.step > step):
            raise refusal(
                where,
                neuron,
                f"its call number {step + 1} does not repeat the first one a step later",
                "give every neuron its own layer, called once in a time step",
            )
        self._check_states(where, neuron, spikes, given)
        number = sum(isinstance(leaf, Tensor) for leaf in call.returned)
        states = [State(spikes.layer, i, step, x.axes) for i in range(1, number)]
        return [spikes, *states]

    def _check_states(
        self, where: str, neuron: nn.Module, spikes: Signal, given: list[Any]
    ) -> None:
        """Refuse states that are not those that the neuron returned last."""
        own = is_snntorch(neuron)
        if given and own and neuron.init_hidden:
            why = "with init_hidden=True it takes no membrane"
            raise refusal(where, neuron, why, "call it with its input alone")
        step = spikes.step
        assert isinstance(step, int)
        index = 0 if type(neuron).__name__ in ("RLeaky", "RSynaptic") else 1
        found = 0
        for leaf in given:
            if isinstance(leaf, Argument) and step == 0:
                if own or len(given) == 1:
                    self.states[leaf.path] = State(spikes.layer, index, 0, spikes.axes)
            elif step == 0 and not isinstance(leaf, Signal | State | Reduced):
                self.resets = True
                if isinstance(leaf, Const) and not leaf.is_zero:
                    why = "its state before the first step is not 0"
                    raise refusal(where, neuron, why, "start from 0: mem = neuron.reset_mem()")
            elif isinstance(leaf, Signal | State | Const | Argument) and not _is_state(
                leaf, spikes, index, step - 1
            ):
                why = "its membrane argument is not the membrane that it returned last"
                raise refusal(where, neuron, why, "pass on the membrane that it returned")
            if isinstance(leaf, Signal | State | Const | Argument):
                index, found = index + 1, found + 1
        if step > 0 and given and not found:
            why = "it is called with the same state in every step"
            raise refusal(where, neuron, why, "pass on the membrane that it returned")

    def _membrane(self, state: State) -> Signal:
        """Return the membrane of a neuron as the value of a layer."""
        layer = self.folding.layers[state.neuron]
        neuron = layer.neuron
        last = _number_of_states(neuron)
        if not is_snntorch(neuron) or state.index != last:
            why = "of the states of neurons, exports have the membranes of snnTorch's alone"
            raise refusal(layer.where, neuron, why, "use the spikes, or the membrane")
        key = ("membrane", layer.where)
        make = partial(_snntorch_nodes, layer.where, neuron, layer.shape, membrane=True)
        name = self.folding.known.get(key)
        if name is None:
            name = self.folding.names.of(f"{layer.name}_mem", "")
            self.folding.names.reserve(name)
            self.folding.layers[name] = replace(
                layer, name=name, key=key, make=make, membrane_of=layer.name
            )
            self.folding.known[key] = name
        return Signal(name, state.step, state.axes)


def _is_state(leaf: Any, spikes: Signal, index: int, step: int) -> bool:
    """Return whether a value is a state that a neuron has returned after a step."""
    if isinstance(leaf, Signal):
        return index == 0 and leaf == replace(spikes, step=step)
    return isinstance(leaf, State) and leaf == State(spikes.layer, index, step, spikes.axes)


def _number_of_states(neuron: nn.Module) -> int:
    """Return the number of values of a neuron of snnTorch behind its spikes."""
    return {"Synaptic": 2, "RSynaptic": 2, "Alpha": 3}.get(type(neuron).__name__, 1)


def _snntorch_nodes(
    where: str, neuron: nn.Module, sample: g.Shape, name: str, inputs: list[Any], **options: Any
) -> list[g.Node]:
    return nodes_of(name, where, inputs[0], neuron, sample, **options)


def _over_steps(neuron: nn.Module, state: Any, x: Tensor) -> Tensor:
    """Return the spikes of a neuron that is called once a step, `[T, B, ...]`."""
    if isinstance(state, Tensor) and not state.any():
        state = torch.zeros_like(x[0])
    elif state is None or isinstance(state, Argument):
        state = state_at_rest(neuron)
    spikes = []
    for x_t in x:
        spk, state = neuron(x_t, state)
        spikes.append(spk)
    return torch.stack(spikes)


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
