"""Bits that cross an accumulator, from spikes to the part of a network that reads their sums."""

from __future__ import annotations

from typing import Any

from ...core.units import si
from .counters import LayerCount
from .operations import Counts

KIND = "accumulate"


def crossings(counts: Counts) -> list[dict[str, Any]]:
    """Return what each accumulator of spikes passes on, as means over samples.

        bits = min(spikes · ⌈log₂ N⌉, W · N · ⌈log₂(T / W + 1)⌉)

    for N neurons and W windows of T / W steps: each spike as the address of its neuron when it is
    sent, or all sums at the end of each window, whichever is less. Packets, time stamps and
    handshakes of a link are not counted.

    Returns:
        For each its `name`, `neurons` N, `windows` W and `window_steps` T / W, `spikes`,
        `address_bits` and `count_bits` of one of them, `bits_as_addresses`, `bits_as_counts` and
        `bits`. Accumulators of other values than 0 and 1 are left out.
    """
    found = [layer for layer in counts.layers if layer.kind == KIND and layer.given == "spikes"]
    return [_crossing(layer, counts) for layer in found]


def _crossing(layer: LayerCount, counts: Counts) -> dict[str, Any]:
    samples = max(counts.samples, 1)
    neurons = round(float(layer.inputs.sum()) / (samples * counts.steps))
    windows = counts.steps // layer.steps_per_output
    spikes = float(layer.events.sum()) / samples
    address_bits = max((neurons - 1).bit_length(), 1)
    count_bits = layer.steps_per_output.bit_length()  # of 0 to T / W
    as_addresses, as_counts = spikes * address_bits, windows * neurons * count_bits
    return {
        "name": layer.name,
        "neurons": neurons,
        "windows": windows,
        "window_steps": layer.steps_per_output,
        "spikes": spikes,
        "address_bits": address_bits,
        "count_bits": count_bits,
        "bits_as_addresses": as_addresses,
        "bits_as_counts": as_counts,
        "bits": min(as_addresses, as_counts),
    }


def in_words(found: dict[str, Any]) -> str:
    """Return what an accumulator passes on, of `crossings`, as a sentence without its end."""
    return (
        f"{found['name']}: {si(found['bits'], 'bit')} of a sample cross it, the lesser of "
        f"{found['spikes']:,.0f} spikes as addresses of {found['address_bits']} bits "
        f"({si(found['bits_as_addresses'], 'bit')}) and {found['windows']} windows of "
        f"{found['neurons']:,} counts of {found['count_bits']} bits "
        f"({si(found['bits_as_counts'], 'bit')})"
    )
