"""Networks with neurons written by hand that make one step in a call, as networks that make all.

Their states are attributes, which a call changes and the next one reads, or arguments behind the
input, which the forward returns under their names, or last. The states of other neurons are
followed by `tracing`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
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
SCALES = (1, 10)  # of noise
ABSENT: Any = ...  # an attribute that a call makes
RETURNED = "return the new states under the names of the arguments: return spk, mem"

Attributes = dict[tuple[str, str], Any]  # by the path of a part and name


def with_all_steps(
    module: nn.Module,
    in_shape: tuple[int, ...],
    steps: int | None,
    *,
    frames: bool,
    notify: Callable[[str], None] | None = None,
) -> nn.Module:
    """Return a network that makes all steps: of one that keeps states of its own from call to call
    a copy that calls it once a step, from rest; others as they are.

    Args:
        module: in evaluation mode.
        in_shape: of an input of a step, without the batch.
        steps: T.
        frames: whether the input of the copy has all steps, `[T, B, ...]`; otherwise it is one
            image for all of them.
        notify: called with a note where states are found by their position alone.

    Raises:
        ConfigError: the number of steps is missing, or the forward does not return its states.
    """
    if any(is_snntorch(part) or lowers_itself(part) for part in module.modules()):
        return module
    x = torch.rand(BATCH, *in_shape, generator=torch.Generator().manual_seed(0))
    try:
        pairing, shapes = _states(copied(module).eval(), x)
        kept = _kept(module, x, pairing, shapes)
        if not _takes_samples(module, x, pairing, shapes):
            return module
    except ConfigError:
        raise
    except Exception:  # of the user's forward, which takes other inputs
        return module
    if not (kept or pairing.places):
        return module
    if steps is None:
        raise missing_steps(set())
    _require_rest(module, kept)
    if pairing.by_position and notify is not None:
        notify(
            f"the last values that the forward returns are its states: {', '.join(pairing.places)}"
        )
    found: Any = copied(module)
    for (path, name), value in kept.items():
        part = found.get_submodule(path)
        part._buffers.pop(name, None)  # a capture lets nobody set a buffer
        if value is not ABSENT:
            vars(part)[name] = value
    found.at_rest, found.pairing, found.shapes = kept, pairing, shapes
    found.number, found.frames = steps, frames
    kind = type(module)
    found.__class__ = type(kind.__name__, (_AllSteps, kind), {"__module__": kind.__module__})
    return found  # type: ignore[no-any-return]


class _AllSteps(nn.Module):
    """A network that calls the forward of its class once a step."""

    at_rest: Attributes
    pairing: Pairing
    shapes: dict[str, torch.Size]
    number: int
    frames: bool

    def forward(self, x: Tensor) -> Any:
        for (path, name), value in self.at_rest.items():
            part = self.get_submodule(path)
            if value is ABSENT:
                vars(part).pop(name, None)
            else:
                setattr(part, name, _copy(value))
        states = _begin(self.pairing, self.shapes, x.shape[1] if self.frames else x.shape[0])
        found = []
        for t in range(self.number):
            returned = super().forward(x[t] if self.frames else x, **states)
            output, states = self.pairing.parted(returned)
            found.append(output)
        return pytree.tree_map(lambda *each: torch.stack(each), *found)


@dataclass(frozen=True)
class Pairing:
    """Which of the values that a forward returns are the states that the next step takes.

    Attributes:
        places: of each argument that is a state, its place among the values.
        number: of the values; 0 if they are not looked at.
        by_position: whether the names did not say it.
    """

    places: dict[str, int]
    number: int = 0
    by_position: bool = False

    def parted(self, returned: Any) -> tuple[Any, dict[str, Any]]:
        """Return the output, and by the names of arguments the new states."""
        if not self.places:
            return returned, {}
        values, _ = _values(returned, self.number)
        output = [x for i, x in enumerate(values) if i not in self.places.values()] or values
        states = {name: values[i] for name, i in self.places.items()}
        return output[0] if len(output) == 1 else tuple(output), states


def _begin(pairing: Pairing, shapes: dict[str, torch.Size], batch: int) -> dict[str, Any]:
    """Return arguments before the first step: 0, or None where they may be."""
    return {
        name: torch.zeros(batch, *shapes[name][1:]) if name in shapes else None
        for name in pairing.places
    }


def _states(module: nn.Module, x: Tensor) -> tuple[Pairing, dict[str, torch.Size]]:
    """Return the arguments that are states, and the shapes of those that need a value."""
    required, optional = states_of_forward(module)
    if not (required or optional):
        return Pairing({}), {}
    with torch.no_grad():
        returned = module(x, **{name: torch.zeros(()) for name in required})
    pairing = _pairing(type(module), returned, required, optional)
    if not pairing.places and _reads(module, x, returned, optional):
        raise _not_returned(optional)
    _, states = pairing.parted(returned)
    return pairing, {name: states[name].shape for name in required}


def _pairing(kind: type, returned: Any, required: list[str], optional: list[str]) -> Pairing:
    """Return the states among the values of a forward: by their names there, or else the last ones
    in the order of the arguments.

    Raises:
        ConfigError: they are not returned, or not in this order.
    """
    names = [*required, *optional]
    values, keys = _values(returned, len(names))
    written = keys or _returned_names(kind)
    if len(written) != len(values):
        written = [""] * len(values)
    places = {name: written.index(name) for name in names if written.count(name) == 1}
    if places and all(name in places for name in required):
        return Pairing(places, len(names))
    if not required and len(values) == 1:
        return Pairing({})  # they are no states
    first = len(values) - len(names)
    if places or keys or first < 1:
        raise _not_returned([name for name in names if name not in places])
    return Pairing({name: first + i for i, name in enumerate(names)}, len(names), True)


def _not_returned(names: list[str]) -> ConfigError:
    them = "it" if len(names) == 1 else "them"
    return ConfigError(
        f"the forward takes {', '.join(names)} and does not return {them}",
        why="a step needs the states of the one before",
        remedy=f"{RETURNED}, or loop over the steps in it",
    )


def _reads(module: nn.Module, x: Tensor, value: Any, names: list[str]) -> bool:
    """Return whether one of these arguments may be the value that a call before has returned."""
    for name in names:
        try:
            with torch.no_grad():
                if _differ(module(x, **{name: value}), value):
                    return True
        except Exception:  # it is something else
            continue
    return False


def _values(returned: Any, number: int) -> tuple[list[Any], list[str]]:
    """Return the values that a forward returns, with their keys in dicts; states may be in a tuple,
    list or dict of their own."""
    if isinstance(returned, dict):
        return list(returned.values()), list(returned)
    values = list(returned) if isinstance(returned, tuple | list) else [returned]
    if len(values) == 2:
        inner = values[1]
        if isinstance(inner, dict):
            return [values[0], *inner.values()], ["", *inner]
        if isinstance(inner, tuple | list) and len(inner) == number > 1:
            return [values[0], *inner], []
    return values, []


def _returned_names(kind: type) -> list[str]:
    """Return the names of variables that a forward returns, as far as they can be read; empty ones
    of other expressions."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind.forward)))  # type: ignore[attr-defined]
    except (OSError, TypeError, SyntaxError):
        return []
    returns = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    last = max(returns, key=lambda node: node.lineno).value if returns else None
    parts = list(last.elts) if isinstance(last, ast.Tuple | ast.List) else [last]
    if len(parts) == 2 and isinstance(parts[1], ast.Tuple | ast.List):
        parts = [parts[0], *parts[1].elts]
    return [part.id if isinstance(part, ast.Name) else "" for part in parts]


