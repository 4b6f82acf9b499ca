"""Neurons of snnTorch as nodes of the graph, where exact.

`asnn.models.neurons.membranes` has their equations. The graph's `Neuron`, which NIR can express, is
used where it computes the same; a synaptic current that no spikes feed is a `Filter` before it, an
all-to-all recurrence its weights U. Other kinds are a `Cell`.

Of some kinds it is the same on a condition (`has_condition`); `violates_condition` tests whether
that matters. `RSynaptic` (1.0.0) has no reset at once: with reset_delay=False it returns the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...models.neurons.membranes import (
    CURRENTS,
    RESETS,
    AlphaMembrane,
    Membrane,
    membrane_of,
    membrane_step,
    spiking_step,
)
from ...models.neurons.membranes import has_condition as has_condition
from ..graph import ir as g
from ..graph.equations import traced
from .kinds import refusal

METHODS = {"subtract": "_base_sub", "zero": "_base_zero", "none": "_base_int"}
KINDS = ("Leaky", "Lapicque", "Synaptic", "Alpha", "RLeaky", "RSynaptic")
RECURRENT = ("RLeaky", "RSynaptic")


def nodes_of(
    name: str,
    where: str,
    source: str,
    neuron: nn.Module,
    shape: g.Shape,
    *,
    in_graph: g.Shape | None = None,
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
        in_graph: that of the same values in the graph, which may have more axes of size 1.
        recurrent: U of a recurrence around the neuron, x_t + U s_{t-1}, as of `graph.ir.Neuron`.
        membrane: whether the value of the last node is the membrane, as snnTorch returns it after
            each step, instead of the spikes.

    Raises:
        ConfigError: the graph has no neuron that computes the same.
    """
    parts = _Parts.of(where, _checked(where, neuron), shape, in_graph or shape, recurrent)
    graded = parts.amplitude
    spikes = name if graded is None and not membrane else f"{name}.spikes"
    nodes: list[g.Node] = []
    if parts.bias is not None:
        row = _column(parts.bias)
        nodes.append(_scale(f"{name}.bias", source, np.ones_like(row), row))
        source = f"{name}.bias"
    of, recurrent = parts.membrane, parts.recurrent
    feeds_back = recurrent is not None or of.own is not None
    by_channel = all(map(_is_by_channel, vars(of).values()))
    if of.synapse is not None and not feeds_back and by_channel:
        nodes.append(_filter(f"{name}.current", source, _row(of.synapse)))
        source, of = f"{name}.current", replace(of, synapse=None)
    nodes.append(_neuron(spikes, source, of, recurrent, of.neuron_fields() if by_channel else None))
    if not membrane:
        return [*nodes, *([] if graded is None else [_scale(name, spikes, _column(graded))])]
    if isinstance(of, Membrane) and of.reset == "none" and not feeds_back and by_channel:
        gain = None if of.gain is None else _row(of.gain)[0]
        return [*nodes, _filter(name, source, _row(of.leak), gain)]
    weights = None if recurrent is None else torch.from_numpy(recurrent)
    states, step = membrane_step(of, reads_spikes=recurrent is not None)
    return [*nodes, traced(g.Dynamics, name, (source, spikes), step, states, {}, 1, weights)]


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

    @staticmethod
    def of(
        where: str, neuron: Any, shape: g.Shape, in_graph: g.Shape, recurrent: g.Array | None
    ) -> _Parts:
        def value(field: str, values: Tensor) -> Tensor:
            found = _parameter(where, neuron, field, values, shape)
            if tuple(found.shape) == shape:
                return found.reshape(in_graph)
            return found.reshape(-1, *[1] * (len(in_graph) - 1)) if len(found) > 1 else found

        membrane = membrane_of(neuron, value)
        if not bool((membrane.threshold >= 0).all()):
            raise refusal(
                where,
                neuron,
                f"its threshold is {float(membrane.threshold.min()):g}, and below 0 a membrane at "
                "rest fires",
                "use a threshold of 0 or more",
            )
        bias = amplitude = None
        factor = neuron.graded_spikes_factor
        if bool((factor != 1).any()):
            graded = value("graded_spikes_factor", factor)
            if not _is_by_channel(graded):
                why = "its graded_spikes_factor differs between pixels of one channel"
                raise refusal(where, neuron, why, "give a number, or one for each channel")
            amplitude = _flat(graded)
            if recurrent is not None:  # it reads graded spikes
                axes = (1, -1, *[1] * (recurrent.ndim - 2))
                recurrent = (recurrent * amplitude.reshape(axes)).astype(np.float32)
        if getattr(neuron, "all_to_all", False):
            weight, bias = _weights(where, neuron, neuron.recurrent, shape)
            recurrent = _sum(where, neuron, weight, recurrent)
        return _Parts(membrane, recurrent, bias, amplitude)


