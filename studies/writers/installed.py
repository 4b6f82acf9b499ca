"""Files of snnTorch, SpikingJelly and Norse, with the spikes that they compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import nir
import torch
from torch import Tensor, nn

from .pinned import BATCH, STEPS, Written, full


def snntorch_leaky(path: Path, reset: str) -> Written:
    """Leaky."""
    return _snntorch(path, reset, "Leaky", beta=0.9, threshold=1.0)


def snntorch_synaptic(path: Path, reset: str) -> Written:
    """Synaptic."""
    return _snntorch(path, reset, "Synaptic", alpha=0.6, beta=0.9, threshold=1.0)


def snntorch_recurrent(path: Path, reset: str) -> Written:
    """RLeaky."""
    return _snntorch(path, reset, "RLeaky", beta=0.9)


def snntorch_recurrent_synaptic(path: Path, reset: str) -> Written:
    """RSynaptic."""
    return _snntorch(path, reset, "RSynaptic", alpha=0.6, beta=0.8)


def _snntorch(path: Path, reset: str, kind: str, **options: Any) -> Written:
    """Write two layers, the second of Leaky."""
    from snntorch import SpikingNeuron
    from snntorch.export_nir import export_to_nir

    last = _layer("Leaky", 5, beta=0.8, threshold=0.5, reset_mechanism=reset, output=True)
    first = _layer(kind, 20, **options, reset_mechanism=reset)
    net = nn.Sequential(nn.Linear(12, 20), first, nn.Linear(20, 5), last)
    nir.write(path, export_to_nir(net, torch.rand(1, 12), ignore_dims=[0]))
    x = 2 * torch.rand(STEPS, BATCH, 12)
    for neuron in net.modules():  # `utils.reset` resets those of other networks too
        if isinstance(neuron, SpikingNeuron):
            cast(Any, neuron).reset_mem()
    return x, steps_of(lambda each: net(each)[0], x)


def _layer(kind: str, count: int, **options: Any) -> nn.Module:
    """Return neurons whose parameters have a value for each of them, as NIR wants them."""
    import snntorch

    for name in ("alpha", "beta", "threshold"):
        if name in options and "R" not in kind:
            options[name] = full(count, options[name])
    if "R" in kind:
        options["linear_features"] = count
    return getattr(snntorch, kind)(init_hidden=True, **options)


def spikingjelly(path: Path) -> Written:
    """IFNode, LIFNode and CUBALIFNode, with weights of quarters, so that membranes are at the
    threshold exactly, which it counts as a spike."""
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    net = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1),
        neuron.IFNode(v_reset=-0.5),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(64, 20),
        neuron.LIFNode(tau=2.0, v_threshold=0.25),
        layer.Linear(20, 5),
        neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75),
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randint(-2, 3, parameter.shape) / 4)
    x = torch.randint(0, 2, (STEPS, BATCH, 2, 8, 8)).float()
    nir.write(path, export_to_nir(net, x[0, :1]))
    functional.reset_net(net)
    return x, steps_of(net, x)


def norse(path: Path) -> Written:
    """LIFBoxCell and LIFCell, for a dt of 0.001."""
    import norse.torch as of_norse

    box = {"v_leak": full(20, 0.05), "v_th": full(20, 0.2), "v_reset": full(20, 0)}
    cuba = {"v_leak": full(5, 0), "v_th": full(5, 0.1), "v_reset": full(5, 0)}
    rates = {"tau_syn_inv": full(5, 200), "tau_mem_inv": full(5, 100)}
    net = of_norse.SequentialState(
        nn.Linear(12, 20),
        of_norse.LIFBoxCell(of_norse.LIFBoxParameters(tau_mem_inv=full(20, 100), **box)),
        nn.Linear(20, 5),
        of_norse.LIFCell(of_norse.LIFParameters(**rates, **cuba)),
    )
    x = 3 * torch.rand(STEPS, BATCH, 12)
    nir.write(path, of_norse.to_nir(net, x[0, :1]))
    state = None

    def step(each: Tensor) -> Tensor:
        nonlocal state
        y, state = net(each, state)
        return y

    return x, steps_of(step, x)


@torch.no_grad()
def steps_of(step: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the outputs of steps `[T, B, ...]` one after another."""
    return torch.stack([step(each) for each in x])
