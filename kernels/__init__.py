"""Fused kernels: batch norm, neuron over all steps and max-pool in one pass.

- `contract`: what a backend computes;
- `layer`: the differentiable function on top;
- `convolution`: convolutions that follow the spikes, on the CPU;
- `choice`: which kernels can compute;
- `cpu` (with `passes`, `columns`, `events`, `simd`, `threads`, `memory`): numba;
- `cuda` (with `triton_passes`, `triton_tile`, `triton_rows`): Triton.
"""
