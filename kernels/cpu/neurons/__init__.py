"""Spiking neurons on the CPU, compiled by numba: all steps in one pass, or a single step."""
