"""Neurons of snnTorch as nodes of the graph, where exact.

`membranes` has their equations. The graph's `Neuron` resets at once and multiplies the rest with
the leak, which NIR can express, so it is used where it computes the same:

    subtract, delayed      of size (θ - V) / β, for every membrane
    subtract, at once      of size θ - V / β
    zero                   of `Leaky`, and of all kinds at once

A synaptic current that no spikes feed back into is a `Filter` before it, an all-to-all recurrence
its weights U. Other kinds are a `Cell`.

With the reset by subtraction at once, snnTorch (1.0.0) differs where a membrane stays above θ after
its reset: in the next step it subtracts θ before it compares, and adds it again if the neuron does
not fire. No neuron of the graph does that; `violates_condition` tests whether it matters.
`RSynaptic` (1.0.0) has no reset at once: with reset_delay=False it returns the same as without.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...models.neurons.snntorch import delayed_subtraction
from ..graph import ir as g
from .membranes import AlphaMembrane, Membrane, membrane_node, spikes_node
from .refusal import refusal

RESETS = ("subtract", "zero", "none")  # by the codes of snnTorch
METHODS = {"subtract": "_base_sub", "zero": "_base_zero", "none": "_base_int"}
KINDS = ("Leaky", "Lapicque", "Synaptic", "Alpha", "RLeaky", "RSynaptic")
CURRENTS = ("Synaptic", "RSynaptic")
RECURRENT = ("RLeaky", "RSynaptic")
AT_ONCE = ("Leaky", "Synaptic", "RLeaky")  # whose reset_delay=False resets in the step of a spike


def nodes_of(
    name: str,
    where: str,
    source: str,
    neuron: nn.Module,
    shape: g.Shape,
    *,
    recurrent: g.Array | None = None,
    membrane: bool = False,
) -> list[g.Node]:
    """Return a neuron of snnTorch as nodes for one step; the value of the last are its spikes.

    Args:
        name: of the last node; those before it are called `NAME.bias`, `NAME.current` and, where
            the last one is something else, `NAME.spikes`.
        where: the neuron's path in its network.
        source: the node that it reads.
        neuron: of the `KINDS`.
        shape: of one sample of its input.
        recurrent: U of a recurrence around the neuron, x_t + U s_{t-1}, as of `graph.ir.Neuron`.
        membrane: whether the value of the last node is the membrane, as snnTorch returns it after
            each step, instead of the spikes.

    Raises:
        ConfigError: the graph has no neuron that computes the same.
    """
    parts = _Parts.of(where, _checked(where, neuron), shape, recurrent)
    graded = parts.amplitude
    spikes = name if graded is None and not membrane else f"{name}.spikes"
    nodes: list[g.Node] = []
    if parts.bias is not None:
        row = _column(parts.bias)
        nodes.append(_scale(f"{name}.bias", source, np.ones_like(row), row))
        source = f"{name}.bias"
    of = parts.membrane
    fires = None
    if isinstance(of, Membrane):
        if of.synapse is not None and not parts.feeds_back:
            nodes.append(_filter(f"{name}.current", source, of.synapse, shape))
            source, of = f"{name}.current", replace(of, synapse=None)
        fires = _neuron(spikes, source, of, shape, parts.recurrent)
    weights = None if parts.recurrent is None else torch.from_numpy(parts.recurrent)
    nodes.append(spikes_node(spikes, source, of, weights) if fires is None else fires)
    if not membrane:
        if graded is not None:
            row = _column(graded)
            nodes.append(_scale(name, spikes, row, np.zeros_like(row)))
        return nodes
    if isinstance(of, Membrane) and of.reset == "none" and not parts.feeds_back:
        gain = np.ones(1, np.float32) if of.gain is None else _row(of.gain, shape)[0]
        nodes.append(_filter(name, source, of.leak, shape, gain))
    else:
        nodes.append(membrane_node(name, source, spikes, of, weights))
    return nodes


def has_condition(neuron: nn.Module) -> bool:
    """Return whether a neuron is exact only while no membrane stays above its threshold."""
    at_once = type(neuron).__name__ in AT_ONCE and not getattr(neuron, "reset_delay", True)
    return at_once and RESETS[int(neuron.reset_mechanism_val)] == "subtract"  # type: ignore[arg-type]


def violates_condition(neuron: nn.Module, x: Tensor) -> bool:
    """Return whether such a neuron, given x, does not fire where the neuron of the graph does.

    That is where v > θ after the last step and θ < u ≤ 2 θ now, with u before the reset.
    """
    part: Any = neuron
    mem, threshold = part.mem, part.threshold
    if mem.shape != x.shape:
        return False  # it is at rest
    if type(neuron).__name__ in RECURRENT:
        x = x + part.recurrent(part.spk)
    if type(neuron).__name__ in CURRENTS:
        x = part.alpha.clamp(0, 1) * part.syn + x
    total = part.beta.clamp(0, 1) * mem + x
    silent = ~(total - threshold > threshold)
    return bool(((mem > threshold) & (total > threshold) & silent).any())


@dataclass(frozen=True)
class _Parts:
    """What a neuron consists of.

    Attributes:
        membrane: its equations.
        recurrent: U of all recurrences.
        bias: of its recurrence, added in every step, `[C]`.
        amplitude: of a spike, `[C]`; None for 1.
    """

    membrane: Membrane | AlphaMembrane
    recurrent: g.Array | None = None
    bias: g.Array | None = None
    amplitude: g.Array | None = None

    @property
    def feeds_back(self) -> bool:
        """Whether its input has spikes of the step before."""
        own = isinstance(self.membrane, Membrane) and self.membrane.own is not None
        return self.recurrent is not None or own

    @staticmethod
    def of(where: str, neuron: Any, shape: g.Shape, recurrent: g.Array | None) -> _Parts:
        kind = type(neuron).__name__
        reset = RESETS[int(neuron.reset_mechanism_val)]

        def value(field: str) -> Tensor:
            return _by_channel(where, neuron, field, getattr(neuron, field), shape)

        threshold = value("threshold")
        if not bool((threshold >= 0).all()):
            raise refusal(
                where,
                neuron,
                f"its threshold is {float(threshold.min()):g}, and below 0 a membrane at rest "
                "fires",
                "use a threshold of 0 or more",
            )
        bias = own = amplitude = None
        factor = getattr(neuron, "graded_spikes_factor", torch.ones(1))
        if bool((factor != 1).any()):
            graded = value("graded_spikes_factor")
            amplitude = _flat(graded, shape)
            if recurrent is not None:  # it reads graded spikes
                axes = (1, -1, *[1] * (recurrent.ndim - 2))
                recurrent = (recurrent * amplitude.reshape(axes)).astype(np.float32)
        if kind == "Alpha":
            currents = value("alpha").clamp(0, 1), value("beta").clamp(0, 1)
            logs = tuple(part.log() for part in currents)
            scale = logs[0] / (logs[1] - logs[0]) + 1
            return _Parts(AlphaMembrane(*currents, scale, threshold, reset), recurrent)
        if kind in RECURRENT:
            layer = neuron.recurrent
            if neuron.all_to_all:
                weight, bias = _weights(where, neuron, layer, shape)
                recurrent = _sum(where, neuron, weight, recurrent)
            else:
                own = _by_channel(where, neuron, "V", layer.V, shape)
        leak, gain = None, None
        if kind == "Lapicque":
            rate = neuron.time_step / (neuron.R * neuron.C)
            leak = _by_channel(where, neuron, "R and C", 1 - rate, shape)
            gain = _by_channel(where, neuron, "R and C", neuron.R * rate, shape)
        else:
            leak = value("beta").clamp(0, 1)
        membrane = Membrane(
            leak=leak,
            threshold=threshold,
            reset=reset,
            gain=gain,
            synapse=value("alpha").clamp(0, 1) if kind in CURRENTS else None,
            own=own,
            delayed=kind not in AT_ONCE or neuron.reset_delay,
            clears_input=kind != "Leaky",
        )
        return _Parts(membrane, recurrent, bias, amplitude)


def _neuron(
    name: str, source: str, of: Membrane, shape: g.Shape, recurrent: g.Array | None
) -> g.Neuron | None:
    """Return the graph's `Neuron` with this membrane; None if none computes the same."""
    reset = of.reset
    leak, threshold = of.leak, of.threshold
    size = threshold
    if reset == "zero" and (of.own is not None or (of.delayed and of.clears_input)):
        return None
    if of.own is not None and of.synapse is not None:  # it feeds back into the current
        return None
    if reset == "subtract" or of.own is not None:
        by = threshold if reset == "subtract" and of.delayed else torch.zeros_like(threshold)
        by = by if of.own is None else by - of.own
        leak, by = torch.broadcast_tensors(leak, by)
        if bool((by != 0).any()):
            leak, late = delayed_subtraction(leak, by.abs())
            late = late * by.sign()
            size = late if of.delayed or reset == "none" else threshold + late
        reset = "subtract"
    leak, threshold, size = (_row(part, shape) for part in (leak, threshold, size))
    gain = np.ones_like(leak) if of.gain is None else _row(of.gain, shape)
    width = max(part.shape[1] for part in (leak, gain, threshold, size))
    leak, gain, threshold, size = (
        np.ascontiguousarray(np.broadcast_to(part, (1, width)))
        for part in (leak, gain, threshold, size)
    )
    return g.Neuron(
        name=name,
        inputs=(source,),
        leak=leak,
        gain=gain,
        threshold=threshold,
        size=size,
        reset=reset,  # type: ignore[arg-type]
        recurrent=recurrent,
        synapse=None if of.synapse is None else _row(of.synapse, shape)[0],
    )


