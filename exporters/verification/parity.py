"""Compares a runtime with the export graph, and finds the first difference.

Two runtimes add the same floats in different orders, so values differ in the last digits, and a
membrane that close to its threshold may fire in one and not in the other. Such a flip is explained
by its margin, and later differences in the same sample are excused. Every other difference is a
mismatch, reported with its first layer and step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..graph.interpreter import Trace
from ..graph.ir import (
    Accumulate,
    Affine,
    Array,
    Cell,
    Cells,
    ChannelScale,
    Filter,
    Graph,
    Lstm,
    Neuron,
    Readout,
    Shift,
    Substitution,
    Tanh,
)
from .margins import by_sample, count_within_margin, margin_in, near_threshold

TOLERANCE = 1e-5  # of logits and of what reaches a neuron, relative to values above 1
MAX_EXPLAINED = 0.05  # share of samples, or of membranes at the threshold, that flip by rounding
CODE = "code"  # the name of the encoder in mismatches
# Layers whose values are compared; what is between them shows in those after it.
VALUES = (Accumulate, Affine, Cells, ChannelScale, Filter, Lstm, Readout, Shift, Substitution, Tanh)


@dataclass(frozen=True)
class Mismatch:
    """A difference that rounding does not explain.

    Attributes:
        layer: the first that differs.
        step: the first that differs, from 0; None if the runtime does not give values by step.
        text: describes the difference.
    """

    layer: str
    step: int | None
    text: str

    def __str__(self) -> str:
        at = "" if self.step is None else f", step {self.step}"
        return f"layer {self.layer}{at}: {self.text}"


@dataclass
class Parity:
    """The comparison of one runtime with the graph, accumulated over batches.

    Attributes:
        graph: the reference.
        runtime: its name, with version and device in `about`.
        gates: whether a mismatch makes the file unverified.
        samples: number of samples compared.
        agreements: number of samples with the same prediction, the output that is greatest; where
            outputs are no classes, with the same values.
        logit_difference: the largest, over samples without a flip.
        spike_mismatches: number of spikes that differ, by layer and step, if it gives spikes.
        spikes: of the graph and of the runtime, by layer, if it gives spikes.
        explained: number of samples with a flip that its margin explains.
        near: number of membranes within that margin, in batches with such a flip.
        first_mismatch: the first by layer, then by step, that is not explained.
        seconds: spent in the runtime.
        error: of the runtime, if it failed.
    """

    graph: Graph
    runtime: str
    about: dict[str, Any] = field(default_factory=dict)
    gates: bool = True
    samples: int = 0
    agreements: int = 0
    logit_difference: float = 0.0
    spike_mismatches: dict[str, Array] = field(default_factory=dict)
    spikes: dict[str, tuple[float, float]] = field(default_factory=dict)
    explained: int = 0
    near: int = 0
    first_mismatch: Mismatch | None = None
    seconds: float = 0.0
    error: str | None = None

    def add(
        self,
        trace: Trace,
        answer: Array,
        layers: Mapping[str, Array] | None = None,
        *,
        outputs: Mapping[str, Array] | None = None,
        recoded: Array | None = None,
        again: bool = False,
        same_run: bool = True,
    ) -> None:
        """Compare a batch.

        Args:
            trace: values of the graph.
            answer: of the runtime, `[B, K]`, or `[B, K, A]` of A cells.
            layers: values of layers in the runtime, `[T, B, ...]`, or `[1, B, ...]` if they are
                time-invariant; None if it gives logits only.
            outputs: further outputs of the runtime: `logits_per_step` `[T, B, K]`, and of a network
                that answers at the first crossing `decision_step`, `decided`, `crossed` and
                `answer`.
            recoded: samples whose code in the runtime differs at a pixel on a threshold, `[B]`.
            again: the samples are those of an earlier call, in another batch.
            same_run: whether the run that gave the answer gave the layers. Another one may round,
                and flip, otherwise.
        """
        noise = trace.noise.get(self.graph.answer_noise)
        expected = self.graph.answer.of(trace.logits, noise)
        if answer.shape != expected.shape:
            self._record(self.graph.output, None, _shapes(answer, expected))
            return
        batch = len(expected)
        # The step from which a sample is excused; T if it is not.
        excused = np.full(batch, self.graph.steps)
        if recoded is not None:
            excused[recoded] = 0
        for node in self.graph.nodes:
            found = (layers or {}).get(node.name)
            if found is None:
                continue
            value = trace.values[node.name]
            if found.shape not in (value.shape, (1, *value.shape[1:])):
                self._record(node.name, None, _shapes(found, value))
                return
            if isinstance(node, Neuron | Cell):
                self._compare_spikes(node, trace, found, excused)
            elif isinstance(node, VALUES):
                self._compare_values(node.name, value, found, excused)
        # Rounding may move a decision to another step.
        flipped = (excused < self.graph.steps) | self.graph.answer.near(trace.logits, noise)
        difference = _largest(answer - expected)
        # NaN counts as a difference.
        far = ~(difference <= TOLERANCE * np.maximum(1, _largest(expected)))
        seen = (layers or {}) if same_run else {}
        unseen = [node for node in self.graph.neurons if node.name not in seen]
        # Without spikes, a flip shows in the logits alone: those of a step, or the answer.
        by_step = _far_samples((outputs or {}).get("logits_per_step"), trace.logits)
        if unseen and (far | by_step).any():
            flipped |= (far | by_step) & near_threshold(unseen, trace)
        wrong = ~flipped & far
        if wrong.any():
            text = f"the logits differ by up to {difference[wrong].max():.3g}"
            self._record(self.graph.output, None, text)
        self._compare_outputs(outputs or {}, trace, excused, flipped)
        if again:
            return
        unflipped = difference[~flipped]
        self.logit_difference = max([self.logit_difference, *np.nan_to_num(unflipped, nan=np.inf)])
        self.samples += batch
        self.explained += int(flipped.sum())
        if flipped.any():
            self.near += count_within_margin(self.graph.neurons, trace)
        of_classes = len(self.graph.output_shape) == 1
        same = answer.argmax(1) == expected.argmax(1) if of_classes else ~far
        self.agreements += int(same.sum())

    def _compare_outputs(
        self, outputs: Mapping[str, Array], trace: Trace, excused: Array, flipped: Array
    ) -> None:
        """Compare outputs beside the answer, of samples without a flip."""
        answer, noise = self.graph.answer, trace.noise.get(self.graph.answer_noise)
        step, decided = answer.decision(trace.logits, noise)
        expected: dict[str, Array] = {
            "logits_per_step": trace.logits,
            "decision_step": step,
            "decided": decided,
            "crossed": answer.crossed(trace.logits, noise),
            "answer": answer.scores(trace.logits, noise),
        }
        for name, found in outputs.items():
            value = expected[name]
            if found.shape != value.shape:
                self._record(self.graph.output, None, f"{name}: {_shapes(found, value)}")
            elif name in ("logits_per_step", "answer"):
                self._compare_values(
                    self.graph.output, value, found, np.where(flipped, 0, excused), f"{name}: "
                )
            elif ((found != value) & ~flipped).any():
                self._record(self.graph.output, None, f"{name} differs")

    def _compare_spikes(
        self, node: Neuron | Cell, trace: Trace, found: Array, excused: Array
    ) -> None:
        expected = trace.values[node.name]
        differs = self.count_spikes(node.name, expected, np.broadcast_to(found, expected.shape))
        if not differs.any():
            return
        distance = by_sample(np.abs(trace.distances[node.name]))
        margin = margin_in(node, trace)
        for sample in np.flatnonzero(differs.any((0, 2))):
            step = int(differs[:, sample].any(1).argmax())
            every = self.graph.steps // self.graph.steps_of[node.name]
            if (step + 1) * every > excused[sample]:
                continue
            flips = differs[step, sample]
            farthest = float(distance[step, sample][flips].max())
            if farthest <= margin[sample]:
                excused[sample] = (step + 1) * every - 1
                continue
            self._record(
                node.name,
                step,
                f"{int(flips.sum())} spikes differ in a sample, with the membrane up to "
                f"{farthest:.3g} from the threshold",
            )

    def count_spikes(self, layer: str, expected: Array, found: Array) -> Array:
        """Count the spikes of a layer, `[T, B, ...]` each; return which differ, `[T, B, F]`."""
        differs = by_sample(found != expected)
        before = self.spikes.get(layer, (0.0, 0.0))
        sums = (float(values.sum(dtype=np.float64)) for values in (expected, found))
        self.spikes[layer] = before[0] + next(sums), before[1] + next(sums)
        counts = differs.sum((1, 2))
        self.spike_mismatches[layer] = self.spike_mismatches.get(layer, 0) + counts
        return differs

    def _compare_values(
        self, name: str, expected: Array, found: Array, excused: Array, what: str = ""
    ) -> None:
        difference = by_sample(np.abs(np.broadcast_to(found, expected.shape) - expected)).max(2)
        every = self.graph.steps // self.graph.steps_of[name]
        # The last step of the network that a step or window follows from.
        steps = every * np.arange(1, len(expected) + 1)[:, None] - 1
        far = ~(difference <= _allowed(expected)) & (steps < excused)
        if far.any():
            step = int(far.any(1).argmax())
            text = f"{what}values differ by up to {difference[far].max():.3g}"
            self._record(name, step, text)

    def add_encoder_mismatch(self, samples: int) -> None:
        """Record that the encoder of the runtime differs for a number of samples."""
        self._record(CODE, None, f"the encoder differs for {samples} samples")

    def add_output_mismatch(self, text: str) -> None:
        """Record that an output which follows from the answer differs."""
        self._record(self.graph.output, None, text)

    def _record(self, layer: str, step: int | None, text: str) -> None:
        order = [CODE, *(node.name for node in self.graph.nodes)]
        found, first = Mismatch(layer, step, text), self.first_mismatch
        if first is None or _place(found, order) < _place(first, order):
            self.first_mismatch = found

    @property
    def agrees(self) -> bool:
        """Whether the runtime computes the same as the graph."""
        return self.first_mismatch is None and self.error is None and not self._explains_too_much

    @property
    def _explains_too_much(self) -> bool:
        # With many steps nearly every sample has membranes at the threshold, and few of them flip.
        usual = MAX_EXPLAINED * max(self.samples, self.near)
        return self.explained > min(max(2, usual), self.samples / 4)

    @property
    def verdict(self) -> str | None:
        """The first mismatch, or another reason why the runtime disagrees; None if it agrees."""
        if self.first_mismatch is not None:
            return str(self.first_mismatch)
        if self._explains_too_much:
            return (
                f"{self.explained} samples differ by spikes at the threshold, too many for chance"
            )
        return self.error

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of `parity.json`."""
        done = max(self.samples, 1)
        return {
            "runtime": self.runtime,
            **self.about,
            "agrees": self.agrees,
            "gates": self.gates,
            "samples": self.samples,
            "greatest_logit_difference": _finite(self.logit_difference),
            "argmax_agreement": self.agreements / done,
            "spike_mismatches": {
                name: counts.astype(int).tolist() for name, counts in self.spike_mismatches.items()
            },
            "spikes": {
                name: {"network": own, "file": found} for name, (own, found) in self.spikes.items()
            },
            "explained_samples": self.explained,
            "ms_per_sample": round(1000 * self.seconds / done, 4),
            "first_difference": self.verdict,
            "error": self.error,
        }


def _place(mismatch: Mismatch, order: list[str]) -> tuple[int, float]:
    """Return the place of a mismatch in the order of layers, then of steps."""
    step = np.inf if mismatch.step is None else mismatch.step
    return order.index(mismatch.layer), step


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _largest(values: Array) -> Array:
    """Return the largest absolute value of each sample, `[B]`."""
    return np.abs(values).reshape(len(values), -1).max(1)


def _allowed(expected: Array) -> float:
    return TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0)))


def _far_samples(found: Array | None, expected: Array) -> Array:
    """Return the samples with a value that differs by more than rounding, `[B]`."""
    if found is None or found.shape != expected.shape:
        return np.zeros(expected.shape[1], bool)
    far = ~(np.abs(found - expected) <= _allowed(expected))
    return np.any(by_sample(far), axis=(0, 2))


def _shapes(found: Array, expected: Array) -> str:
    return f"it has the shape {list(found.shape)}, not {list(expected.shape)}"
