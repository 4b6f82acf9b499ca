"""Whether two computations of one graph agree, and if not, where they part.

Two runtimes add the same floats in another order, so values differ in the last digits, and a
membrane that comes that close to its threshold may fire in one and not in the other. Such a flip
is explained by its margin; what follows from it in the same sample is not held against the file.
Every other difference is a fault, told with the first layer and step that it is seen in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..graph.interpreter import Trace
from ..graph.ir import Affine, Array, ChannelScale, Graph, Neuron, Readout

TOLERANCE = 1e-5  # of logits and of what reaches a neuron, relative to values above 1
EXCUSED = 0.05  # share of samples that flips at the threshold may explain, or two of them
CODE = "code"  # what faults call the encoder
MARGIN = 1e-6  # of a membrane from its threshold after one step, relative to inputs above 1


@dataclass(frozen=True)
class Fault:
    """The first difference that rounding does not explain.

    Attributes:
        layer: where it is.
        step: first step, from 0; None where the runtime does not tell.
        text: what differs.
    """

    layer: str
    step: int | None
    text: str

    def __str__(self) -> str:
        at = "" if self.step is None else f", step {self.step}"
        return f"layer {self.layer}{at}: {self.text}"


@dataclass
class Parity:
    """The comparison of one runtime with the graph, gathered over batches.

    Attributes:
        graph: what it is held to.
        runtime: its name, with version and device in `about`.
        gates: whether a fault makes the file unverified.
        samples, agreements: compared, and with the same answer.
        logit_difference: the greatest, of samples without a flip.
        mismatches: spikes that differ, by layer and step, where the runtime tells spikes.
        explained: samples with a flip that its margin explains.
        fault: the first that nothing explains.
    """

    graph: Graph
    runtime: str
    about: dict[str, Any] = field(default_factory=dict)
    gates: bool = True
    samples: int = 0
    agreements: int = 0
    logit_difference: float = 0.0
    mismatches: dict[str, Array] = field(default_factory=dict)
    explained: int = 0
    fault: Fault | None = None
    seconds: float = 0.0
    error: str | None = None

    def add(
        self,
        trace: Trace,
        mean_logits: Array,
        layers: Mapping[str, Array] | None = None,
        *,
        recoded: Array | None = None,
    ) -> None:
        """Compare a batch.

        Args:
            trace: what the graph computed.
            mean_logits: what the runtime answered, `[B, K]`.
            layers: values of layers that it tells, `[T, B, ...]`, or `[1, B, ...]` where all steps
                are the same.
            recoded: samples in which the runtime's own encoder has put a value that lies on a
                threshold into the next slot, `[B]`.
        """
        expected = trace.logits.mean(0)
        if mean_logits.shape != expected.shape:
            self._blame_at(self.graph.output, None, _shapes(mean_logits, expected))
            return
        batch = len(expected)
        # The step from which on a sample is excused, T where it is not.
        excused = np.full(batch, len(trace.logits))
        if recoded is not None:
            excused[recoded] = 0
        for node in self.graph.nodes:
            found = (layers or {}).get(node.name)
            if found is None:
                continue
            value = trace.values[node.name]
            if found.shape not in (value.shape, (1, *value.shape[1:])):
                self._blame_at(node.name, None, _shapes(found, value))
                return
            if isinstance(node, Neuron):
                self._compare_spikes(node, trace, found, excused)
            elif isinstance(node, Affine | ChannelScale | Readout):
                self._compare_values(node.name, value, found, excused)
        flipped = excused < len(trace.logits)
        difference = np.abs(mean_logits - expected).max(1)
        # A NaN is a difference.
        far = ~(difference <= TOLERANCE * np.maximum(1, np.abs(expected).max(1)))
        if layers is None:
            # Spikes are not told: a flip shows in the logits alone.
            flipped |= far & near_threshold(self.graph, trace)
        self._blame(~flipped & far, self.graph.output, None, "the logits differ", difference)
        steady = difference[~flipped]
        self.logit_difference = max([self.logit_difference, *np.nan_to_num(steady, nan=np.inf)])
        self.samples += batch
        self.explained += int(flipped.sum())
        self.agreements += int((mean_logits.argmax(1) == expected.argmax(1)).sum())

    def _compare_spikes(self, node: Neuron, trace: Trace, found: Array, excused: Array) -> None:
        expected = trace.values[node.name]
        differs = _by_sample(np.broadcast_to(found, expected.shape) != expected)
        counts = differs.sum((1, 2))
        self.mismatches[node.name] = self.mismatches.get(node.name, 0) + counts
        if not counts.any():
            return
        distance = _by_sample(np.abs(trace.distances[node.name]))
        margin = margin_of(node, trace.values[node.inputs[0]])
        for sample in np.flatnonzero(differs.any((0, 2))):
            step = int(differs[:, sample].any(1).argmax())
            if step >= excused[sample]:
                continue
            places = differs[step, sample]
            farthest = float(distance[step, sample][places].max())
            if farthest <= margin[sample]:
                excused[sample] = step
                continue
            self._blame_at(
                node.name,
                step,
                f"{int(places.sum())} spikes differ in a sample, with the membrane up to "
                f"{farthest:.3g} from the threshold",
            )

    def _compare_values(self, name: str, expected: Array, found: Array, excused: Array) -> None:
        difference = _by_sample(np.abs(np.broadcast_to(found, expected.shape) - expected)).max(2)
        allowed = TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0)))
        steps = np.arange(len(expected))[:, None]
        far = ~(difference <= allowed) & (steps < excused)
        if far.any():
            step = int(far.any(1).argmax())
            self._blame_at(name, step, f"values differ by up to {difference[far].max():.3g}")

    def blame_encoder(self, samples: int) -> None:
        """Note that a runtime's own encoder differs for that many samples."""
        self._blame_at(CODE, None, f"the encoder differs for {samples} samples")

    def _blame(self, who: Array, layer: str, step: int | None, text: str, by: Array) -> None:
        if who.any():
            self._blame_at(layer, step, f"{text} by up to {by[who].max():.3g}")

    def _blame_at(self, layer: str, step: int | None, text: str) -> None:
        order = [CODE, *(node.name for node in self.graph.nodes)]
        fault = Fault(layer, step, text)
        if self.fault is None or order.index(layer) < order.index(self.fault.layer):
            self.fault = fault

    @property
    def agrees(self) -> bool:
        """Whether the runtime computes what the graph does."""
        return self.fault is None and self.error is None and not self._excuses_too_much

    @property
    def _excuses_too_much(self) -> bool:
        return self.explained > min(max(2, EXCUSED * self.samples), self.samples / 4)

    @property
    def verdict(self) -> str | None:
        """The first difference, or what else makes the runtime disagree; None if it agrees."""
        if self.fault is not None:
            return str(self.fault)
        if self._excuses_too_much:
            return (
                f"{self.explained} samples differ by spikes at the threshold, too many for chance"
            )
        return self.error

    def as_dict(self) -> dict[str, Any]:
        """Return what `parity.json` holds of it."""
        done = max(self.samples, 1)
        return {
            "runtime": self.runtime,
            **self.about,
            "agrees": self.agrees,
            "gates": self.gates,
            "samples": self.samples,
            "greatest_logit_difference": _finite(self.logit_difference),
            "argmax_agreement": self.agreements / done,
            "spike_mismatches": {k: v.astype(int).tolist() for k, v in self.mismatches.items()},
            "explained_samples": self.explained,
            "ms_per_sample": round(1000 * self.seconds / done, 4),
            "first_difference": self.verdict,
            "error": self.error,
        }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def margin_of(node: Neuron, currents: Array) -> Array:
    """Return how near to the threshold rounding may flip a spike of each sample, `[B]`.

    A membrane sums what rounding does to gain · input over the steps, each times the leaks since:
    up to 1 / (1 - leak) times that of one step.

    Args:
        node: the neuron.
        currents: its input, `[T, B, ...]`.
    """
    reach = total = np.ones(node.leak.shape[1], np.float64)
    for leak in node.leak[1 : len(currents)].astype(np.float64):
        total = 1 + np.abs(leak) * total
        reach = np.maximum(reach, total)
    greatest = np.abs(_by_sample(currents)).max(axis=(0, 2), initial=0).astype(np.float64)
    return MARGIN * reach.max() * np.maximum(1.0, np.abs(node.gain).max() * greatest)


def near_threshold(graph: Graph, trace: Trace) -> Array:
    """Return which samples have a membrane within the margin of its threshold, `[B]`."""
    near = np.zeros(trace.logits.shape[1], bool)
    for node in graph.neurons:
        distance = _by_sample(np.abs(trace.distances[node.name])).min(axis=(0, 2), initial=np.inf)
        near |= distance <= margin_of(node, trace.values[node.inputs[0]])
    return near


def count_near_threshold(graph: Graph, trace: Trace, margin: float = MARGIN) -> dict[str, int]:
    """Return how many membranes come within `margin` of the threshold, by layer."""
    return {
        node.name: int((np.abs(trace.distances[node.name]) <= margin).sum())
        for node in graph.neurons
    }


def _shapes(found: Array, expected: Array) -> str:
    return f"it has the shape {list(found.shape)}, not {list(expected.shape)}"


def _by_sample(values: Array) -> Array:
    """Return `[T, B, ...]` as `[T, B, places]`."""
    return values.reshape(*values.shape[:2], -1)
