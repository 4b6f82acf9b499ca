"""A neuron of NIR as nodes of the export graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..layer import Lowering
from ..neurons.membranes import delayed_subtraction
from .euler import EulerParameters, euler_step


def lower_neuron(
    graph: Lowering,
    name: str,
    neuron: nn.Module,
    p: EulerParameters,
    recurrent: Tensor | None = None,
) -> None:
    """Add a neuron: a `Neuron` where one computes the same, filters of values where their
    parameters are those of channels, and its equations otherwise.

    Args:
        graph: the graph.
        name: of the last node.
        neuron: the module, in messages.
        p: the neuron in discrete time.
        recurrent: weights of its own spikes of the step before.

    Raises:
        ConfigError: it sends several spikes a step.
    """
    if p.several:
        raise graph.refused(
            name, neuron, "it sends ⌊v / v_threshold⌋ spikes a step, also where v is a multiple"
        )
    if p.threshold is None:
        return _lower_filter(graph, name, p)
    leaky = _leaky(p, graph.steps)
    if leaky is None:
        return _lower_cell(graph, name, p, recurrent)
    if leaky.offset is not None:
        fields = {"factor": torch.ones_like(leaky.offset), "offset": leaky.offset}
        graph.add("ChannelScale", f"{name}.drive", None, **fields)
    return graph.add("Neuron", name, None, **leaky.fields, recurrent=recurrent)


class _Leaky(NamedTuple):
    """A neuron as a `Neuron` of the graph, which is at 0 at rest and after a reset to a value.

    Attributes:
        fields: of the `Neuron`.
        offset: to add to its input, `[T, C]`; None for none.
    """

    fields: dict[str, Any]
    offset: Tensor | None


def _leaky(p: EulerParameters, steps: int) -> _Leaky | None:
    """Return a `Neuron` that computes the same, in exact arithmetic; None if there is none.

    With the reset to a value its membrane is u = v - reset:

        u_t = leak u_{t-1} + gain (x_t + offset_t)
        gain offset_t = drive - (1 - leak) reset,  and leak (start - reset) more in the first step

    A reset by subtraction in the next step is one at once of size threshold / leak. A membrane at
    the threshold is above the number before it.
    """
    if p.to_zero and p.reset is None:
        return None  # the next step discards its input too
    found = _by_channel(
        leak=p.leak,
        gain=p.gain,
        threshold=p.threshold,
        synapse=p.synapse,
        reset=p.reset,
        drive=p.drive,
        start=p.start,
    )
    if found is None:
        return None
    leak, gain, threshold = (found[key] for key in ("leak", "gain", "threshold"))
    zero = torch.zeros_like(leak[:1])
    rest = found.get("reset", zero)
    at_rest = leak * (found.get("start", zero) - rest)
    added = found.get("drive", zero) - (1 - leak) * rest
    offset = None
    if bool((added != 0).any()) or bool((at_rest != 0).any()):
        if p.synapse is not None or bool((gain == 0).any()):
            return None  # an offset of the input would pass the current, or vanish
        offset = ((added + 0 * at_rest) / gain).repeat(steps, 1)
        offset[0] += at_rest / gain
    size, reset = threshold - rest, "zero"
    threshold = size
    if p.fires_at_threshold:
        threshold = threshold.nextafter(threshold - 1)
    if p.reset is None:
        if bool((size < 0).any()):
            return None
        leak, size = delayed_subtraction(*torch.broadcast_tensors(leak, size))
        reset = "subtract"
    rows = torch.broadcast_tensors(leak, gain, threshold, size)
    names = ("leak", "gain", "threshold", "size")
    fields = {key: row.expand(steps, -1) for key, row in zip(names, rows, strict=True)}
    return _Leaky({**fields, "reset": reset, "synapse": found.get("synapse")}, offset)


def _lower_cell(graph: Lowering, name: str, p: EulerParameters, recurrent: Tensor | None) -> None:
    """Add a neuron by its equations."""
    states = list(p.states)
    if recurrent is not None and "s" not in states:
        states.append("s")
    late = "s" in p.states

    def step(x: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        own = given if late or recurrent is None else given[:-1]
        s, *after = euler_step(x, own, p)
        return (s, *after, *(() if len(after) == len(states) else (s,)))

    graph.cell(name, step, states=states, recurrent=recurrent)


def _lower_filter(graph: Lowering, name: str, p: EulerParameters) -> None:
    """Add v_t = leak v_{t-1} + gain x_t + drive, after the current if there is one."""
    found = _by_channel(leak=p.leak, gain=p.gain, drive=p.drive, synapse=p.synapse)
    if found is None or p.start is not None:

        def step(x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
            return euler_step(x, states, p)

        return graph.cell(name, step, states=p.states, spikes=False)
    leak, gain = found["leak"], found["gain"]
    if "synapse" in found:
        one = torch.ones_like(found["synapse"])
        poles = found["synapse"].unsqueeze(0)
        graph.add("Filter", f"{name}.current", None, poles=poles, gain=one)
    if "drive" in found:
        size = max(len(gain), len(found["drive"]))
        factor, offset = (each.expand(graph.steps, size) for each in (gain, found["drive"]))
        graph.add("ChannelScale", f"{name}.drive", None, factor=factor, offset=offset)
        gain = torch.ones_like(gain)
    size = max(len(gain), len(leak))
    return graph.add("Filter", name, None, poles=leak.expand(1, size), gain=gain.expand(size))


def _by_channel(**values: Tensor | None) -> dict[str, Tensor] | None:
    """Return the values that there are by channel; None if any differ within one."""
    found = {name: by_channel(each) for name, each in values.items() if each is not None}
    return None if any(each is None for each in found.values()) else found  # type: ignore[return-value]


def by_channel(values: Tensor) -> Tensor | None:
    """Return values of the shape of a sample as `[C]`, or `[1]` if all are equal; None if they
    differ within a channel."""
    if not values.numel():
        return None
    if bool((values == values.flatten()[0]).all()):
        return values.flatten()[:1]
    if values.dim() == 1:
        return values
    rows = values.flatten(1)
    return rows[:, 0] if bool((rows == rows[:, :1]).all()) else None
