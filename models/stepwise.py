"""Networks one step after another: what is not asked for is not computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from .layer import Layer, answers

Step = Callable[[Tensor], Any]
"""Computes the next step of a part of a network, `[B, ...] -> [B, ...]`; it keeps the states. It
gives None where a step has no output, as within the window of an accumulator."""

TIMELESS = (nn.Identity, nn.Flatten)
"""Modules of torch that stand in a network as they are, for `[T, B, ...]`."""

BEGINS = ("init_leaky", "init_integrate")
"""Of neurons with `y, state = neuron(x, state)`: what gives the state at rest."""


class NotStepwise(ConfigError):
    """A part of a network that computes all steps at once only."""


def stepper(part: nn.Module) -> Step:
    """Return a function that computes a part of a network step by step, as in evaluation mode.

    Its first call is the first step from rest. The steps are those of `forward`, up to rounding.
    What asnn's synapses and neurons keep for the next step has no gradient, so that the gradient of
    a step is that of the step alone.

    Raises:
        NotStepwise: the part has no method `stepper`, or hooks, which are for all steps at once.
    """
    if part._forward_hooks or part._forward_pre_hooks:
        raise NotStepwise(f"{type(part).__name__} has hooks, which see all steps at once")
    if isinstance(part, nn.Sequential) and type(part).forward is nn.Sequential.forward:
        return chained(part._modules.values())
    if type(part) in TIMELESS:
        return lambda x: part(x.unsqueeze(0))[0]
    if isinstance(part, Layer):
        if answers(part, "stepper"):
            return part.stepper()
    elif callable(getattr(part, "stepper", None)):
        return part.stepper()  # type: ignore[operator]
    else:
        begin = next((name for name in BEGINS if callable(getattr(part, name, None))), None)
        if begin is not None:
            return _with_state(part, getattr(part, begin)())
    raise NotStepwise(
        f"{type(part).__name__} cannot be run step by step",
        why="it has no method `stepper` beside its `forward`",
        remedy="compute all steps at once",
    )


def chained(parts: Iterable[nn.Module | None]) -> Step:
    """Return the stepper of parts one after the other."""
    steps = [stepper(part) for part in parts if part is not None]

    def step(x: Tensor) -> Tensor | None:
        for each in steps:
            out = each(x)
            if out is None:
                return None
            x = out
        return x

    return step


def _with_state(neuron: Any, state: Any) -> Step:
    def step(x: Tensor) -> Tensor:
        nonlocal state
        y, state = neuron(x, state)
        state = _without_gradient(state)
        return y

    return step


def _without_gradient(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, tuple):
        parts = [_without_gradient(part) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state


def until_decided(outputs: Iterator[Tensor], decided: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the outputs of the steps up to that at which all samples are decided, `[t, B, K]`.

    Args:
        outputs: of one step after another, `[B, K]`; no more are taken.
        decided: from the outputs so far, `[t, B, K]`, which samples are, `[B]`.
    """
    taken: list[Tensor] = []
    for each in outputs:
        taken.append(each)
        if bool(decided(torch.stack(taken)).all()):
            break
    return torch.stack(taken)
