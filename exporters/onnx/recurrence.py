"""Recurrent weights of neurons in ONNX: what they receive of the spikes of the step before."""

from __future__ import annotations

from ..graph.ir import Cell, Neuron
from .builder import Builder


def with_recurrence_over_time(b: Builder, node: Neuron | Cell, x: str, spikes: str, at: str) -> str:
    """Return x + U s of one of all steps, `[1, N, ...]`, of x and spikes `[1, N, ...]`."""
    assert node.recurrent is not None
    if node.recurrent.ndim == 2:
        features = node.recurrent.shape[1]
        found = with_recurrence(b, node, x, b.reshape(spikes, (-1, features), f"{at}/before"), at)
        b.state_shape(found, [1, features])
        return found
    before = b.op("Squeeze", [spikes, b.integers(0)], f"{at}/before")
    return with_recurrence(b, node, x, before, at)


def with_recurrence(b: Builder, node: Neuron | Cell, x: str, spikes: str, at: str) -> str:
    """Return x + U s, of spikes `[N, F]` or `[N, C, H, W]`.

    Gemm transposes U: onnxruntime before 1.29 does not load a Transpose of int8 weights.
    """
    assert node.recurrent is not None
    weight = b.weight(f"{node.name}.recurrent", node.recurrent)
    if node.recurrent.ndim == 2:
        received = b.op("Gemm", [spikes, weight], f"{at}/received", transB=1)
    else:
        kernel = node.recurrent.shape[2:]
        pads = [size // 2 for size in kernel] * 2
        received = b.op("Conv", [spikes, weight], f"{at}/received", pads=pads, kernel_shape=kernel)
    return b.op("Add", [x, received], f"{at}/with_recurrence")
