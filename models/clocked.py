"""Networks of neurons that fire in windows, on one clock: one layer after the other."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..coding.base import Coding
from ..coding.factory import create_coding
from ..core.errors import ConfigError
from .layer import Lowering
from .layers.attention import SelfAttention
from .layers.norm import FoldedNorm, SharedNorm
from .layers.spiking import SpikingLayer
from .layers.stem import Stem
from .layers.time import OverTime
from .network import SpikingNetwork
from .neurons.ttfs import Ttfs
from .readouts import Readout
from .synapses import Synapse


def has_windows(network: nn.Module) -> bool:
    """Return whether a network has neurons that fire in windows."""
    return any(isinstance(part, Ttfs) for part in network.modules())


def steps_before(network: SpikingNetwork) -> int:
    """Return how many steps of one clock come before the first step of the outputs: the windows of
    the code and of all layers of neurons but the last; 0 without windows."""
    layers = sum(isinstance(part, Ttfs) for part in network.modules())
    return layers * network.coding.steps


def require_windows(network: nn.Module) -> None:
    """Refuse layers in whose output a spike that is held is none, beside neurons `ttfs`.

    Raises:
        ConfigError: there is a filter over time or a product of spikes.
    """
    for part in network.modules() if has_windows(network) else ():
        if isinstance(part, Synapse | SelfAttention):
            synapse = isinstance(part, Synapse)
            raise ConfigError(
                f"neurons 'ttfs' are not for a network with a layer {type(part).__name__}",
                why="a spike stands for a level by its step in the window, which a filter over "
                "time or a product of spikes does not keep",
                remedy="set synapse.name=none" if synapse else "choose mlp, lenet or vgg",
            )


@torch.no_grad()
def clocked(network: SpikingNetwork) -> SpikingNetwork:
    """Return a network of `ttfs` neurons as one that a clock drives, with the same answers.

    With windows of L steps and H layers of neurons it makes (H + 1) L steps: the code fills the
    first window, the layer l = 1 .. H adds up its input in the window l and fires in the window
    l + 1. The outputs of the last window are those of the network, times H + 1; those before are 0,
    so that the mean over all steps is the answer.

    Args:
        network: with the code `ttfs` or `direct`, neurons `ttfs` alone, one after the other, and
            the readout `mean`. It is not changed; weights are copied.

    Raises:
        ConfigError: it has something else.
    """
    network = copy.deepcopy(network)
    window = network.coding.steps
    layers = _layers_in_turn(network)
    steps = (len(layers) + 1) * window
    coding = _coding_on_clock(network.coding, steps)
    for part in network.body.modules():
        if isinstance(part, Stem):
            part.analog_steps = coding.analog_steps
    for number, layer in enumerate(layers, start=1):
        assert isinstance(layer.neuron, Ttfs)
        layer.neuron = ClockedTtfs(layer.neuron, number, steps)
    readout, scale = network.readout, torch.zeros(steps)
    own = torch.ones(window) if readout.scale is None else readout.scale
    scale[-window:] = own.detach() * (len(layers) + 1)
    readout.scale = nn.Parameter(scale)
    found = SpikingNetwork(coding, network.body).eval()
    if network.has_config:
        options = {"window": window} if coding.opens else network.config["coding_options"]
        found.config = {**network.config, "steps": steps, "coding_options": options}
    return found


class ClockedTtfs(nn.Module):
    """Neurons `ttfs` on a clock: `[T, B, C, ...] -> [T, B, C, ...]`, L steps a window.

        v_t = v_{t-1} + x_t / s     in the window of the input, the l-th, else v_{t-1}
        out_t = s [v_t ≥ L - n - 1/2]      at step n of the next window, else 0

    Args:
        neuron: the neurons.
        number: l, from 1.
        steps: T, those of the network.
    """

    amplitude: Tensor
    reads: Tensor
    fires: Tensor
    level: Tensor

    def __init__(self, neuron: Ttfs, number: int, steps: int) -> None:
        super().__init__()
        window = neuron.levels
        n = torch.arange(steps) - number * window  # the step of its own window
        fires = (n >= 0) & (n < window)
        self.register_buffer("amplitude", neuron.amplitude.detach().clone())
        self.register_buffer("reads", ((n < 0) & (n >= -window)).float())
        self.register_buffer("fires", fires.float())
        self.register_buffer("level", torch.where(fires, window - n - 0.5, 0.0))

    def step(
        self, x: Tensor, v: Tensor, *, reads: Tensor, fires: Tensor, level: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return 1 where a neuron has fired in its window, and the membranes."""
        v = v + reads * x
        return fires * (v >= level), v

    def schedules(self) -> dict[str, Tensor]:
        """Return what changes from step to step, `[T, 1]`."""
        return {name: getattr(self, name).view(-1, 1) for name in ("reads", "fires", "level")}

    def forward(self, x: Tensor) -> Tensor:
        s = self.amplitude
        s = s.view(-1, *[1] * (x.dim() - 3)) if s.dim() else s
        schedules, v, out = self.schedules(), torch.zeros_like(x[0]), []
        for t, x_t in enumerate(x * (1 / s)):
            fired, v = self.step(x_t, v, **{name: each[t] for name, each in schedules.items()})
            out.append(fired)
        return torch.stack(out) * s

    def lower(self, graph: Lowering, name: str) -> None:
        s = self.amplitude.reshape(1, -1).repeat(graph.steps, 1)
        offset = torch.zeros_like(s)
        graph.add("ChannelScale", f"{name}_input", factor=1 / s, offset=offset)
        graph.cell(name, self.step, states=["v"], schedules=self.schedules())
        graph.add("ChannelScale", f"{name}_amplitude", factor=s, offset=offset)