def _checked(where: str, neuron: nn.Module) -> Any:
    """Return a neuron that follows the equations of `membranes`."""
    import snntorch as snn

    kind = type(neuron)
    if kind not in [getattr(snn, each) for each in KINDS]:
        why = f"of snnTorch's neurons, exports support {', '.join(KINDS)}"
        raise refusal(where, neuron, why, "use one of them")
    why = _unsupported(neuron)
    if why:
        raise refusal(where, neuron, why, f"use snn.{kind.__name__} without it")
    return neuron


def _unsupported(neuron: Any) -> str:
    """Return which option of a neuron is not in the equations; empty if none."""
    if neuron.inhibition:
        return "inhibition: the graph has no neurons that silence others of their layer"
    if neuron.state_quant:
        return "state_quant: the graph has no quantised membranes"
    reset = RESETS[int(neuron.reset_mechanism_val)]
    runs = getattr(neuron.state_function, "__name__", "")
    if runs != METHODS[reset]:
        return f"its reset_mechanism was later changed to {reset!r}, which snnTorch applies in part"
    distances = torch.cat([torch.linspace(-2, 2, 401), torch.tensor([-1e-7, 0.0, 1e-7, -9.0, 9.0])])
    try:
        with torch.no_grad():
            fired = neuron.spike_grad(distances)
    except Exception as error:  # of any surrogate
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return f"spike_grad: it fails on membranes, {why}"
    if not torch.equal(fired, (distances > 0).to(fired)):
        return "spike_grad: its output is not 1 above the threshold and 0 elsewhere"
    return ""


