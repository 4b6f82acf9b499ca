"""Compares an exported file with its network, in every installed runtime.

The file is read back and run on real samples. Its outputs are compared with the export graph, layer
by layer if the runtime gives layers, and the graph with the network that it was lowered from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ...coding.draws import drawing
from ...core.errors import AsnnError, ConfigError
from ..draws import keys_of
from ..graph.interpreter import Trace, run
from ..graph.ir import Array, Graph
from ..source import BATCH, ExportSource, Samples
from .driving import Driven
from .margins import count_near_threshold
from .parity import Parity
from .runtimes import Check, EagerNetwork, OriginalGraph, one_line

MEMORY = 1 << 30  # bytes, approximate, for values of layers


@dataclass(frozen=True)
class Report:
    """The result of a verification.

    Attributes:
        parities: of every runtime.
        samples: that were compared.
        accuracy: of the graph, and of the original network before a change, if labels are known.
        near_threshold: number of membranes within 1e-6 of the threshold, by layer.
        spikes: for each sample, by layer.
        quiet: layers that fire never or always on these samples, which proves little of them.
        structure: what differs between the file and what the exporter writes now, each with the
            place; None if it was not compared.
        driven: what the file computes of random input into each of its layers.
        notes: what a file of another tool does not say, one line each.
    """

    parities: list[Parity]
    samples: Samples
    accuracy: dict[str, float]
    near_threshold: dict[str, int]
    spikes: dict[str, float]
    quiet: list[str]
    structure: list[str] | None = None
    driven: Driven | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def fault(self) -> str | None:
        """The first difference that makes the file unverified; None if it is verified."""
        for parity in self.parities:
            if parity.gates and not parity.agrees:
                return f"{parity.runtime}: {parity.verdict}"
        if self.driven is not None and self.driven.fault is not None:
            return f"{self.driven.runtime}: {self.driven.fault}"
        return f"structure: {'; '.join(self.structure)}" if self.structure else None

    @property
    def verified(self) -> bool:
        """Whether the file computes the same as the network in every runtime."""
        return self.fault is None

    def as_dict(self) -> dict[str, Any]:
        """Return the content of `parity.json`."""
        return {
            "verified": self.verified,
            "first_difference": self.fault,
            "structure": self.structure,
            "driven": None if self.driven is None else self.driven.as_dict(),
            "samples": {"from": self.samples.name, "number": len(self.samples)},
            "accuracy": self.accuracy,
            "spikes_per_sample": self.spikes,
            "layers_without_variety": self.quiet,
            "membranes_within_1e-6_of_threshold": self.near_threshold,
            "runtimes": [parity.as_dict() for parity in self.parities],
            "versions": _versions(),
        }


def compare(
    source: ExportSource,
    samples: Samples,
    checks: Sequence[Check],
    *,
    original: Graph | None = None,
    structure: list[str] | None = None,
    driven: Driven | None = None,
) -> Report:
    """Run all checks over all samples.

    Args:
        source: the network, with the graph that the file is compared with.
        samples: to compare on.
        checks: the runtimes.
        original: the graph before weights were rounded or schedules approximated, if they were;
            the network is then compared with it, and the loss is measured.
        structure: differences between the file and what the exporter writes now; None if unknown.
        driven: what the file computes of random input into its layers.
    """
    if not len(samples):
        raise ConfigError("there are no samples to compare on", remedy="give one or more")
    network = EagerNetwork(original or source.graph, source)
    loss = None if original is None else OriginalGraph(original)
    correct = {"graph": 0, "original": 0}
    near: dict[str, int] = {}
    quiet = {node.name for node in source.graph.neurons}  # fires never, or always
    spikes: dict[str, float] = {node.name: 0.0 for node in source.graph.neurons}
    for images, part in samples.batches(batch_size_for(source.graph)):
        code = source.encode(images, part.start)
        noise = source.noise(len(images), part.start)
        trace = run(source.graph, code, noise)
        before = trace if original is None else run(original, code, noise)
        with drawing(keys_of(part.start, len(images))):
            network.add(images, code, before)
        if loss is not None:
            loss.add_traces(before, trace)
        for check in checks:
            if check.parity.error is None:
                _add(check, images, code, trace)
        for name, count in count_near_threshold(source.graph, trace).items():
            near[name] = near.get(name, 0) + count
        for name in spikes:
            spikes[name] += float(trace.values[name].sum(dtype=np.float64)) / len(samples)
        for name, values in trace.values.items():
            if name in quiet and bool((values != values.flat[0]).any()):
                quiet.discard(name)
        if samples.labels is not None:
            labels = samples.labels[part]
            answer = source.graph.answer
            drawn = noise.get(source.graph.answer_noise)
            for name, each in (("graph", trace), ("original", before)):
                found = answer.of(each.logits, drawn).argmax(1)
                correct[name] += int((found == labels).sum())
    accuracy = {}
    if samples.labels is not None and len(samples):
        accuracy["graph"] = correct["graph"] / len(samples)
        if original is not None:
            accuracy["network"] = correct["original"] / len(samples)
    parities = [network.parity, *(check.parity for check in checks)]
    parities += [] if loss is None else [loss.parity]
    never = [name for name in spikes if name in quiet]
    return Report(parities, samples, accuracy, near, spikes, never, structure, driven)


def not_run(samples: Samples, structure: list[str]) -> Report:
    """Return the report of a file whose structure differs, and which was not run for that."""
    return Report([], samples, {}, {}, {}, [], structure)


def batch_size_for(graph: Graph) -> int:
    """Return the number of samples to compare together.

    The values of all layers are in memory three times: of the graph, of the network or the file,
    and as their difference.
    """
    values = sum(math.prod(shape) for shape in graph.shapes.values())
    values += sum(math.prod(graph.shapes[node.name]) for node in graph.neurons)  # distances
    return max(1, min(BATCH, MEMORY // (3 * 4 * values * graph.steps)))


def _add(check: Check, images: Array, code: Array, trace: Trace) -> None:
    """Compare a batch; the file of another network may not even run."""
    try:
        check.add(images, code, trace)
    except (AsnnError, KeyError, ValueError, IndexError) as error:
        check.parity.error = one_line(error)


def _versions() -> dict[str, str]:
    found = {}
    for package in ("asnn", "torch", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "nir"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
