"""Neurons of snnTorch as neurons of the graph, where exact.

snnTorch's `Leaky` computes, from rest, with β in [0, 1] and threshold θ:

    reset_delay=True     v_t = β v_{t-1} + x_t - θ s_{t-1}           subtract
                         v_t = β (1 - s_{t-1}) v_{t-1} + x_t         zero
    reset_delay=False    v_t = β v_{t-1} + x_t, then the reset at once
    either way           s_t = H(v_t - θ)

The graph resets at once and multiplies the rest with the leak. So the delayed subtraction is an
immediate one of size θ / β for every membrane, and both resets to zero are the reset to zero.

With the immediate reset by subtraction, snnTorch (1.0.0) differs where a membrane stays above θ
after its reset: in the next step it subtracts θ before it compares, and adds it again if the neuron
does not fire. No neuron of the graph does that; `violates_condition` tests whether it matters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...models.neurons.snntorch import delayed_subtraction
from ..graph import ir as g
from .refusal import refusal

RESETS = ("subtract", "zero", "none")  # by the codes of snnTorch
METHODS = {"subtract": "_base_sub", "zero": "_base_zero", "none": "_base_int"}


def neuron_of(name: str, where: str, source: str, neuron: nn.Module, shape: g.Shape) -> g.Neuron:
    """Return a neuron of snnTorch as a neuron of the graph for one step, parameters `[1, C]`.

    Args:
        name: of the node.
        where: the neuron's path in its network.
        source: the node that it reads.
        neuron: a `snntorch.Leaky`.
        shape: of one sample of its input.

    Raises:
        ConfigError: the graph has no neuron that computes the same.
    """
    leaky = _checked(where, neuron)
    reset = RESETS[int(leaky.reset_mechanism_val)]
    leak = _by_channel(where, leaky, "beta", shape).clip(0, 1)
    threshold = _by_channel(where, leaky, "threshold", shape)
    if not (threshold >= 0).all():
        raise refusal(
            where,
            leaky,
            f"its threshold is {threshold.min():g}, and below 0 a membrane at rest fires",
            "use a threshold of 0 or more",
        )
    size = threshold
    if reset == "subtract" and leaky.reset_delay:
        parts = delayed_subtraction(torch.from_numpy(leak), torch.from_numpy(threshold))
        leak, size = (part.numpy() for part in parts)
    leak, threshold, size = (_column(part) for part in (leak, threshold, size))
    return g.Neuron(
        name=name,
        inputs=(source,),
        leak=leak,
        gain=np.ones_like(leak),
        threshold=threshold,
        size=size,
        reset=reset,  # type: ignore[arg-type]
    )


def has_condition(neuron: nn.Module) -> bool:
    """Return whether a neuron is exact only while no membrane stays above its threshold."""
    at_once = not getattr(neuron, "reset_delay", True)
    return at_once and RESETS[int(neuron.reset_mechanism_val)] == "subtract"  # type: ignore[arg-type]


def violates_condition(neuron: nn.Module, x: Tensor) -> bool:
    """Return whether such a neuron, given x, does not fire where the neuron of the graph does.

    That is where v > θ after the last step and θ < β v + x ≤ 2 θ now.
    """
    leaky: Any = neuron
    mem, threshold = leaky.mem, leaky.threshold
    if mem.shape != x.shape:
        return False  # it is at rest
    total = leaky.beta.clamp(0, 1) * mem + x
    silent = ~(total - threshold > threshold)
    return bool(((mem > threshold) & (total > threshold) & silent).any())


def _checked(where: str, neuron: nn.Module) -> Any:
    """Return a neuron that follows the equations above."""
    import snntorch as snn

    kind = type(neuron)
    if isinstance(neuron, snn.Synaptic | snn.Alpha | snn.RSynaptic):
        why = "exports have no synaptic current yet, which is a second state"
        raise refusal(where, neuron, why, "use snn.Leaky")
    if isinstance(neuron, snn.RLeaky | snn.SLSTM | snn.SConv2dLSTM):
        why = "exports have no recurrent connections yet: the graph is feed-forward"
        raise refusal(where, neuron, why, "use snn.Leaky")
    if kind is not snn.Leaky:
        raise refusal(
            where, neuron, "of snnTorch's neurons, exports support Leaky alone", "use snn.Leaky"
        )
    why = _unsupported(neuron)
    if why:
        raise refusal(where, neuron, why, "use snn.Leaky without it")
    return neuron


def _unsupported(neuron: Any) -> str:
    """Return which option of a Leaky neuron is not in the equations; empty if none."""
    if neuron.inhibition:
        return "inhibition: the graph has no neurons that silence others of their layer"
    if neuron.state_quant:
        return "state_quant: the graph has no quantised membranes"
    if bool((neuron.graded_spikes_factor != 1).any()):
        return "graded_spikes_factor: spikes of the graph are 0 or 1"
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


def _by_channel(where: str, neuron: Any, field: str, shape: g.Shape) -> g.Array:
    """Return a parameter as one value for each channel, `[C]`."""
    values = getattr(neuron, field).detach().float().cpu().numpy()
    try:
        by_channel = np.broadcast_to(values, (1, *shape)).reshape(shape[0], -1)
    except ValueError:
        why = f"its {field} has the shape {list(values.shape)}, its input {list(shape)}"
        raise refusal(where, neuron, why, "give a number, or one value for each neuron") from None
    if not (by_channel == by_channel[:, :1]).all():
        why = f"its {field} differs between pixels of one channel"
        remedy = f"give a number, or {field} of the shape [{shape[0]}{', 1' * (len(shape) - 1)}]"
        raise refusal(where, neuron, why, remedy)
    return np.array(by_channel[:, 0], np.float32)


def _column(values: g.Array) -> g.Array:
    """Return `[C]` as `[1, C]`, or as `[1, 1]` if all values are equal."""
    same = bool((values == values[0]).all())
    return np.array(values[None, :1] if same else values[None], np.float32)
