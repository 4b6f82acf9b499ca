"""The trace of one sample: its code, the spikes of all layers, and the predictions.

Spikes are at time steps, or at exact times.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..coding.draws import drawing, sample_keys
from ..coding.samples import Batch
from ..measure.encoding.images import EncodedImage, code_of
from ..measure.encoding.times import EncodedTimes, times_of
from ..models.layers.spiking import SpikingLayer, layer_outputs, use_kernels
from ..models.network import SpikingNetwork
from ..models.timing.layer import timing_layers

MAX_NEURONS = 160  # per layer, in the raster


@dataclass(frozen=True)
class LayerSpikes:
    """Spikes of a layer's neurons.

    Attributes:
        name: of the layer.
        neurons: number of neurons.
        total: number of spikes of all neurons.
        spikes: `[T, n]` of at most `MAX_NEURONS` evenly spaced neurons, 0 or 1.
    """

    name: str
    neurons: int
    total: int
    spikes: Tensor


@dataclass(frozen=True)
class SampleTrace:
    """The code, spikes and predictions of one sample.

    Attributes:
        encoded: the image and its code.
        layers: of spiking neurons, in order.
        answers: the answer so far of each step or window, `[T, K]`, or `[T, ...]` of answers that
            have places.
        random: whether the code is random.
    """

    encoded: EncodedImage
    layers: list[LayerSpikes]
    answers: Tensor
    random: bool

    @property
    def predictions(self) -> list[int]:
        """The class with the greatest answer, after each step or window; empty if the answers have
        places."""
        return self.answers.argmax(1).tolist() if self.answers.dim() == 2 else []

    @property
    def confidence(self) -> list[float]:
        """The probability of each of `predictions`, by softmax."""
        return self.answers.softmax(1).amax(1).tolist() if self.answers.dim() == 2 else []


@dataclass(frozen=True)
class TimesTrace:
    """The code, spike times and answer of one sample in a network of exact times.

    Attributes:
        encoded: the sample and its code.
        layers: times `[N, S]` of the neurons of each layer, ascending, +inf behind the last spike,
            by its name; the last one has a neuron for each output.
        prediction: the class; None without a decision.
        confidence: its probability.
        decided_at: the time of the decision; None without one, or of a readout that answers after
            the last spike.
    """

    encoded: EncodedTimes
    layers: dict[str, Tensor]
    prediction: int | None
    confidence: float
    decided_at: float | None

    @property
    def outputs(self) -> Tensor:
        """The times of the outputs, `[K, S]`."""
        return next(reversed(self.layers.values()))


@torch.no_grad()
def trace_times(model: SpikingNetwork, sample: Batch) -> TimesTrace:
    """Return the trace of one sample through a network of exact times.

    Args:
        model: the network.
        sample: an image `[C, H, W]` in [0, 1], or a batch of one recording.
    """
    network = copy.deepcopy(model).cpu().eval()
    encoded = times_of(network.coding, sample)
    readout: Any = network.readout
    with layer_outputs(network) as spikes:
        outputs = network.run(encoded.times[None, None])
    *_, last = timing_layers(network)
    decision = readout.decide(outputs)
    confidence, prediction = decision.scores[0].softmax(0).max(0)
    decided = bool(decision.decided[0])
    decided_at = getattr(readout, "decided_at", None)
    return TimesTrace(
        encoded=encoded,
        layers={name: spikes[name][0, 0].flatten(0, -2) for name in timing_layers(network)},
        prediction=int(prediction) if decided else None,
        confidence=float(confidence),
        decided_at=float(decided_at(spikes[last])) if decided and decided_at else None,
    )


@torch.no_grad()
def trace_sample(
    model: SpikingNetwork, image: Tensor, sample: Batch | None = None, *, index: int = 0
) -> SampleTrace:
    """Return the trace of one sample through a network.

    Args:
        model: the network.
        image: `[C, H, W]` in [0, 1]: the sample, or a picture of it.
        sample: a batch of the sample alone; by default of the image.
        index: of the sample in its split: what is random is drawn as in an evaluation.

    A copy of the network computes it on the CPU with the reference kernels, in which the spikes of
    each neuron can be recorded.
    """
    network = copy.deepcopy(model).cpu().eval()
    use_kernels(network, "reference")
    layers: list[LayerSpikes] = []
    for name, module in network.named_modules():
        if isinstance(module, SpikingLayer) and getattr(module.neuron, "spiking", True):
            module.neuron.register_forward_hook(_recorder(layers, name.removeprefix("body.")))
    with torch.random.fork_rng([]), drawing(sample_keys(torch.tensor([index]), 0)):
        torch.manual_seed(0)
        batch: Any = image.unsqueeze(0) if sample is None else sample
        code, again = (network.coding.encode(batch) for _ in range(2))
        outputs = network.run(code)
        answers = network.readout.so_far(outputs.float())[:, 0]
    return SampleTrace(
        encoded=code_of(network.coding, image, code[:, 0]),
        layers=layers,
        answers=answers,
        random=network.coding.draws or not torch.equal(code, again),
    )


def _recorder(layers: list[LayerSpikes], name: str) -> Callable[[Any, Any, Tensor], None]:
    return lambda neuron, x, spikes: layers.append(_layer(name, spikes))


def _layer(name: str, spikes: Tensor) -> LayerSpikes:
    of_sample = spikes[:, 0].flatten(1)
    neurons = of_sample.shape[1]
    shown = torch.linspace(0, neurons - 1, min(neurons, MAX_NEURONS), dtype=torch.float64)
    return LayerSpikes(name, neurons, int(of_sample.sum()), of_sample[:, shown.round().long()])
