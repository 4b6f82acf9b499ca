"""Networks of many exact spike times on a clock, for runtimes that make steps."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from ...coding.factory import create_coding
from ...coding.samples import SampleSpec
from ...coding.times import Times
from ...core.errors import ConfigError
from ..layer import Lowering
from ..layers.spiking import SpikingLayer
from ..layers.time import OverTime
from ..network import SpikingNetwork
from ..readouts import Readout
from ..readouts.earliest import EarliestReadout
from ..readouts.spike_count import SpikeCountReadout
from .functional.multi_spike import MultiSpikeOptions, advance
from .layer import TimingConv2d, TimingLinear, timing_layers
from .multi_spike import MultiSpike

STEPS_OF_CODE = 100
MAX_STEPS = 5_000


class ClockedMultiSpike(nn.Module):
    """Neurons `multi-spike` at multiples of dt, from the inputs of each step `[T, B, M]`.

        v ← p v + q i        [[p, q], [0, s]]: the exact propagator of a step without inputs
        s_t = [v ≥ θ] while t dt is in the window and the neuron has fired less than S times
        v ← v - θ s_t
        i ← s i + x_t        inputs of a step count from its end

    Args:
        options: of the neurons.
        steps: T; step t is the time t dt.
        dt: of a step.
    """

    openings: Tensor

    def __init__(self, options: MultiSpikeOptions, steps: int, dt: float) -> None:
        super().__init__()
        self.threshold, self.most = options.threshold, float(options.most)
        one, none, d = (torch.tensor(value, dtype=torch.float64) for value in (1.0, 0.0, dt))
        self.p = advance(one, none, d, options)[0].item()
        q, s = advance(none, one, d, options)
        self.q, self.s = q.item(), s.item()
        inside = torch.arange(steps, dtype=torch.float64) * dt <= options.window * (1 + 1e-9)
        self.register_buffer("openings", inside.float().view(-1, 1))

    def step(
        self, x: Tensor, v: Tensor, i: Tensor, count: Tensor, *, opening: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the spikes and the states after a step."""
        v = self.p * v + self.q * i
        fires = (v >= self.threshold) * (count < self.most) * opening
        return fires, v - self.threshold * fires, self.s * i + x, count + fires

    def forward(self, x: Tensor) -> Tensor:
        states, out = [torch.zeros_like(x[0])] * 3, []
        for x_t, opening in zip(x, self.openings, strict=True):
            spikes, *states = self.step(x_t, *states, opening=opening)
            out.append(spikes)
        return torch.stack(out)

    def lower(self, graph: Lowering, name: str) -> None:
        states = ["v", "i", "count"]
        graph.cell(name, self.step, states=states, schedules={"opening": self.openings})


def has_many_times(network: nn.Module) -> bool:
    """Return whether a network has neurons `multi-spike`."""
    return any(isinstance(part, MultiSpike) for part in network.modules())


def default_step(network: SpikingNetwork) -> float:
    """Return the step that makes 100 of the window of the code."""
    assert isinstance(network.coding, Times)
    return network.coding.window / STEPS_OF_CODE


@torch.no_grad()
def on_clock(network: SpikingNetwork, dt: float) -> SpikingNetwork:
    """Return a network of `multi-spike` neurons as one of steps of dt.

    Pixels fire at the step nearest to their time. A spike between two steps is sent at the second
    one; so times differ by up to a step for each layer, and now and then a number of spikes does.
    The mean of the outputs over the steps is (end - t_k)/τ of the readout `earliest`, 0 without a
    spike, and n_k of `spike-count`.

    Args:
        network: linear or convolutional layers of exact times, of images; it is not changed.
        dt: the window of the code must be a multiple of it.

    Raises:
        ConfigError: it has another code or readout, dt does not divide the window, or is too short.
    """
    coding, readout, layers = network.coding, network.readout, timing_layers(network)
    _require_form(network)
    assert isinstance(coding, Times)
    if not 0 < dt < float("inf"):
        raise ConfigError(f"a step, dt, must be above 0 and finite, not {dt}")
    window = round(coding.window / dt)
    if window < 1 or abs(window * dt - coding.window) > 1e-9 * coding.window:
        raise ConfigError(
            f"a step of {dt} does not divide the window {coding.window} of the code",
            why="a pixel fires at a multiple of the step",
            remedy=f"choose a step such as {coding.window / STEPS_OF_CODE}",
        )
    neurons = [layer.neuron for layer in layers.values()]
    ends = [neuron.window for neuron in neurons]
    steps = 1 + math.ceil(max(*ends, coding.window) / dt - 1e-9)
    if steps > MAX_STEPS:
        raise ConfigError(
            f"a step of {dt:g} makes {steps:,} steps, at most {MAX_STEPS:,} are computed",
            why="all steps of the samples are in memory at once; a file is compared with exact "
            "times at parts of its step too, a NIR file at a quarter",
            remedy="choose a longer step",
        )
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    flat = False
    for name, layer in layers.items():
        neuron = layer.neuron
        assert isinstance(neuron, MultiSpike)
        if isinstance(layer, TimingLinear):
            affine: nn.Module = nn.Linear(layer.weight.shape[1], len(layer.weight), bias=False)
            if not flat:
                parts[f"{name}_flatten"], flat = OverTime(nn.Flatten()), True
        else:
            assert isinstance(layer, TimingConv2d)
            channels, of = layer.weight.shape[1], (layer.kernel, layer.stride, layer.padding)
            affine = nn.Conv2d(channels, len(layer.weight), *of, bias=False)
        affine.weight.copy_(layer.weight)  # type: ignore[operator]
        options = neuron.options
        if name == list(layers)[-1] and isinstance(readout, EarliestReadout):
            options = MultiSpikeOptions(**{**vars(options), "most": 1})  # the others are not read
        parts[f"{name}_weight"] = OverTime(affine)
        parts[name] = SpikingLayer(None, ClockedMultiSpike(options, steps, dt))
    classes = layers[list(layers)[-1]].neuron.channels
    parts["readout"] = made = Readout(classes, classes, steps=steps, scaled=True)
    made.linear.weight.copy_(torch.eye(classes))
    made.linear.bias.zero_()
    assert made.scale is not None
    made.scale.fill_(steps)
    if isinstance(readout, EarliestReadout):
        made.scale.copy_(steps * (steps - torch.arange(steps)) * dt / readout.tau)
    code = create_coding("ttfs", steps=steps, window=window)
    if coding.spec is not None:
        code.bind(coding.spec)
    found = SpikingNetwork(code, nn.Sequential(parts)).eval()
    if network.has_config:
        found.config = {**network.config, "coding": "ttfs", "steps": steps, "step_length": dt}
        found.config["coding_options"] = {"window": window}
    return found


def _require_form(network: SpikingNetwork) -> None:
    """Refuse what has no form on a clock.

    Raises:
        ConfigError: with what to choose.
    """
    coding, readout = network.coding, network.readout
    spec: SampleSpec | None = coding.spec
    why = None
    if not isinstance(coding, Times) or (spec is not None and spec.kind != "image"):
        why = "its samples are no images in the code times, so their times are on no grid"
    elif coding.black != "silent":
        why = "coding.black=late: on the clock black pixels are silent"
    elif not isinstance(readout, EarliestReadout | SpikeCountReadout):
        why = f"its readout is {type(readout).__name__}"
    if why is not None:
        raise ConfigError(
            "this network of exact times has no form on a clock",
            why=why,
            remedy="train it on images with coding.name=times, black=silent, and "
            "readout.name=earliest or spike-count",
        )
