"""Networks of one spike a neuron with the ANN that they equal, and a simulation on one clock."""

import math

import torch

from asnn.models import create_model
from asnn.models.layers.spiking import SpikingLayer

HALF = 0.5


def ann_and_network(name, shape, levels, *, coding="ttfs", seed=0, bits=6, **options):
    """Return an ANN of `qcfs` and a network of `ttfs` neurons with the same weights.

    Weights are multiples of 2^-bits, scales powers of two, and there are no norms, so that all sums
    are exact where `levels` is a power of two.
    """
    common = {"in_shape": shape, "classes": 5, "output_scale": False, **options}
    network = create_model(name, coding=coding, steps=levels, neuron="ttfs", **common).eval()
    ann = create_model(
        name, coding="direct", steps=1, coding_options={"levels": levels}, neuron="qcfs",
        neuron_options={"levels": levels}, **common,
    ).eval()  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    mine, theirs = affine_layers(network), affine_layers(ann)
    assert len(mine) == len(theirs)
    for layer, other in zip(mine, theirs, strict=True):
        values = torch.randint(-(2 ** (bits - 2)), 2 ** (bits - 1), layer.weight.shape,
                               generator=generator)  # fmt: skip
        fan_in = layer.weight[0].numel()
        factor = 2.0 ** -(bits + round(math.log2(fan_in) / 2) - 1)
        bias = torch.randint(-8, 8, (len(layer.weight),), generator=generator) / 64
        for each in (layer, other):
            each.weight.data = values * factor
            each.bias = torch.nn.Parameter(bias.clone())
    for i, (layer, other) in enumerate(zip(spiking(network), spiking(ann), strict=True)):
        layer.norm = other.norm = None
        for each in (layer, other):
            each.neuron.raw_scale.data.fill_(2.0 ** (i % 2))
    return ann, network


def affine_layers(network):
    return [
        part for part in network.modules() if isinstance(part, torch.nn.Linear | torch.nn.Conv2d)
    ]


def spiking(network):
    return [part for part in network.modules() if isinstance(part, SpikingLayer)]


def on_one_clock(network, x):
    """Simulate an mlp on one clock, an event at a time: the step of each spike by layer, and the
    potentials of the outputs at the end of the last window. Written out for single numbers.

    In its input window a neuron adds the current of all spikes so far to its membrane; in its own,
    it fires when the membrane reaches the falling threshold.
    """
    steps = network.coding.steps
    never = 10**9
    layers = affine_layers(network)
    levels = [math.floor(float(pixel) * steps + HALF) for pixel in x.flatten()]
    times = [steps - q if q > 0 else never for q in levels]
    sizes = [1.0] * len(times)
    fired = []
    for window, (affine, layer) in enumerate(zip(layers, [*spiking(network), None], strict=True)):
        weight, bias = affine.weight.tolist(), affine.bias.tolist()
        membranes = [0.0] * len(weight)
        currents = list(bias)
        for t in range(window * steps, (window + 1) * steps):
            for i, time in enumerate(times):
                if time == t:
                    for o, row in enumerate(weight):
                        currents[o] += row[i] * sizes[i]
            membranes = [v + current for v, current in zip(membranes, currents, strict=True)]
        if layer is None:
            return fired, [v / steps for v in membranes]
        s = float(layer.neuron.amplitude.detach())
        times = []
        for v in membranes:
            own = ((window + 1) * steps + t for t in range(steps) if v >= s * (steps - t - HALF))
            times.append(next(own, never))
        fired.append(times)
        sizes = [s] * len(times)
    raise AssertionError("a network ends with a readout")