def _takes_samples(
    module: nn.Module, x: Tensor, pairing: Pairing, shapes: dict[str, torch.Size]
) -> bool:
    """Return whether the first axis of the input is one of samples, and not of steps: in another
    order they give the same, in that order."""
    states = _begin(pairing, shapes, BATCH)
    with torch.no_grad():
        found, flipped = (pytree.tree_leaves(copied(module)(y, **states)) for y in (x, x.flip(0)))
    tensors = [pair for pair in zip(found, flipped, strict=True) if isinstance(pair[0], Tensor)]
    return all(len(a) == BATCH and torch.allclose(a, b.flip(0), atol=1e-5) for a, b in tensors)


def _kept(
    module: nn.Module, x: Tensor, pairing: Pairing, shapes: dict[str, torch.Size]
) -> Attributes:
    """Return the attributes that a call changes, as they are before it, if the next call reads
    them: if it leaves or returns something else than from rest."""
    rest = _attributes(module)
    for scale in SCALES:
        after, alone = copied(module).eval(), copied(module).eval()
        with torch.no_grad():
            after(scale * x, **_begin(pairing, shapes, BATCH))
            returned = after(scale * x.flip(0), **_begin(pairing, shapes, BATCH))
            of_rest = alone(scale * x.flip(0), **_begin(pairing, shapes, BATCH))
        second, first = _attributes(after), _attributes(alone)
        if _differ(returned, of_rest) or any(
            _differ(first.get(key), second[key]) for key in second
        ):
            changed = [key for key in second if _differ(rest.get(key, ABSENT), second[key])]
            return {key: rest.get(key, ABSENT) for key in changed}
    return {}


def _require_rest(module: nn.Module, kept: Attributes) -> None:
    """Refuse states that a call before has left.

    Raises:
        ConfigError: an attribute that is no buffer begins with other values than 0.
    """
    for (path, name), value in kept.items():
        tensors = [x for x in pytree.tree_leaves(value) if isinstance(x, Tensor)]
        if name in module.get_submodule(path)._buffers or not any(x.any() for x in tensors):
            continue
        raise ConfigError(
            f"the state {f'{path}.{name}'.lstrip('.')!r} is not 0 before the first step",
            why="a call before has left it, or the network begins so",
            remedy="reset the network before; if it begins so, register the state as a buffer",
        )


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
