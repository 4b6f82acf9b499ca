"""The CUDA backend: kernels in Triton."""
