"""Sums of ramps that cross a threshold once, forward and backward, compiled by numba.

The inputs of a sample come in the order of time. Forward, a group of samples is a block: the
potentials of one stay in the first cache. Backward, a group of neurons is a block, with its own
sums.
"""

from __future__ import annotations

import numpy as np

from .compiled import compiled, inner, over_blocks, summed

NEURONS_A_BLOCK = 64
MAX_BLOCKS = 64  # of samples


@inner
def run_sample(sample, times, source, count, weight, threshold, window, out, causal, slope):
    """Run one sample, all its neurons at once."""
    neurons, end = weight.shape[1], count[sample]
    potential, steepness = np.zeros(neurons), np.zeros(neurons)
    left = neurons
    for event in range(end):
        row = weight[source[sample, event]]
        until = times[sample, event + 1] if event + 1 < end else window
        length = until - times[sample, event]
        crossed = 0
        for j in range(neurons):
            steepness[j] += row[j]
            potential[j] += steepness[j] * length
            crossed += potential[j] > threshold
        if crossed == 0:
            continue
        for j in range(neurons):
            if potential[j] > threshold:
                late = (potential[j] - threshold) / steepness[j]
                out[sample, j] = max(until - late, times[sample, event])
                causal[sample, j] = event + 1
                slope[sample, j] = steepness[j]
                potential[j] = -np.inf  # it fires once
                left -= 1
        if left == 0:
            break


@compiled
def forward_blocks(
    block, size, times, source, count, weight, threshold, window, out, causal, slope
):
    """Run a group of samples."""
    for sample in range(block * size, min(len(times), (block + 1) * size)):
        run_sample(sample, times, source, count, weight, threshold, window, out, causal, slope)


@summed
def backward_block(block, times, source, weight, out, causal, slope, grad, grad_times, grad_weight):
    """Differentiate a group of neurons over all samples."""
    first = block * NEURONS_A_BLOCK
    size = min(weight.shape[1] - first, NEURONS_A_BLOCK)
    factor, at, until = np.zeros(size), np.zeros(size), np.zeros(size, np.int64)
    for sample in range(len(times)):
        longest = 0
        for j in range(size):
            until[j] = causal[sample, first + j]
            longest = max(longest, until[j])
            factor[j], at[j] = 0.0, 0.0  # finite also where there is no spike
            if until[j]:
                factor[j] = grad[sample, first + j] / slope[sample, first + j]
                at[j] = out[sample, first + j]
        for event in range(longest):
            i, t, total = source[sample, event], times[sample, event], 0.0
            row, into = weight[i, first : first + size], grad_weight[i, first : first + size]
            for j in range(size):
                h = factor[j] if event < until[j] else 0.0
                into[j] += h * (t - at[j])
                total += h * row[j]
            grad_times[block, sample, event] = total


def forward(
    times: np.ndarray,
    source: np.ndarray,
    count: np.ndarray,
    weight: np.ndarray,
    threshold: float,
    window: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the times of the spikes, the number of causal inputs and their sum of weights.

    Args:
        times: of the inputs in order, float64 `[B, E]`.
        source: their neurons, int64 `[B, E]`.
        count: how many there are before the end of the window, `[B]`.
        weight: `[N, M]`, contiguous.
        threshold, window: θ and the end of the window.

    Returns:
        `[B, M]` each. Without a spike the time is +inf and the number 0.
    """
    shape = len(times), weight.shape[1]
    out, causal, slope = np.full(shape, np.inf), np.zeros(shape, np.int64), np.zeros(shape)
    arguments = (times, source, count, weight, threshold, window, out, causal, slope)
    size = -(-len(times) // MAX_BLOCKS) or 1
    over_blocks(forward_blocks, -(-len(times) // size), size, *arguments)
    return out, causal, slope


def backward(
    times: np.ndarray,
    source: np.ndarray,
    weight: np.ndarray,
    out: np.ndarray,
    causal: np.ndarray,
    slope: np.ndarray,
    grad: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of the times `[B, E]` and of the weights `[N, M]`.

    Args:
        times, source, weight: as of `forward`.
        out, causal, slope: what it returned.
        grad: of the times of the spikes, `[B, M]`.
    """
    blocks = -(-weight.shape[1] // NEURONS_A_BLOCK)
    grad_times, grad_weight = np.zeros((blocks, *times.shape)), np.zeros_like(weight)
    arguments = (times, source, weight, out, causal, slope, grad, grad_times, grad_weight)
    over_blocks(backward_block, blocks, *arguments)
    return grad_times.sum(0), grad_weight
