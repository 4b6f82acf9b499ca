"""Layers of exact spike times on the CPU, compiled by numba."""
