"""Energy from counted operations, by a table of what each costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .counters import LayerCount, NeuronCount
from .operations import Counts
from .tables import CostTable

FORMULA = "E = mac·MAC + ac·AC + neuron_update·updates + memory_byte·bytes"


@dataclass(frozen=True)
class Spent:
    """What something spends, by step: `[T]`, or of each sample `[T, N]`.

    Attributes:
        ac, mac: accumulates and multiply-accumulates.
        updates: of membranes.
        bytes: read and written.
    """

    ac: Tensor
    mac: Tensor
    updates: Tensor
    bytes: Tensor

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.ac + other.ac,
            self.mac + other.mac,
            self.updates + other.updates,
            self.bytes + other.bytes,
        )

    def picojoules(self, table: CostTable) -> dict[str, Tensor]:
        """Return the energy of synapses (all sums and products), neurons and memory, in pJ."""
        cost = table.picojoules
        return {
            "synapses": cost.mac * self.mac + cost.ac * self.ac,
            "neurons": cost.neuron_update * self.updates,
            "memory": cost.memory_byte * self.bytes,
        }

    def total(self, table: CostTable) -> float:
        """Return the energy of all of it, in pJ."""
        return sum(float(part.sum()) for part in self.picojoules(table).values())


def spent_by_layer(layer: LayerCount, table: CostTable, *, dense: bool = False) -> Spent:
    """Return what a layer of weights spends.

        bytes = (weight + 2·value)·operations + 2·event·spikes       given spikes
        bytes = (weight + 2·value)·operations + 2·value·inputs       given values

    An operation reads its weight, where there is one, and reads and writes the sum that it adds to.
    What a layer is given is written once and read once: spikes that there are, as addresses, and
    all values.

    Args:
        layer: its counts.
        table: tells the sizes.
        dense: without leaving out inputs and weights that are 0.
    """
    size, none = table.bytes, torch.zeros_like(layer.dense)
    operations = layer.dense if dense else layer.effective
    each = 2 * size.value + (size.weight if layer.synaptic else 0)
    spikes = layer.inputs if dense else layer.events
    given = size.event * spikes if layer.spikes else size.value * layer.inputs
    traffic = each * operations + 2 * given
    if layer.operation == "ac":
        return Spent(operations, none, none, traffic)
    return Spent(none, operations, none, traffic)


def spent_by_neurons(layer: NeuronCount, table: CostTable) -> Spent:
    """Return what a layer of neurons spends: an update reads and writes a membrane."""
    none = torch.zeros_like(layer.updates)
    return Spent(none, none, layer.updates, 2 * table.bytes.value * layer.updates)


def spent(counts: Counts, table: CostTable, *, dense: bool = False) -> Spent:
    """Return what a network spends on all samples, by step."""
    none = torch.zeros(counts.steps, dtype=torch.float64)
    total = Spent(none, none, none, none)
    for layer in counts.layers:
        total += spent_by_layer(layer, table, dense=dense)
    for neurons in counts.neurons:
        total += spent_by_neurons(neurons, table)
    return total


def energy_of_samples(counts: Counts, table: CostTable) -> Tensor:
    """Return the energy of each sample at each step, `[T, N]`, in pJ.

    Their sum over the samples is that of `spent`: what does not depend on spikes is the same for
    all of them.
    """
    size = table.bytes
    by_spikes = (
        size.weight * counts.reads
        + 2 * size.value * (counts.ac + counts.mac)
        + 2 * size.event * counts.events
    )
    total = spent(counts, table)
    same = (total.bytes - by_spikes.sum(1)) / max(counts.samples, 1)
    updates = total.updates / max(counts.samples, 1)
    each = Spent(
        counts.ac, counts.mac, updates.view(-1, 1), by_spikes + same.view(-1, 1)
    ).picojoules(table)
    return each["synapses"] + each["neurons"] + each["memory"]


def energy_report(counts: Counts, table: CostTable) -> dict[str, Any]:
    """Return operations, traffic and energy as plain values, each the mean of a sample.

    Beside totals, what NeuroBench calls effective and dense synaptic operations (of convolutions
    and linear layers), sparsity and footprint; and each layer by step.
    """
    n = max(counts.samples, 1)
    total = spent(counts, table)
    parts = {key: float(value.sum()) / n for key, value in total.picojoules(table).items()}
    synaptic = [layer for layer in counts.layers if layer.synaptic]

    def operations(kind: str) -> float:
        return sum(float(c.effective.sum()) for c in synaptic if c.operation == kind) / n

    return {
        "table": table.model_dump(),
        "formula": FORMULA,
        "picojoules_per_sample": sum(parts.values()),
        "picojoules_by_part": parts,
        "picojoules_by_step": _each(sum(total.picojoules(table).values()), n),
        "accumulates": float(total.ac.sum()) / n,
        "multiply_accumulates": float(total.mac.sum()) / n,
        "synaptic_operations": {
            "effective_acs": operations("ac"),
            "effective_macs": operations("mac"),
            "dense": sum(float(c.dense.sum()) for c in synaptic) / n,
        },
        "neuron_updates": float(total.updates.sum()) / n,
        "bytes_moved": float(total.bytes.sum()) / n,
        "activation_sparsity": counts.activation_sparsity(),
        "connection_sparsity": counts.connection_sparsity(),
        "parameters": counts.parameters,
        "footprint_bytes": counts.footprint,
        "layers": [_layer(layer, table, n) for layer in counts.layers],
        "neurons": [_neurons(layer, table, n) for layer in counts.neurons],
        "uncounted": counts.uncounted,
    }


def _layer(layer: LayerCount, table: CostTable, n: int) -> dict[str, Any]:
    costs = spent_by_layer(layer, table)
    return {
        "name": layer.name,
        "kind": layer.kind,
        "operation": layer.operation,
        "given": "spikes" if layer.spikes else "values",
        "weights": layer.weights,
        "effective": _each(layer.effective, n),
        "dense": _each(layer.dense, n),
        "events": _each(layer.events, n),
        "bytes": _each(costs.bytes, n),
        "picojoules": _each(sum(costs.picojoules(table).values()), n),
    }


def _neurons(layer: NeuronCount, table: CostTable, n: int) -> dict[str, Any]:
    costs = spent_by_neurons(layer, table)
    return {
        "name": layer.name,
        "neurons": layer.neurons,
        "spiking": layer.spiking,
        "rate": _each(layer.active, n * max(layer.neurons, 1)),
        "updates": _each(layer.updates, n),
        "bytes": _each(costs.bytes, n),
        "picojoules": _each(sum(costs.picojoules(table).values()), n),
    }


def _each(values: Any, n: int) -> list[float]:
    return (values / n).tolist()
