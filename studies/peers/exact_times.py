"""A layer of exact spike times beside published implementations of the same neuron.

    pip install exact-snn-nn exact-event-adjoint jaxsnn
    python -m studies.peers.exact_times --inputs 784 --neurons 400 --batch 64

prints, as Markdown, the processor time of a forward and backward pass of one layer on one thread,
and by how much times and gradients differ. The neuron is `multi-spike` with one spike and the
membrane `double`, V' = -V/τ + I with τ = 2 τ_s, which all of them can be; every input fires once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from asnn.models.timing.multi_spike import MultiSpike
from asnn.models.timing.rel_psp import RelPsp

from .timing import interleaved

TAU_S, TAU, THETA, WINDOW = 0.13, 0.26, 0.1, 0.3
LAST_INPUT = 0.1


class Pass(NamedTuple):
    """A forward and backward pass of the sum of all finite times.

    Attributes:
        times: when the neurons fire, `[B, M]`, +inf if not at all.
        of_weight: gradient of the weights `[M, N]`.
        of_times: gradient of the times of the inputs, `[B, N]`; None where it is not to be had.
    """

    times: np.ndarray
    of_weight: np.ndarray
    of_times: np.ndarray | None


Way = Callable[[], Pass]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=784)
    parser.add_argument("--neurons", type=int, default=400)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=";".join(PEERS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    times, weight = layer(options.batch, options.inputs, options.neurons)
    ways: dict[str, Way] = {"asnn": lambda: own(times, weight)}
    for name in options.only.split(";"):
        package, make = PEERS[name]
        if package is not None and find_spec(package) is None:
            print(f"{name}: not installed")
            continue
        ways[name] = make(times, weight)
    print(f"{options.inputs} inputs, {options.neurons} neurons, batch {options.batch}\n")
    print("| | ms | times asnn | times differ | gradients differ |\n|---|---:|---:|---:|---:|")
    found = interleaved(ways, options.rounds)
    fastest, mine = found["asnn"]
    for name, (ms, theirs) in found.items():
        other_neuron = name == RAMPS
        differs = ("", "") if other_neuron else difference(mine, theirs)
        cells = [f"{ms:.1f}", f"{ms / fastest:.1f}", *differs]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def layer(batch: int, inputs: int, neurons: int) -> tuple[Tensor, Tensor]:
    """Return times of the inputs `[B, N]` and weights `[M, N]` with which nearly all neurons fire,
    most of them while inputs arrive."""
    random = torch.Generator().manual_seed(0)
    times = LAST_INPUT * torch.rand(batch, inputs, generator=random, dtype=torch.float64)
    weight = torch.randn(neurons, inputs, generator=random, dtype=torch.float64)
    return times, weight / inputs**0.5 + 4 / inputs


def difference(mine: Pass, theirs: Pass) -> tuple[str, str]:
    """Return by how much the times differ, and the gradients of the weights relative to the
    greatest; another number of neurons that fire goes before both."""
    both = np.isfinite(mine.times) & np.isfinite(theirs.times)
    others = int((np.isfinite(mine.times) != np.isfinite(theirs.times)).sum())
    apart = np.abs(mine.times[both] - theirs.times[both]).max(initial=0)
    of_weight = np.abs(mine.of_weight - theirs.of_weight).max() / np.abs(mine.of_weight).max()
    return f"{apart:.0e}" + (f", {others} fire elsewhere" if others else ""), f"{of_weight:.0e}"


def by_autograd(fire: Callable[[Tensor, Tensor], Tensor], times: Tensor, weight: Tensor) -> Pass:
    """Return a pass of what torch can differentiate, `fire(times, weight) -> [B, M]`."""
    t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
    out = fire(t, w)
    torch.where(out.isfinite(), out, 0).sum().backward()
    assert t.grad is not None and w.grad is not None
    return Pass(out.detach().numpy(), w.grad.numpy(), t.grad.numpy())


def own(times: Tensor, weight: Tensor) -> Pass:
    """Return the pass of `multi-spike`, with one spike."""
    neuron = MultiSpike(
        1, len(weight), membrane="double", tau_s=TAU_S, threshold=THETA, window=WINDOW, most=1
    )
    return by_autograd(lambda t, w: neuron.fire(t.unsqueeze(2), w)[..., 0], times, weight)


def ramps(times: Tensor, weight: Tensor) -> Way:
    """Return the pass of `rel-psp`: another neuron, beside which the others are not compared."""
    neuron = RelPsp(1, len(weight), window=WINDOW)
    scale = 20 * weight  # ramps of which most cross the threshold of 1
    return lambda: by_autograd(lambda t, w: neuron.fire(t.unsqueeze(2), w)[..., 0], times, scale)


def exact_snn(times: Tensor, weight: Tensor) -> Way:
    """Return the pass of the event-driven layer of exact-snn-nn, whose kernel has its peak at 1."""
    from exact_snn.event import ExactEventLinear  # type: ignore[import-not-found]

    found = ExactEventLinear(
        weight.shape[1],
        weight.shape[0],
        tm=TAU,
        ts=TAU_S,
        theta=THETA,
        t_max=WINDOW,
        dtype=torch.float64,
    )
    unit = TAU * TAU_S * found.k_peak
    with torch.no_grad():
        found.weight[:, :-1] = weight * unit
        found.weight[:, -1] = 0  # of a spike at 0, which this package adds

    def run() -> Pass:
        t = times.t().clone().requires_grad_()
        found.weight.grad = None
        out = found(t)
        torch.where(out.isfinite(), out, 0).sum().backward()
        assert t.grad is not None and found.weight.grad is not None
        of_weight = found.weight.grad[:, :-1].numpy() * unit
        return Pass(out.detach().t().numpy(), of_weight, t.grad.t().numpy())

    return run


def adjoint(times: Tensor, weight: Tensor) -> Way:
    """Return the pass of exact-event-adjoint, which needs B M N 2 N values at a time."""
    from exact_event_adjoint.engine import ExactEventFunction  # type: ignore[import-not-found]

    def fire(t: Tensor, w: Tensor) -> Tensor:
        out = ExactEventFunction.apply(t, w, TAU, TAU_S, THETA, WINDOW)
        return torch.where(out < WINDOW, out, float("inf"))

    return lambda: by_autograd(fire, times, weight)


def jaxsnn(times: Tensor, weight: Tensor, method: str) -> Way:
    """Return the pass of jaxsnn: the layer event by event, in a compiled scan."""
    import jax  # type: ignore[import-not-found]
    import jax.numpy as jnp  # type: ignore[import-not-found]
    from jaxsnn.event.modules import (  # type: ignore[import-not-found]
        LIF,
        LIFParameters,
        Linear,
        Source,
    )
    from jaxsnn.event.topology import Topology  # type: ignore[import-not-found]
    from jaxsnn.event.types import Spike  # type: ignore[import-not-found]

    jax.config.update("jax_enable_x64", True)
    (batch, inputs), neurons = times.shape, len(weight)
    # After a reset that low a neuron fires no more.
    neuron = LIFParameters(tau_syn=TAU_S, tau_mem=TAU, v_th=THETA, v_reset=-1000.0)
    network = Topology(t_max=WINDOW, backprop_method=method)
    network.add(
        {
            "inputs": Source(inputs),
            "layer": LIF(neurons, inputs + neurons, neuron),
            "weights": Linear(pre_weights=jnp.asarray(weight.t().numpy() * TAU)),
        }
    )
    network.connect([("inputs", "weights"), ("weights", "layer")])
    init, apply = network.done()
    given = init(jax.random.PRNGKey(0))
    moments, order = times.sort(1)
    source = jnp.asarray(order.numpy())

    def fired(events: Any) -> Any:
        """Return the times of one sample's neurons `[M]`."""
        of_layer = jnp.where(events.internal & (events.idx >= 0), events.time, jnp.inf)
        index = jnp.where(events.idx >= 0, events.idx, 0)
        return jnp.full(neurons, jnp.inf).at[index].min(of_layer)

    def total(weights: Any, arrivals: Any) -> Any:
        spikes = Spike(
            time=arrivals,
            idx=source,
            current=jnp.zeros_like(arrivals),
            layer_idx=jnp.zeros(source.shape, int),
            internal=jnp.ones(source.shape, bool),
        )
        out = jax.vmap(fired)(apply({"inputs": spikes}, weights)["layer"])
        return jnp.where(jnp.isfinite(out), out, 0).sum(), out

    compiled = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))

    def run() -> Pass:
        (of_weight, of_times), out = compiled(given, jnp.asarray(moments.numpy()))
        by_input = np.zeros((batch, inputs))
        np.put_along_axis(by_input, order.numpy(), np.asarray(of_times), 1)
        return Pass(np.asarray(out), np.asarray(of_weight["weights"]).T * TAU, by_input)

    return run


RAMPS = "asnn, rel-psp"
PEERS: dict[str, tuple[str | None, Callable[[Tensor, Tensor], Way]]] = {
    RAMPS: (None, ramps),
    "exact-snn-nn": ("exact_snn", exact_snn),
    "exact-event-adjoint": ("exact_event_adjoint", adjoint),
    "jaxsnn, analytical": ("jaxsnn", lambda t, w: jaxsnn(t, w, "analytical")),
    "jaxsnn, eventprop": ("jaxsnn", lambda t, w: jaxsnn(t, w, "eventprop")),
}


if __name__ == "__main__":
    main()
