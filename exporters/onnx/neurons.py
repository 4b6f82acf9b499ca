"""Neurons in ONNX: unrolled over all steps, or one step with its states as inputs and outputs."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from ..graph.ir import Array, Dynamics, Neuron
from ..graph.noise import noise_name
from .builder import Builder, by_channel


def neuron_over_time(
    b: Builder, node: Neuron, x: str, rank: int, steps: int, repeated: bool
) -> str:
    """Unroll a neuron over all steps.

    Args:
        b: the builder.
        node: the neuron.
        x: its input, `[T, N, ...]`, or `[1, N, ...]` if `repeated`.
        rank: axes of a sample.
        steps: T.
        repeated: whether the input is the same at every step.
    """
    name = node.name
    currents = [x] * steps
    if not repeated and steps > 1:
        names = [f"{name}/{t}/input" for t in range(steps)]
        currents = b.ops("Split", [x, b.integers(*[1] * steps)], names, axis=0)
    noise = [noise_name(name) if node.kappa is not None else None] * steps
    if node.kappa is not None and steps > 1:
        names = [f"{name}/{t}/noise" for t in range(steps)]
        noise = b.ops("Split", [noise_name(name), b.integers(*[1] * steps)], names, axis=0)
    membrane, synaptic, fired, spikes = None, None, None, []
    for t, current in enumerate(currents):
        parts = _ParametersAtStep(b, node, t, rank)
        out = f"{name}/{t}/spikes" if steps > 1 else name
        if t and node.recurrent is not None:
            current = with_recurrence_over_time(b, node, current, spikes[-1], f"{name}/{t}")
        if node.synapse is not None:
            current = synaptic = _synaptic(b, node, current, synaptic, rank, f"{name}/{t}")
        s, membrane = _fire(
            b,
            node,
            current,
            membrane,
            parts,
            f"{name}/{t}",
            out,
            last=t == steps - 1,
            fired=fired,
            noise=noise[t],
        )
        if node.once:
            fired = s if fired is None else b.op("Add", [fired, s], f"{name}/{t}/fired")
        spikes.append(s)
    return spikes[0] if steps == 1 else b.op("Concat", spikes, name, axis=0)


def neuron_at_step(
    b: Builder, node: Neuron, x: str, before: list[str], step: str, rank: int, noise: str | None
) -> list[str]:
    """Add one step of a neuron.

    Args:
        b: the builder.
        node: the neuron.
        x: its input, `[N, ...]`.
        before: its states before the step, in the order of `states_of_node`.
        step: the number of the step.
        rank: axes of a sample.
        noise: uniform numbers of the step, `[N, ...]`, of a neuron that draws.

    Returns:
        Its spikes, then its states after the step.
    """
    given = dict(zip(node.states, before, strict=True))
    if node.recurrent is not None:
        x = with_recurrence(b, node, x, given["s"], node.name)
    if node.synapse is not None:
        x = _synaptic(b, node, x, given["i"], rank, node.name)
    parts, fired = _ParametersByStep(b, node, step, rank), given.get("fired")
    spikes, membrane = _fire(
        b, node, x, given["v"], parts, node.name, node.name, last=False, fired=fired, noise=noise
    )
    assert membrane is not None
    after = {"v": membrane, "s": spikes, "i": x}
    if fired is not None:
        after["fired"] = b.op("Add", [fired, spikes], f"{node.name}/fired")
    return [spikes, *(after[kind] for kind in node.states)]


def with_recurrence_over_time(
    b: Builder, node: Neuron | Dynamics, x: str, spikes: str, at: str
) -> str:
    """Return x + U s of one of all steps, `[1, N, ...]`, of x and spikes `[1, N, ...]`."""
    assert node.recurrent is not None
    if node.recurrent.ndim == 2:
        features = node.recurrent.shape[1]
        found = with_recurrence(b, node, x, b.reshape(spikes, (-1, features), f"{at}/before"), at)
        b.state_shape(found, [1, features])
        return found
    before = b.op("Squeeze", [spikes, b.integers(0)], f"{at}/before")
    return with_recurrence(b, node, x, before, at)


def with_recurrence(b: Builder, node: Neuron | Dynamics, x: str, spikes: str, at: str) -> str:
    """Return x + U s, of spikes `[N, F]` or `[N, C, H, W]`.

    Gemm transposes U: onnxruntime before 1.29 does not load a Transpose of int8 weights.
    """
    assert node.recurrent is not None
    weight = b.weight(f"{node.name}.recurrent", node.recurrent)
    if node.recurrent.ndim == 2:
        received = b.op("Gemm", [spikes, weight], f"{at}/received", transB=1)
    else:
        kernel = node.recurrent.shape[2:]
        pads = [size // 2 for size in kernel] * 2
        received = b.op("Conv", [spikes, weight], f"{at}/received", pads=pads, kernel_shape=kernel)
    return b.op("Add", [x, received], f"{at}/with_recurrence")


def _synaptic(b: Builder, node: Neuron, x: str, before: str | None, rank: int, at: str) -> str:
    """Return the synaptic current α i_{t-1} + x_t; without i_{t-1}, x_t."""
    if before is None:
        return x
    assert node.synapse is not None
    pole = b.constant(f"{node.name}.synapse", by_channel(node.synapse, rank))
    return b.op("Add", [b.op("Mul", [before, pole], f"{at}/decayed"), x], f"{at}/synaptic")


class _ParametersAtStep:
    """The parameters of a neuron at a fixed step, as constants."""

    def __init__(self, b: Builder, node: Neuron, t: int, rank: int) -> None:
        self._b, self._node, self._t, self._rank = b, node, t, rank

    def __call__(self, field: str) -> str:
        values: Array = getattr(self._node, field)[self._t]
        return self._b.constant(
            f"{self._node.name}.{field}{self._t}", by_channel(values, self._rank)
        )

    def is_one(self, field: str) -> bool:
        return bool((getattr(self._node, field)[self._t] == 1).all())


class _ParametersByStep:
    """The parameters of a neuron at a step that is an input of the graph."""

    def __init__(self, b: Builder, node: Neuron, step: str, rank: int) -> None:
        self._b, self._node, self._step, self._rank = b, node, step, rank
        self._names: dict[str, str] = {}

    def __call__(self, field: str) -> str:
        if field not in self._names:
            self._names[field] = self._at_step(field)
        return self._names[field]

    def _at_step(self, field: str) -> str:
        values: Array = getattr(self._node, field)
        b, name = self._b, f"{self._node.name}.{field}"
        if (values == values[0]).all():
            return b.constant(name, by_channel(values[0], self._rank))
        table = b.constant(name, np.stack([by_channel(v, self._rank) for v in values]))
        return b.op("Gather", [table, self._step], f"{self._node.name}/{field}", axis=0)

    def is_one(self, field: str) -> bool:
        return bool((getattr(self._node, field) == 1).all())


def _fire(
    b: Builder,
    node: Neuron,
    x: str,
    before: str | None,
    parts: _ParametersAtStep | _ParametersByStep,
    at: str,
    spikes: str,
    *,
    last: bool,
    fired: str | None,
    noise: str | None,
) -> tuple[str, str | None]:
    """Add one step of a neuron; return spikes and membrane, without the reset at the last step.

    `fired` is 1 where a neuron has fired and fires no more; None where all may fire. `noise` are
    the uniform numbers of a neuron that draws.
    """
    v = x if parts.is_one("gain") else b.op("Mul", [x, parts("gain")], f"{at}/current")
    if before is not None:
        kept = before
        if not parts.is_one("leak"):
            kept = b.op("Mul", [before, parts("leak")], f"{at}/leaked")
        v = b.op("Add", [kept, v], f"{at}/membrane")
    if node.most > 1:
        over = b.op("Sub", [v, parts("threshold")], f"{at}/over")
        level = b.op("Ceil", [b.op("Div", [over, parts("size")], f"{at}/level")], f"{at}/ceil")
        none, most = b.constant("none", 0), b.constant(f"most_{node.most}", node.most)
        s = b.op("Clip", [level, none, most], spikes)
    else:
        if noise is None:
            fires = b.op("Greater", [v, parts("threshold")], f"{at}/fires")
        else:
            over = b.op("Sub", [v, parts("threshold")], f"{at}/over")
            odds = b.op("Mul", [over, parts("kappa")], f"{at}/log_odds")
            p = b.op("Sigmoid", [odds], f"{at}/probability")
            fires = b.op("Less", [noise, p], f"{at}/fires")
        above = spikes if fired is None else f"{at}/above"
        s = b.op("Cast", [fires], above, to=TensorProto.FLOAT)
        if fired is not None:
            first = b.op("Greater", [s, fired], f"{at}/fires_first")
            s = b.op("Cast", [first], spikes, to=TensorProto.FLOAT)
    if last or node.reset == "none":
        return s, v
    if node.reset == "zero":
        silent = b.op("Sub", [b.constant("one", np.float32(1)), s], f"{at}/silent")
        return s, b.op("Mul", [v, silent], f"{at}/reset")
    assert node.reset == "subtract", f"ONNX has no form for the reset {node.reset!r}"
    drop = s if parts.is_one("size") else b.op("Mul", [s, parts("size")], f"{at}/drop")
    return s, b.op("Sub", [v, drop], f"{at}/reset")