def _layers_in_turn(network: SpikingNetwork) -> list[SpikingLayer]:
    """Return the layers of neurons of a network of which each reads the one before.

    Raises:
        ConfigError: it has other layers, neurons, norms or another readout.
    """
    body = network.body if isinstance(network.body, nn.Sequential) else [network.body]
    plain = (Stem, OverTime, SpikingLayer, nn.Flatten, nn.Identity)
    readout: list[nn.Module] = []
    for part in body:
        if isinstance(part, Readout):
            readout.append(part)
        elif type(part) not in plain:
            raise _no_clock(
                f"a layer {type(part).__name__}",
                "layers fire in windows one after the other, and what it joins or keeps is of "
                "several of them",
                "choose a network of layers one after the other: mlp, lenet or vgg",
            )
    layers = [part for part in body if isinstance(part, SpikingLayer)]
    for layer in layers:
        if not isinstance(layer.neuron, Ttfs):
            raise _no_clock(
                f"neurons {type(layer.neuron).__name__}", "they fire in no window of their own", ""
            )
        if layer.norm is not None and type(layer.norm) not in (FoldedNorm, SharedNorm):
            raise _no_clock(
                f"a norm {type(layer.norm).__name__}",
                "its steps have statistics of their own",
                "set model.norm=folded",
            )
    if len(readout) != 1 or type(readout[0]) is not Readout:
        raise _no_clock(
            f"the readout {type(network.readout).__name__}",
            "the answer is the mean over the last window",
            "set readout.name=mean",
        )
    return layers


def _coding_on_clock(coding: Coding, steps: int) -> Coding:
    """Return the code with so many steps, those after its window without a spike.

    Raises:
        ConfigError: it is another one than `ttfs` and `direct`.
    """
    make: dict[str, Callable[[], Coding]] = {
        "ttfs": lambda: create_coding("ttfs", steps=steps, window=coding.steps),
        "direct": lambda: create_coding("direct", steps=steps, **coding.of_counterpart()),
    }
    if coding.name not in make:
        raise _no_clock(
            f"the code {coding.name!r}",
            "its spikes would have to end with its window",
            "set coding.name=ttfs or direct",
        )
    found = make[coding.name]()
    if coding.spec is not None:
        found.bind(coding.spec)
    return found


def _no_clock(what: str, why: str, remedy: str) -> ConfigError:
    return ConfigError(
        f"a network of neurons 'ttfs' with {what} has no form on one clock", why=why, remedy=remedy
    )
