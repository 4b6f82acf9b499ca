"""Fused kernels: batch norm, neuron over all steps and max-pool in one pass.

- `rules`: reset rules and surrogates, with their codes;
- `contract`: what a backend computes;
- `dispatch`: which kernels compute;
- `fused_layer`, `step`, `residual`, `convolution`, `filters`: the differentiable functions, with
  `statistics` of batch norms, `costs` of convolutions, and `memory` that is reused;
- `operators`: the same functions as operators of torch;
- `cpu`: the numba backend, with AMX in `cpu.amx`;
- `cuda`: the Triton backend.
"""
