"""Fused kernels: batch norm, neuron over all steps and max-pool in one pass.

- `contract`: what a backend computes;
- `layer`: the differentiable function on top;
- `choice`: which kernels compute;
- `cpu` (with `passes`, `columns`, `simd`, `threads`): numba;
- `cuda`: Triton.
"""
