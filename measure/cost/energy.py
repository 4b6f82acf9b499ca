"""Energy of counted operations, by a table of costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.errors import ConfigError
from .counters import LayerCount, NeuronCount
from .crossing import crossings, in_words
from .operations import Counts
from .tables import CostTable

FORMULA = "E = mac·MAC + ac·AC + neuron_update·updates + draw·draws + memory_byte·bytes"


@dataclass(frozen=True)
class Cost:
    """Operations and memory traffic by step, `[T]`, or by step and sample, `[T, N]`.

    Attributes:
        ac, mac: accumulates and multiply-accumulates.
        updates: of membranes.
        bytes: read and written.
        draws: of random numbers.
    """

    ac: Tensor
    mac: Tensor
    updates: Tensor
    bytes: Tensor
    draws: Tensor

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.ac + other.ac,
            self.mac + other.mac,
            self.updates + other.updates,
            self.bytes + other.bytes,
            self.draws + other.draws,
        )

    def picojoules(self, table: CostTable) -> dict[str, Tensor]:
        """Return the energy of synapses (all sums and products), neurons and memory, in pJ."""
        each = table.picojoules
        return {
            "synapses": each.mac * self.mac + each.ac * self.ac,
            "neurons": each.neuron_update * self.updates + each.draw * self.draws,
            "memory": each.memory_byte * self.bytes,
        }

    def total(self, table: CostTable) -> float:
        """Return the total energy, in pJ."""
        return sum(float(part.sum()) for part in self.picojoules(table).values())


def layer_cost(layer: LayerCount, table: CostTable, *, dense: bool = False) -> Cost:
    """Return the cost of a layer.

        bytes = (weight + 2·value)·operations + 2·event·spikes       input spikes
        bytes = (weight + 2·value)·operations + 2·value·inputs       input values

    An operation reads its weight, if it has one, and reads and writes the sum it adds to. The input
    is written once and read once: spikes as addresses, values all of them; none of it where there
    is no operation.

    Args:
        layer: its counts.
        table: of costs, with the sizes.
        dense: count operations on inputs and weights of 0 too.
    """
    size, zero = table.bytes, torch.zeros_like(layer.dense)
    operations = layer.dense if dense else layer.effective
    per_operation = 2 * size.value + (size.weight if layer.synaptic else 0)
    spikes = layer.inputs if dense else layer.events
    inputs = size.event * spikes if layer.spikes else size.value * layer.inputs
    traffic = per_operation * operations + 2 * inputs * (layer.dense > 0)
    if layer.operation == "ac":
        return Cost(operations, zero, zero, traffic, zero)
    return Cost(zero, operations, zero, traffic, zero)


def neuron_cost(layer: NeuronCount, table: CostTable) -> Cost:
    """Return the cost of a layer of neurons: an update reads and writes a membrane."""
    zero = torch.zeros_like(layer.updates)
    traffic = 2 * table.bytes.value * layer.updates
    return Cost(zero, zero, layer.updates, traffic, layer.draws)


def total_cost(counts: Counts, table: CostTable, *, dense: bool = False) -> Cost:
    """Return the cost of a network for all samples, by step, without its uncounted layers.

    Raises:
        ConfigError: the operations were counted for another kind of spikes than the table's.
    """
    if not dense:
        _require_same_spikes(counts, table)
    zero = torch.zeros(counts.steps, dtype=torch.float64)
    total = Cost(zero, zero, zero, zero, counts.draws)
    for layer in counts.layers:
        total += layer_cost(layer, table, dense=dense)
    for neurons in counts.neurons:
        total += neuron_cost(neurons, table)
    return total


def _require_same_spikes(counts: Counts, table: CostTable) -> None:
    if counts.graded != table.graded:
        raise ConfigError(
            f"the table {table.name} has graded = {str(table.graded).lower()}, and the operations "
            "were counted for the other",
            why="a count is k accumulates, or one product where spikes are graded",
            remedy="count again with Operations(network, graded=table.graded)",
        )


def why_unknown(counts: Counts) -> str | None:
    """Return why the totals of a network are not known; None if all its layers are counted."""
    if not counts.uncounted:
        return None
    return f"operations are not counted in layers of unknown type: {', '.join(counts.uncounted)}"


def energy_of_samples(counts: Counts, table: CostTable) -> Tensor | None:
    """Return the energy of each sample at each step, `[T, N]`, in pJ; None if it is not known.

    The sum over samples is the energy of `total_cost`: the part that does not depend on spikes is
    shared equally among the samples.

    Raises:
        ConfigError: the operations were counted for another kind of spikes than the table's.
    """
    _require_same_spikes(counts, table)
    if why_unknown(counts) is not None:
        return None
    size = table.bytes
    spike_bytes = (
        size.weight * counts.reads
        + 2 * size.value * (counts.ac + counts.mac)
        + 2 * size.event * counts.events
    )
    total = total_cost(counts, table)
    equal_bytes = (total.bytes - spike_bytes.sum(1)) / max(counts.samples, 1)
    updates, draws = (n.view(-1, 1) / max(counts.samples, 1) for n in (total.updates, total.draws))
    each = Cost(
        counts.ac, counts.mac, updates, spike_bytes + equal_bytes.view(-1, 1), draws
    ).picojoules(table)
    return each["synapses"] + each["neurons"] + each["memory"]


def energy_report(counts: Counts, table: CostTable) -> dict[str, Any]:
    """Return operations, traffic and energy as plain values, each the mean over samples.

    Besides totals: the effective and dense synaptic operations of NeuroBench (of convolutions and
    linear layers), its sparsity and footprint, and each layer by step. If the operations of a layer
    are not counted, `reason` says so, and all totals that they are part of are None. `notes` says
    in words where filters make values of spikes, and of `crossings` how many bits pass an
    accumulator.
    """
    n = max(counts.samples, 1)
    reason = why_unknown(counts)
    passed = crossings(counts)
    total = total_cost(counts, table)
    parts = {key: float(value.sum()) / n for key, value in total.picojoules(table).items()}
    synaptic = [layer for layer in counts.layers if layer.synaptic]

    def operations(kind: str) -> float:
        return sum(float(c.effective.sum()) for c in synaptic if c.operation == kind) / n

    def known(value: Any) -> Any:
        return value if reason is None else None

    return {
        "table": table.model_dump(),
        "formula": FORMULA,
        "reason": reason,
        "picojoules_per_sample": known(sum(parts.values())),
        "picojoules_by_part": {key: known(value) for key, value in parts.items()},
        "picojoules_by_step": known(_mean(sum(total.picojoules(table).values()), n)),
        "accumulates": known(float(total.ac.sum()) / n),
        "multiply_accumulates": known(float(total.mac.sum()) / n),
        "synaptic_operations": {
            "effective_acs": known(operations("ac")),
            "effective_macs": known(operations("mac")),
            "dense": known(sum(float(c.dense.sum()) for c in synaptic) / n),
        },
        "neuron_updates": float(total.updates.sum()) / n,
        "draws": float(total.draws.sum()) / n,
        "bytes_moved": known(float(total.bytes.sum()) / n),
        "activation_sparsity": counts.activation_sparsity(),
        "connection_sparsity": counts.connection_sparsity(),
        "parameters": counts.parameters,
        "footprint_bytes": counts.footprint,
        "layers": [_layer(layer, table, n) for layer in counts.layers],
        "neurons": [_neurons(layer, table, n) for layer in counts.neurons],
        "uncounted": counts.uncounted,
        "notes": _notes(counts) + [in_words(each) for each in passed],
        "crossings": passed,
    }


def _notes(counts: Counts) -> list[str]:
    """Return what filters over time in front of weights cost besides their own arithmetic."""
    pairs = zip(counts.layers, counts.layers[1:], strict=False)
    filters = [
        layer.name
        for layer, after in pairs
        if layer.kind == "filter" and after.synaptic and not after.spikes
    ]
    if not filters:
        return []
    return [
        f"filters ({', '.join(filters)}) send values at every step, so the weights after them "
        "multiply (MAC) where spikes would be added (AC), nearly as often as a dense network"
    ]


def _layer(layer: LayerCount, table: CostTable, n: int) -> dict[str, Any]:
    cost = layer_cost(layer, table)
    return {
        "name": layer.name,
        "kind": layer.kind,
        "operation": layer.operation,
        "given": layer.given,
        "weights": layer.weights,
        "effective": _mean(layer.effective, n),
        "dense": _mean(layer.dense, n),
        "events": _mean(layer.events, n),
        "bytes": _mean(cost.bytes, n),
        "picojoules": _mean(sum(cost.picojoules(table).values()), n),
    }


def _neurons(layer: NeuronCount, table: CostTable, n: int) -> dict[str, Any]:
    cost = neuron_cost(layer, table)
    return {
        "name": layer.name,
        "neurons": layer.neurons,
        "spiking": layer.spiking,
        "rate": _mean(layer.active, n * max(layer.neurons, 1)),
        "updates": _mean(layer.updates, n),
        "bytes": _mean(cost.bytes, n),
        "picojoules": _mean(sum(cost.picojoules(table).values()), n),
    }


def _mean(values: Any, n: int) -> list[float]:
    return (values / n).tolist()