def _neuron(
    name: str,
    source: str,
    of: Membrane | AlphaMembrane,
    recurrent: g.Array | None,
    fields: dict[str, Any] | None,
) -> g.Neuron | g.Cell:
    """Return the neuron with this membrane; `fields` of the graph's `Neuron`, if one computes the
    same."""
    if fields is None:
        weights = None if recurrent is None else torch.from_numpy(recurrent)
        states, step = spiking_step(of, reads_spikes=recurrent is not None)
        return traced(g.Cell, name, (source,), step, states, {}, 1, weights)
    reset = fields.pop("reset")
    rows = {key: _row(values) for key, values in fields.items()}
    width = max(row.shape[1] for row in rows.values())
    wide: dict[str, Any] = {
        key: np.repeat(row, width // row.shape[1], axis=1) for key, row in rows.items()
    }
    synapse = None if of.synapse is None else _row(of.synapse)[0]
    return g.Neuron(
        name=name, inputs=(source,), **wide, reset=reset, recurrent=recurrent, synapse=synapse
    )


def _checked(where: str, neuron: nn.Module) -> Any:
    """Return a neuron that follows the equations of `membranes`."""
    _require_kind(where, neuron)
    why = _unsupported(neuron)
    if why:
        raise refusal(where, neuron, why, f"use snn.{type(neuron).__name__} without it")
    return neuron


def _require_kind(where: str, neuron: nn.Module) -> None:
    import snntorch as snn

    if type(neuron) not in [getattr(snn, each) for each in KINDS]:
        why = f"of snnTorch's neurons, exports support {', '.join(KINDS)}"
        raise refusal(where, neuron, why, "use one of them")


def require_supported(where: str, neuron: nn.Module) -> None:
    """Refuse a neuron of snnTorch of another kind, or whose surrogate raises, before its network
    is run, which may take long."""
    _require_kind(where, neuron)
    try:
        with torch.no_grad():
            neuron.spike_grad(torch.zeros(1))  # type: ignore[operator]
    except Exception as error:  # of any surrogate
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        remedy = "use another surrogate, such as snntorch.surrogate.fast_sigmoid()"
        raise refusal(where, neuron, f"its spike_grad fails: {why}", remedy) from error


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
    with torch.no_grad():
        fired = neuron.spike_grad(distances)
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


def _is_by_channel(values: Any) -> bool:
    """Return whether a field of a membrane is one number, one for each channel, or no tensor."""
    return not isinstance(values, Tensor) or values.numel() == len(values)


def _parameter(where: str, neuron: Any, field: str, values: Tensor, shape: g.Shape) -> Tensor:
    """Return a parameter as one number `[1]`, one for each channel, `[C, 1, ...]`, or one for each
    value of a sample."""
    given = values.detach().float().cpu()
    try:
        rows = given.broadcast_to((1, *shape)).reshape(shape[0], -1)
    except RuntimeError:
        why = f"its {field} has the shape {list(values.shape)}, its input {list(shape)}"
        raise refusal(where, neuron, why, "give a number, or one value for each neuron") from None
    if not bool((rows == rows[:, :1]).all()):
        return rows.reshape(shape).clone()
    if bool((rows == rows[:1]).all()):
        return rows[0, :1].clone()
    return rows[:, 0].reshape(-1, *[1] * (len(shape) - 1)).clone()


def _flat(values: Tensor) -> g.Array:
    """Return a parameter for each channel, `[C]`, or `[1]`."""
    return _array(values.reshape(-1))


def _row(values: Tensor) -> g.Array:
    return _column(_flat(values))


def _column(values: g.Array) -> g.Array:
    """Return `[C]` as `[1, C]`, or as `[1, 1]` if all values are equal."""
    same = bool((values == values[0]).all())
    return np.array(values[None, :1] if same else values[None], np.float32)


def _filter(name: str, source: str, poles: g.Array, gain: g.Array | None = None) -> g.Filter:
    gain = np.ones(1, np.float32) if gain is None else gain
    return g.Filter(name=name, inputs=(source,), poles=poles, gain=gain)


def _scale(
    name: str, source: str, factor: g.Array, offset: g.Array | None = None
) -> g.ChannelScale:
    offset = np.zeros_like(factor) if offset is None else offset
    return g.ChannelScale(name=name, inputs=(source,), factor=factor, offset=offset)


def _array(tensor: Tensor) -> g.Array:
    return np.array(tensor.detach().float().cpu().contiguous().numpy())
