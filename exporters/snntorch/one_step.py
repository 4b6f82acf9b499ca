"""Networks with neurons written by hand that make one step in a call, as networks that make all.

Their states are attributes, which a call changes and the next one reads, or arguments behind the
input, which the forward returns last. The states of other neurons are followed by `tracing`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from ...core.errors import ConfigError
from ..tracing.capture import states_of_forward
from ..tracing.forward import missing_steps
from ..tracing.kinds import is_snntorch, lowers_itself
from .prepared import copied

OF_MODULES = frozenset(vars(nn.Module()))
BATCH = 3
RETURNED = "return the new states behind the output, in the order of the arguments: spk, mem"

Attributes = dict[tuple[str, str], Any]  # by the path of a part and name


def with_all_steps(
    module: nn.Module, in_shape: tuple[int, ...], steps: int | None, *, frames: bool
) -> nn.Module:
    """Return a network that makes all steps: of one that keeps states of its own from call to call
    a copy that calls it once a step, from rest; others as they are.

    Args:
        module: in evaluation mode.
        in_shape: of an input of a step, without the batch.
        steps: T.
        frames: whether the input of the copy has all steps, `[T, B, ...]`; otherwise it is one
            image for all of them.

    Raises:
        ConfigError: the number of steps is missing, or the forward does not return its states.
    """
    if any(is_snntorch(part) or lowers_itself(part) for part in module.modules()):
        return module
    x = torch.rand(BATCH, *in_shape, generator=torch.Generator().manual_seed(0))
    tried = copied(module)
    try:
        arguments, shapes = _arguments(tried, x)
        kept = _kept(copied(module), x, arguments, shapes)
        if not _takes_samples(module, x, arguments, shapes):
            return module
    except ConfigError:
        raise
    except Exception:  # of the user's forward, which takes other inputs
        return module
    if not (kept or arguments):
        return module
    if steps is None:
        raise missing_steps(set())
    found: Any = copied(module)
    for (path, name), value in kept.items():
        part = found.get_submodule(path)
        part._buffers.pop(name, None)  # a capture lets nobody set a buffer
        vars(part)[name] = value
    found.at_rest, found.arguments, found.shapes = kept, arguments, shapes
    found.number, found.frames = steps, frames
    kind = type(module)
    found.__class__ = type(kind.__name__, (_AllSteps, kind), {"__module__": kind.__module__})
    return found  # type: ignore[no-any-return]


class _AllSteps(nn.Module):
    """A network that calls the forward of its class once a step."""

    at_rest: Attributes
    arguments: list[str]
    shapes: dict[str, torch.Size]
    number: int
    frames: bool

    def forward(self, x: Tensor) -> Any:
        for (path, name), value in self.at_rest.items():
            setattr(self.get_submodule(path), name, _copy(value))
        batch = x.shape[1] if self.frames else x.shape[0]
        states = _begin(self.arguments, self.shapes, batch)
        found = []
        for t in range(len(x) if self.frames else self.number):
            returned = super().forward(x[t] if self.frames else x, **states)
            output, states = _parted(type(self).__mro__[2], returned, self.arguments)
            found.append(output)
        return pytree.tree_map(lambda *each: torch.stack(each), *found)


def _begin(names: list[str], shapes: dict[str, torch.Size], batch: int) -> dict[str, Any]:
    """Return arguments before the first step: 0, or None where they may be."""
    return {
        name: torch.zeros(batch, *shapes[name][1:]) if name in shapes else None for name in names
    }


def _arguments(module: nn.Module, x: Tensor) -> tuple[list[str], dict[str, torch.Size]]:
    """Return the arguments that are states, and the shapes of those that need a value."""
    required, optional = states_of_forward(module)
    if not (required or optional):
        return [], {}
    with torch.no_grad():
        returned = module(x, **{name: torch.zeros(()) for name in required})
    names = [*required, *optional]
    try:
        _, states = _parted(type(module), returned, names)
    except ConfigError:
        if required:
            raise
        return [], {}  # they are no states
    return names, {name: states[name].shape for name in required}


def _parted(kind: type, returned: Any, names: list[str]) -> tuple[Any, dict[str, Any]]:
    """Return the output, and by the names of arguments the new states behind it."""
    if not names:
        return returned, {}
    number = len(names)
    values = list(returned) if isinstance(returned, tuple | list) else [returned]
    if len(values) == 2 and isinstance(values[1], tuple | list) and len(values[1]) == number > 1:
        values = [values[0], *values[1]]
    written = _returned_names(kind)[-number:]
    order = written if sorted(written) == sorted(names) else names
    moved = any(a in names and a != b for a, b in zip(written, order, strict=False))
    if len(values) <= number or moved:
        shown, them = ", ".join(names), "it" if number == 1 else "them"
        raise ConfigError(
            f"the forward takes {shown} and does not return {them}" + " in this order" * moved,
            why="a step needs the states of the one before",
            remedy=f"{RETURNED}, or loop over the steps in it",
        )
    output = values[0] if len(values) == number + 1 else tuple(values[:-number])
    return output, dict(zip(order, values[-number:], strict=True))


def _returned_names(kind: type) -> list[str]:
    """Return the names of variables that a forward returns, as far as they can be read; empty ones
    of other expressions."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind.forward)))  # type: ignore[attr-defined]
    except (OSError, TypeError, SyntaxError):
        return []
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    last = max(returns, key=lambda node: node.lineno).value if returns else None
    parts = list(last.elts) if isinstance(last, ast.Tuple | ast.List) else []
    if len(parts) == 2 and isinstance(parts[1], ast.Tuple | ast.List):
        parts = [parts[0], *parts[1].elts]
    return [part.id if isinstance(part, ast.Name) else "" for part in parts]


def _takes_samples(
    module: nn.Module, x: Tensor, arguments: list[str], shapes: dict[str, torch.Size]
) -> bool:
    """Return whether the first axis of the input is one of samples, and not of steps: in another
    order they give the same, in that order."""
    states = _begin(arguments, shapes, BATCH)
    with torch.no_grad():
        found, flipped = (pytree.tree_leaves(copied(module)(y, **states)) for y in (x, x.flip(0)))
    tensors = [pair for pair in zip(found, flipped, strict=True) if isinstance(pair[0], Tensor)]
    return all(len(a) == BATCH and torch.allclose(a, b.flip(0), atol=1e-5) for a, b in tensors)


def _kept(
    module: nn.Module, x: Tensor, arguments: list[str], shapes: dict[str, torch.Size]
) -> Attributes:
    """Return the attributes that a call changes, and the next one changes again, at rest."""
    every = [_attributes(module)]
    for _ in range(2):
        with torch.no_grad():
            module(x, **_begin(arguments, shapes, BATCH))
        every.append(_attributes(module))
    rest, first, second = every
    lasting = any(_differ(first.get(key), second[key]) for key in second)
    changed = [key for key in second if _differ(rest.get(key), second[key])]
    return {key: rest.get(key) for key in changed} if lasting else {}


def _attributes(module: nn.Module) -> Attributes:
    return {
        (path, name): _copy(value)
        for path, part in module.named_modules()
        for name, value in {**vars(part), **part._buffers}.items()
        if name not in OF_MODULES
    }


def _copy(value: Any) -> Any:
    return pytree.tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, value)


def _differ(a: Any, b: Any) -> bool:
    """Return whether values hold other tensors."""
    first, second = ([x for x in pytree.tree_leaves(v) if isinstance(x, Tensor)] for v in (a, b))
    return len(first) != len(second) or not all(map(torch.equal, first, second))
