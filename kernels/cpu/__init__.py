"""The CPU backend: kernels that numba compiles."""