def _weights(
    where: str, neuron: Any, layer: nn.Module, shape: g.Shape
) -> tuple[g.Array, g.Array | None]:
    """Return weights and bias of the layer that feeds spikes back."""
    kernel = layer.kernel_size if isinstance(layer, nn.Conv2d) else ()
    keeps_size = isinstance(layer, nn.Conv2d) and (
        all(size % 2 for size in kernel)
        and layer.padding == tuple(size // 2 for size in kernel)
        and (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
        and layer.padding_mode == "zeros"
    )
    if not (type(layer) is nn.Linear and len(shape) == 1) and not keeps_size:
        raise refusal(
            where,
            neuron,
            f"its recurrence is a {type(layer).__name__} over samples {list(shape)}",
            "feed spikes back through a Linear over features, or a Conv2d with an odd kernel over "
            "images",
        )
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    return _array(weight), None if bias is None else _array(bias)  # type: ignore[arg-type]


def _sum(where: str, neuron: Any, weight: g.Array, other: g.Array | None) -> g.Array:
    if other is None:
        return weight
    if weight.shape != other.shape:
        why = f"it has two recurrences of the shapes {list(weight.shape)} and {list(other.shape)}"
        raise refusal(where, neuron, why, "feed its spikes back through one layer")
    return (weight + other).astype(np.float32)


def _by_channel(where: str, neuron: Any, field: str, values: Tensor, shape: g.Shape) -> Tensor:
    """Return a parameter as one value for each channel, `[C, 1, ...]`, or as one number `[1]`."""
    given = values.detach().float().cpu()
    try:
        rows = given.broadcast_to((1, *shape)).reshape(shape[0], -1)
    except RuntimeError:
        why = f"its {field} has the shape {list(values.shape)}, its input {list(shape)}"
        raise refusal(where, neuron, why, "give a number, or one value for each neuron") from None
    if not bool((rows == rows[:, :1]).all()):
        why = f"its {field} differs between pixels of one channel"
        remedy = f"give a number, or {field} of the shape [{shape[0]}{', 1' * (len(shape) - 1)}]"
        raise refusal(where, neuron, why, remedy)
    if bool((rows == rows[:1]).all()):
        return rows[0, :1].clone()
    return rows[:, 0].reshape(-1, *[1] * (len(shape) - 1)).clone()


def _flat(values: Tensor, shape: g.Shape) -> g.Array:
    """Return a parameter for each channel, `[C]`, or `[1]`."""
    return _array(values.reshape(-1))


def _row(values: Tensor, shape: g.Shape) -> g.Array:
    return _column(_flat(values, shape))


def _column(values: g.Array) -> g.Array:
    """Return `[C]` as `[1, C]`, or as `[1, 1]` if all values are equal."""
    same = bool((values == values[0]).all())
    return np.array(values[None, :1] if same else values[None], np.float32)


def _filter(
    name: str, source: str, pole: Tensor, shape: g.Shape, gain: g.Array | None = None
) -> g.Filter:
    gain = np.ones(1, np.float32) if gain is None else gain
    return g.Filter(name=name, inputs=(source,), poles=_row(pole, shape), gain=gain)


def _scale(name: str, source: str, factor: g.Array, offset: g.Array) -> g.ChannelScale:
    return g.ChannelScale(name=name, inputs=(source,), factor=factor, offset=offset)


def _array(tensor: Tensor) -> g.Array:
    return np.array(tensor.detach().float().cpu().contiguous().numpy())


def neuron_of(name: str, where: str, source: str, neuron: nn.Module, shape: g.Shape) -> g.Node:
    """Return a neuron that is one node, see `nodes_of`.

    Raises:
        ConfigError: it is more than one.
    """
    nodes = nodes_of(name, where, source, neuron, shape)
    if len(nodes) > 1:
        raise refusal(where, neuron, "exports have no synaptic current yet", "use snn.Leaky")
    return nodes[0]
