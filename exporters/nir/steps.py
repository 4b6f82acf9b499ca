"""One step of each type of NIR node in numpy, in float32.

Equations with step dt (forward Euler), as NIR's documentation gives them:

    LI     v ← v + dt/τ (v_leak - v + r x)                        y = v
    LIF    the same, then y = H(v - v_threshold), v ← v_reset where y = 1
    I      v ← v + dt r x                                         y = v
    IF     the same with threshold and reset
    CubaLI, CubaLIF    i ← i + dt/τ_syn (w_in x - i), and i instead of x
    Delay  y_t = x_{t-k} with k = delay/dt, rounded; 0 before the first step

H(0) = 0; all states are 0 before the first step. Parameters hold a value for each value of a
sample, for each of its channels (its first axis), or one.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from ...core.errors import DataError
from ..graph.images import convolve, pool
from ..graph.ir import Array, Pair


def step_of(name: str, node: nir.NIRNode, x: Array, state: dict[str, Any], dt: float) -> Array:
    """Return the value of a node, `[B, ...]`, for its input in this step.

    Args:
        name: of the node.
        node: its type and parameters.
        x: the sum over its in-edges.
        state: of all nodes, by name; that of the node is replaced by the new one.
        dt: length of a step.

    Raises:
        DataError: the type is unknown here, or the input has a shape that it cannot take.
    """
    try:
        return _step(name, node, x, state, dt)
    except ValueError as error:  # of numpy: shapes that do not fit
        raise DataError(
            f"node {name!r} ({type(node).__name__}) of the NIR graph cannot take values of the "
            f"shape {list(x.shape[1:])}",
            why=str(error),
        ) from error


def _step(name: str, node: nir.NIRNode, x: Array, state: dict[str, Any], dt: float) -> Array:
    match node:
        case nir.Output():
            return x
        case nir.Affine():
            return x @ _f32(node.weight).T + _f32(node.bias)
        case nir.Linear():
            return x @ _f32(node.weight).T
        case nir.Scale():
            return x * _fitted(node.scale, x)
        case nir.Threshold():
            return (x > _fitted(node.threshold, x)).astype(np.float32)
        case nir.Conv1d():
            return _conv1d(node, x)
        case nir.Conv2d():
            return _conv(node.weight, node, x)
        case nir.SumPool2d() | nir.AvgPool2d():
            kind = "sum" if isinstance(node, nir.SumPool2d) else "average"
            window = (_pair(node.kernel_size), _pair(node.stride), _pair(node.padding))
            return pool(x[None], kind, *window)[0]
        case nir.Flatten():
            return _flatten(node, x)
        case nir.Delay():
            return _delay(name, node, x, state, dt)
        case nir.LIF() | nir.LI() | nir.IF() | nir.I() | nir.CubaLIF() | nir.CubaLI():
            return _neuron(name, node, x, state, dt)
    raise DataError(f"node {name!r} ({type(node).__name__}) of the NIR graph cannot be computed")


def _neuron(name: str, node: Any, x: Array, state: dict[str, Any], dt: float) -> Array:
    v, current = state.get(name, (np.zeros_like(x), np.zeros_like(x)))

    def own(values: Any) -> Array:
        return _fitted(values, x)

    if isinstance(node, nir.CubaLIF | nir.CubaLI):
        current = current + own(dt / node.tau_syn) * (own(node.w_in) * x - current)
        x = current
    if isinstance(node, nir.IF | nir.I):
        v = v + own(dt * node.r) * x
    else:
        tau = node.tau if isinstance(node, nir.LIF | nir.LI) else node.tau_mem
        v = v + own(dt / tau) * (own(node.v_leak) - v + own(node.r) * x)
    if isinstance(node, nir.LI | nir.I | nir.CubaLI):
        state[name] = (v, current)
        return v
    spikes = v > own(node.v_threshold)
    state[name] = (np.where(spikes, own(node.v_reset), v), current)
    return spikes.astype(np.float32)


def _delay(name: str, node: nir.Delay, x: Array, state: dict[str, Any], dt: float) -> Array:
    steps = np.rint(np.asarray(node.delay) / dt).astype(int)
    longest = int(steps.max(initial=0))
    past: list[Array] = [x, *state.get(name, [])]  # the latest first
    state[name] = past[:longest]
    steps = np.broadcast_to(_by_channel(steps, x.shape[1:]), x.shape[1:])
    value = np.zeros_like(x)
    for k in np.unique(steps):
        if k < len(past):
            value = np.where(steps == k, past[k], value)
    return value


def _conv1d(node: nir.Conv1d, x: Array) -> Array:
    """Return a convolution over `[C, L]`, as one of images of height 1."""
    return _conv(np.asarray(node.weight)[:, :, None], node, x[:, :, None], one_axis=True)[:, :, 0]


def _conv(weight: Array, node: Any, x: Array, one_axis: bool = False) -> Array:
    def pair(value: Any, other: int) -> Pair:
        return (other, _pair(value)[0]) if one_axis else _pair(value)

    stride, dilation = pair(node.stride, 1), pair(node.dilation, 1)
    padding = node.padding
    if isinstance(padding, str):
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        around = [(0, 0) if padding == "valid" else (each // 2, each - each // 2) for each in total]
        x, padding = np.pad(x, [(0, 0), (0, 0), *around]), 0
    of_axes = (stride, pair(padding, 0), dilation)
    return convolve(x, _f32(weight), _f32(node.bias), *of_axes, int(node.groups))


def _flatten(node: nir.Flatten, x: Array) -> Array:
    """Flatten axes of a sample; negative ones count from the end."""
    rank = x.ndim - 1
    start, end = (int(d) + rank if d < 0 else int(d) for d in (node.start_dim, node.end_dim))
    shape = x.shape[1:]
    return x.reshape(len(x), *shape[:start], -1, *shape[end + 1 :])


def _fitted(values: Any, x: Array) -> Array:
    """Return parameters in float32, as they broadcast against values `[B, ...]`."""
    return _by_channel(_f32(values), x.shape[1:])


def _by_channel(values: Array, shape: tuple[int, ...]) -> Array:
    """Return parameters of samples of that shape, those of channels on the first axis.

    Raises:
        ValueError: they hold neither one value, nor one for each channel, nor one for each value.
    """
    if values.size == 1:
        return values.reshape(())
    if values.ndim == 1 < len(shape) and len(values) == shape[0]:
        return values.reshape(-1, *[1] * (len(shape) - 1))
    fits = len(values.shape) <= len(shape) and all(
        mine in (1, own) for mine, own in zip(values.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(f"its parameters have the shape {list(values.shape)}")
    return values


def _pair(value: Any) -> Pair:
    values = np.atleast_1d(np.asarray(value)).tolist()
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def _f32(value: Any) -> Array:
    return np.asarray(value, np.float32)
